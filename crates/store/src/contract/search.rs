//! The search, and the news of an operation.

use std::sync::Arc;
use std::time::Duration;

use model::{InstanceState, OperationKind, OperationState, Owner, Plan};

use super::act::{accepted, publish, remove};
use super::{Case, State, Subject, cases, sample, soon};
use crate::{InstanceSearch, OperationSearch};

pub(super) const CASES: &[Case] = cases![
    instances_are_found_by_all_that_is_asked,
    operations_are_found_by_all_that_is_asked,
    pages_of_a_search_are_whole,
    news_comes_with_each_write,
    a_context_is_written_where_it_was_seen,
];

fn owner(space: &str) -> Owner {
    Owner { organization: "acme".to_owned(), space: space.to_owned() }
}

async fn found(state: &Arc<dyn State>, search: InstanceSearch) -> Vec<String> {
    let page = state.search_instances(InstanceSearch { limit: 10, ..search }).await.unwrap();
    assert_eq!(page.next, None);
    page.items.into_iter().map(|instance| instance.id.into()).collect()
}

async fn instances_are_found_by_all_that_is_asked(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    publish(&state, "r", &sample::spec("shop", &["r.example.com"]), now - 9).await;
    publish(&state, "gone", &sample::spec("shop", &["gone.example.com"]), now - 8).await;
    remove(&state, "gone", now - 7).await;
    for (id, service, space, plan) in [
        ("b", "shop", "web", Plan::Internal),
        ("a", "shop", "ops", Plan::Public),
        ("c", "shopping", "web", Plan::Public),
        ("d", "blog", "ops", Plan::Internal),
    ] {
        let mut spec = sample::spec(service, &[&format!("{id}.example.com")]);
        spec.plan = plan;
        let mut wish = sample::accept(OperationKind::Provision, id, &spec, now);
        wish.instance.owner = owner(space);
        accepted(&state, wish).await;
    }
    let all = InstanceSearch::default;
    let shop = || Some("shop".to_owned());
    let provisioning = Some(InstanceState::Provisioning);
    for (search, expected) in [
        (all(), &["d", "a", "b", "r", "c"][..]),
        (InstanceSearch { service: shop(), deleted: true, ..all() }, &["a", "b", "gone", "r"]),
        (InstanceSearch { prefix: Some("shopp".to_owned()), ..all() }, &["c"]),
        (InstanceSearch { plan: Some(Plan::Public), ..all() }, &["a", "c"]),
        (InstanceSearch { state: Some(InstanceState::Ready), ..all() }, &["r"]),
        (InstanceSearch { state: provisioning, prefix: shop(), ..all() }, &["a", "b", "c"]),
        (InstanceSearch { state: Some(InstanceState::Deleted), ..all() }, &["gone"]),
        (InstanceSearch { hostname: Some(sample::hostname("c.example.com")), ..all() }, &["c"]),
        (InstanceSearch { hostname: Some(sample::hostname("x.example.com")), ..all() }, &[]),
        (InstanceSearch { owners: Some(vec![owner("ops")]), ..all() }, &["d", "a"]),
        (
            InstanceSearch { owners: Some(vec![owner("ops"), owner("web")]), ..all() },
            &["d", "a", "b", "r", "c"],
        ),
        (
            InstanceSearch { owners: Some(vec![owner("web")]), state: provisioning, ..all() },
            &["b", "c"],
        ),
        (InstanceSearch { owners: Some(vec![]), ..all() }, &[]),
        (
            InstanceSearch { after: Some("shop/a".to_owned()), prefix: shop(), ..all() },
            &["b", "r", "c"],
        ),
    ] {
        assert_eq!(found(&state, search.clone()).await, expected, "{search:?}");
    }
}

async fn operations_are_found_by_all_that_is_asked(subject: Arc<dyn Subject>) {
    use OperationKind::{Deprovision, Provision, Update};
    let (state, now) = (subject.open().await, subject.now());
    publish(&state, "a", &sample::spec("shop", &["a.example.com"]), now - 9).await;
    remove(&state, "a", now - 7).await;
    let spec = sample::spec("blog", &["b.example.com"]);
    let mut wish = sample::accept(Provision, "b", &spec, now);
    wish.instance.owner = owner("ops");
    accepted(&state, wish).await;
    let all = OperationSearch::default;
    let (a, b) = (sample::instance_id("a"), sample::instance_id("b"));
    for (search, expected) in [
        (all(), &[("b", Provision), ("a", Deprovision), ("a", Provision)][..]),
        (OperationSearch { latest: true, ..all() }, &[("b", Provision), ("a", Deprovision)]),
        (OperationSearch { kind: Some(Provision), ..all() }, &[("b", Provision), ("a", Provision)]),
        (OperationSearch { kind: Some(Update), ..all() }, &[]),
        (OperationSearch { instance: Some(a), ..all() }, &[("a", Deprovision), ("a", Provision)]),
        (OperationSearch { state: Some(OperationState::InProgress), ..all() }, &[("b", Provision)]),
        (OperationSearch { state: Some(OperationState::Failed), ..all() }, &[]),
        (
            OperationSearch { since: Some(now - 7), ..all() },
            &[("b", Provision), ("a", Deprovision)],
        ),
        (OperationSearch { owners: Some(vec![owner("ops")]), ..all() }, &[("b", Provision)]),
        (
            OperationSearch { owners: Some(vec![owner("web")]), latest: true, ..all() },
            &[("a", Deprovision)],
        ),
        (OperationSearch { instance: Some(b), owners: Some(vec![owner("web")]), ..all() }, &[]),
    ] {
        let page = state.search_operations(OperationSearch { limit: 9, ..search.clone() }).await;
        let page = page.unwrap();
        let seen: Vec<_> = page
            .items
            .iter()
            .map(|found| (found.operation.instance.as_str(), found.operation.kind))
            .collect();
        assert_eq!(seen, expected, "{search:?}");
        let owners =
            page.items.iter().map(|it| (it.owner.space == "ops", it.operation.instance.as_str()));
        assert!(owners.into_iter().all(|(ops, id)| ops == (id == "b")), "{search:?}");
    }
}

