//! The listing: filters and pages.

use std::sync::Arc;

use model::{OperationKind, Owner};

use super::act::{accepted, publish, remove};
use super::{Case, State, Subject, cases, sample};
use crate::Filter;

pub(super) const CASES: &[Case] = cases![filters_agree_with_each_other, pages_are_whole];

async fn ids(state: &Arc<dyn State>, filter: Filter) -> Vec<String> {
    let page = state.instances(filter).await.unwrap();
    assert_eq!(page.next, None);
    page.items.into_iter().map(|instance| instance.id.into()).collect()
}

fn owner(space: &str) -> Owner {
    Owner { organization: "acme".to_owned(), space: space.to_owned() }
}

async fn filters_agree_with_each_other(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    publish(&state, "e", &sample::spec("shop", &["e.example.com"]), now - 5).await;
    remove(&state, "e", now - 4).await;
    for (id, service, space) in
        [("b", "shop", "web"), ("a", "shop", "web"), ("c", "blog", "web"), ("d", "shop", "ops")]
    {
        let spec = sample::spec(service, &[&format!("{id}.example.com")]);
        let mut wish = sample::accept(OperationKind::Provision, id, &spec, now);
        wish.instance.owner = owner(space);
        accepted(&state, wish).await;
    }
    let late = now + 5;
    assert!(state.lease(late, super::act::LEASE).await.unwrap().is_some());

    let (web, shop) = (Some(vec![owner("web")]), Some("shop".to_owned()));
    let both = Some(vec![owner("web"), owner("ops"), owner("web")]);
    let all = Filter { limit: 10, ..Filter::default() };
    for (filter, expected) in [
        (all.clone(), &["a", "b", "c", "d"][..]),
        (Filter { deleted: true, ..all.clone() }, &["a", "b", "c", "d", "e"]),
        (Filter { owners: web.clone(), ..all.clone() }, &["a", "b", "c"]),
        (Filter { owners: web.clone(), deleted: true, ..all.clone() }, &["a", "b", "c", "e"]),
        (Filter { service: shop.clone(), ..all.clone() }, &["a", "b", "d"]),
        (Filter { owners: web.clone(), service: shop, ..all.clone() }, &["a", "b"]),
        (Filter { owners: Some(vec![owner("none")]), ..all.clone() }, &[]),
        (Filter { owners: Some(vec![]), ..all.clone() }, &[]),
        (Filter { owners: both.clone(), ..all.clone() }, &["a", "b", "c", "d"]),
        (
            Filter { owners: both, after: Some(sample::instance_id("b")), ..all.clone() },
            &["c", "d"],
        ),
        (Filter { after: Some(sample::instance_id("b")), ..all }, &["c", "d"]),
    ] {
        assert_eq!(ids(&state, filter.clone()).await, expected, "{filter:?}");
    }
}

async fn pages_are_whole(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    for index in 0..7 {
        let spec = sample::spec("shop", &[&format!("{index}.example.com")]);
        let id = format!("i{index}");
        accepted(&state, sample::accept(OperationKind::Provision, &id, &spec, now)).await;
    }
    let mut filter = Filter { limit: 3, ..Filter::default() };
    let mut listed = Vec::new();
    for length in [3, 3, 1] {
        let page = state.instances(filter.clone()).await.unwrap();
        assert_eq!(page.items.len(), length);
        listed.extend(page.items.into_iter().map(|instance| String::from(instance.id)));
        assert_eq!(page.next.is_some(), length == 3);
        filter.after = page.next;
    }
    let expected: Vec<_> = (0..7).map(|index| format!("i{index}")).collect();
    assert_eq!(listed, expected);
    let least = Filter { limit: 0, ..Filter::default() };
    assert_eq!(state.instances(least).await.unwrap().items.len(), 1);
}