async fn pages_of_a_search_are_whole(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    for index in 0..7 {
        let spec = sample::spec(&format!("s{}", index / 3), &[&format!("{index}.example.com")]);
        let mut wish = sample::accept(OperationKind::Provision, &format!("i{index}"), &spec, now);
        wish.instance.owner = owner(if index % 2 == 0 { "web" } else { "ops" });
        accepted(&state, wish).await;
    }
    for owners in [None, Some(vec![owner("web"), owner("ops")])] {
        let (mut after, mut listed) = (None, Vec::new());
        loop {
            let search =
                InstanceSearch { owners: owners.clone(), after, limit: 3, ..Default::default() };
            let page = state.search_instances(search).await.unwrap();
            listed.extend(page.items.into_iter().map(|instance| String::from(instance.id)));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        let expected: Vec<_> = (0..7).map(|index| format!("i{index}")).collect();
        assert_eq!(listed, expected, "{owners:?}");
        let (mut after, mut listed) = (None, Vec::new());
        loop {
            let search =
                OperationSearch { owners: owners.clone(), after, limit: 3, ..Default::default() };
            let page = state.search_operations(search).await.unwrap();
            listed.extend(page.items.into_iter().map(|it| String::from(it.operation.instance)));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        listed.reverse();
        assert_eq!(listed, expected, "{owners:?}");
    }
}

async fn news_comes_with_each_write(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    let spec = sample::spec("shop", &["a.example.com"]);
    let wish = sample::accept(OperationKind::Provision, "a", &spec, now);
    let operation = wish.operation.clone();
    let mut news = state.news(&operation.id);
    let mut of_instance = state.news_of_instance(&operation.instance);
    let none = tokio::time::timeout(Duration::ZERO, news.next()).await;
    assert!(none.is_err(), "nothing was written yet");
    accepted(&state, wish).await;
    soon("the acceptance", news.next()).await;
    soon("the acceptance, to who waits for the instance", of_instance.next()).await;
    let lease = state.lease(now, super::act::LEASE).await.unwrap().unwrap();
    state.save(sample::save(&lease.fence, &operation, vec![], now)).await.unwrap();
    soon("the step", news.next()).await;
    // What is refused is no news.
    let other = crate::Fence { number: lease.fence.number + 1, ..lease.fence.clone() };
    assert!(state.save(sample::save(&other, &operation, vec![], now)).await.is_err());
    let none = tokio::time::timeout(Duration::ZERO, news.next()).await;
    assert!(none.is_err(), "nothing was written");
}

async fn a_context_is_written_where_it_was_seen(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    publish(&state, "a", &sample::spec("shop", &["a.example.com"]), now - 9).await;
    let id = sample::instance_id("a");
    let before = state.instance(&id).await.unwrap().unwrap();
    let entry = model::AuditEntry {
        by: sample::requester(),
        action: "instance.context".to_owned(),
        object: "a".to_owned(),
        owner: Some(owner("web")),
        detail: serde_json::json!({}),
    };
    let context = serde_json::json!({"space_name": "new"});
    let head = state.head().await.unwrap();
    for (seen, written) in [(before.updated_at - 1, false), (before.updated_at, true)] {
        let set = state.set_context(&id, context.clone(), seen, now - 99, entry.clone()).await;
        assert_eq!(set, Ok(written));
    }
    let after = state.instance(&id).await.unwrap().unwrap();
    assert_eq!(after.platform_context, context);
    assert!(after.updated_at > before.updated_at, "it is seen as a change");
    assert_eq!(after.spec, before.spec);
    assert_eq!(state.head().await.unwrap().seq, head.seq + 1);
    remove(&state, "a", now).await;
    let gone = state.instance(&id).await.unwrap().unwrap();
    let set = state.set_context(&id, context, gone.updated_at, now, entry).await;
    assert_eq!(set, Ok(false), "nothing is left to have a context");
}
