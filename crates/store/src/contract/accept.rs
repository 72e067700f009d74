//! Accepting: all of it or a refusal, and what it does to an instance that is there.

use std::sync::Arc;

use model::{InstanceState, OperationKind, Owner};

use super::act::{accept, accepted, begin, finish, get, holder, publish, refused, remove};
use super::{Case, Subject, cases, sample};
use crate::{Accepted, Refusal, Write};

pub(super) const CASES: &[Case] = cases![
    it_writes_operation_job_instance_and_claims,
    a_refusal_writes_nothing,
    what_changed_since_it_was_read_is_refused,
    what_is_not_there_is_not_changed,
    one_operation_at_a_time,
    refusals_come_in_their_order,
    the_same_request_twice_is_one,
    of_many_at_once_one_is_accepted,
    every_accept_is_seen_as_a_change,
    an_id_whose_instance_is_gone_is_used_afresh,
    an_instance_that_lives_keeps_what_it_is,
    failed_provisions_can_be_deprovisioned,
];

async fn it_writes_operation_job_instance_and_claims(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    let spec = sample::spec("shop", &["a.example.com", "b.example.com"]);
    let wish = sample::accept(OperationKind::Provision, "one", &spec, now);
    accepted(&state, wish.clone()).await;
    assert_eq!(get(&state, "one").await, wish.instance);
    let id = &wish.operation.id;
    assert_eq!(state.operation(id).await.unwrap().as_ref(), Some(&wish.operation));
    let all = state.operations(&wish.operation.instance, 10).await.unwrap();
    assert_eq!(all, vec![wish.operation.clone()]);
    assert_eq!(state.depth(now + 7).await, Ok((1, 7)));
    let owner = state.hostname(&sample::hostname("b.example.com")).await.unwrap().expect("claimed");
    assert_eq!((owner.service.as_str(), &owner.owner), ("shop", &wish.instance.owner));
    assert_eq!((owner.instance, owner.since), (wish.instance.id, now));
}

async fn a_refusal_writes_nothing(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    publish(&state, "one", &sample::spec("shop", &["taken.example.com"]), now).await;
    let spec = sample::spec("other", &["free.example.com", "taken.example.com"]);
    let wish = sample::accept(OperationKind::Provision, "two", &spec, now);
    assert!(matches!(refused(&state, wish.clone()).await, Refusal::Taken(_)));
    assert_eq!(state.instance(&wish.instance.id).await, Ok(None));
    assert_eq!(state.operation(&wish.operation.id).await, Ok(None));
    assert_eq!(holder(&state, "free.example.com").await, None);
    assert_eq!(state.depth(now).await, Ok((0, 0)));
}

async fn what_changed_since_it_was_read_is_refused(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    let spec = sample::spec("shop", &["shop.example.com"]);
    let provision = || sample::accept(OperationKind::Provision, "one", &spec, now);
    let changed = Ok(Accepted::No(Refusal::Changed));
    assert_eq!(state.accept(provision(), Some(now)).await, changed);
    publish(&state, "one", &spec, now).await;
    let read = get(&state, "one").await.updated_at;
    for expected in [None, Some(read - 1), Some(read + 1)] {
        let update = sample::accept(OperationKind::Update, "one", &spec, now + 1);
        assert_eq!(state.accept(update, expected).await, changed, "{expected:?}");
    }
    let update = sample::accept(OperationKind::Update, "one", &spec, now + 1);
    assert_eq!(state.accept(update, Some(read)).await, Ok(Accepted::Yes));
}

async fn what_is_not_there_is_not_changed(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    let spec = sample::spec("shop", &["shop.example.com"]);
    for kind in [OperationKind::Update, OperationKind::Deprovision] {
        let wish = sample::accept(kind, "one", &spec, now);
        assert_eq!(refused(&state, wish).await, Refusal::Changed, "{kind:?} of nothing");
    }
    publish(&state, "one", &spec, now).await;
    remove(&state, "one", now + 1).await;
    for kind in [OperationKind::Update, OperationKind::Deprovision] {
        let wish = sample::accept(kind, "one", &spec, now + 2);
        assert_eq!(refused(&state, wish).await, Refusal::Changed, "{kind:?} of a tombstone");
    }
}

async fn one_operation_at_a_time(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    let spec = sample::spec("shop", &["shop.example.com"]);
    let begun = begin(&state, OperationKind::Provision, "one", &spec, now).await;
    for kind in [OperationKind::Provision, OperationKind::Update, OperationKind::Deprovision] {
        let refusal = refused(&state, sample::accept(kind, "one", &spec, now + 1)).await;
        assert_eq!(refusal, Refusal::Busy(Box::new(begun.0.clone())), "{kind:?}");
    }
    finish(&state, &begun, vec![Write::Publish(spec.clone())], now).await;
    accepted(&state, sample::accept(OperationKind::Update, "one", &spec, now + 1)).await;
}

async fn refusals_come_in_their_order(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    let (mine, other) =
        (sample::spec("a", &["a.example.com"]), sample::spec("b", &["b.example.com"]));
    publish(&state, "one", &mine, now).await;
    let begun = begin(&state, OperationKind::Provision, "two", &other, now).await;
    let wish = || sample::accept(OperationKind::Update, "two", &mine, now + 1);
    let stale = state.accept(wish(), Some(now - 1)).await;
    assert_eq!(stale, Ok(Accepted::No(Refusal::Changed)), "before busy and taken");
    assert!(matches!(refused(&state, wish()).await, Refusal::Busy(_)), "before taken");
    finish(&state, &begun, vec![Write::Publish(other.clone())], now).await;
    assert!(matches!(refused(&state, wish()).await, Refusal::Taken(_)));
}

async fn the_same_request_twice_is_one(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    let spec = sample::spec("shop", &["shop.example.com"]);
    let wish = sample::accept(OperationKind::Provision, "one", &spec, now);
    assert_eq!(state.accept(wish.clone(), None).await, Ok(Accepted::Yes));
    let again = state.accept(wish.clone(), None).await;
    assert_eq!(again, Ok(Accepted::No(Refusal::Changed)));
    assert_eq!(state.depth(now).await, Ok((1, 0)));
    assert_eq!(state.operations(&wish.instance.id, 10).await.unwrap().len(), 1);
}

async fn of_many_at_once_one_is_accepted(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    let mut racing = tokio::task::JoinSet::new();
    for index in 0..24 {
        let spec = sample::spec("shop", &["shop.example.com"]);
        let wish = sample::accept(OperationKind::Provision, "one", &spec, now + index);
        let state = Arc::clone(&state);
        racing.spawn(async move { state.accept(wish, None).await });
    }
    let answers = racing.join_all().await;
    let accepted = answers.iter().filter(|answer| **answer == Ok(Accepted::Yes)).count();
    let changed = Ok(Accepted::No(Refusal::Changed));
    assert_eq!((accepted, answers.iter().filter(|answer| **answer == changed).count()), (1, 23));
    assert_eq!(state.depth(now).await.map(|depth| depth.0), Ok(1));
}

async fn every_accept_is_seen_as_a_change(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    let spec = sample::spec("shop", &["shop.example.com"]);
    publish(&state, "one", &spec, now).await;
    let mut last = get(&state, "one").await.updated_at;
    // A clock that stands still, one that was set back, and one that goes on.
    for at in [now, now, now - 5_000, now + 60_000] {
        let begun = begin(&state, OperationKind::Update, "one", &spec, at).await;
        let updated_at = get(&state, "one").await.updated_at;
        assert!(updated_at > last && updated_at >= at, "{updated_at} after {last}, at {at}");
        finish(&state, &begun, vec![Write::State(InstanceState::Ready)], at).await;
        last = get(&state, "one").await.updated_at;
        assert!(last > updated_at, "a worker's change is one, too");
    }
}

async fn an_id_whose_instance_is_gone_is_used_afresh(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    let first = sample::spec("shop", &["shop.example.com"]);
    let begun = begin(&state, OperationKind::Provision, "failed", &first, now).await;
    let undone = vec![Write::ReleaseAll, Write::State(InstanceState::Failed)];
    finish(&state, &begun, undone, now).await;
    publish(&state, "deleted", &first, now + 1).await;
    remove(&state, "deleted", now + 2).await;

    let at = now + 100;
    for (id, name) in [("failed", "x.example.com"), ("deleted", "y.example.com")] {
        let mut wish =
            sample::accept(OperationKind::Provision, id, &sample::spec("new", &[name]), at);
        wish.instance.owner = Owner { organization: "next".to_owned(), space: "team".to_owned() };
        accepted(&state, wish.clone()).await;
        assert_eq!(get(&state, id).await, wish.instance);
        assert_eq!(holder(&state, name).await.as_deref(), Some(id));
        let history = state.operations(&wish.instance.id, 10).await.unwrap();
        assert_eq!(history.first(), Some(&wish.operation), "latest first");
        assert!(history.len() > 1, "what was done before is still told");
    }
}

async fn an_instance_that_lives_keeps_what_it_is(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    let spec = sample::spec("shop", &["old.example.com"]);
    let revision = publish(&state, "one", &spec, now).await;
    let before = get(&state, "one").await;

    let next = sample::spec("shop", &["new.example.com"]);
    let mut wish = sample::accept(OperationKind::Update, "one", &next, now + 9);
    wish.instance.owner.space = "thieves".to_owned();
    wish.instance.created_at = 1;
    wish.instance.platform_context = serde_json::json!({"moved": true});
    accepted(&state, wish.clone()).await;
    let after = get(&state, "one").await;
    assert_eq!((after.state, after.revision), (InstanceState::Ready, Some(revision)));
    assert_eq!((&after.owner, &after.spec), (&before.owner, &spec));
    assert_eq!(after.created_at, before.created_at);
    assert_eq!(after.platform_context, wish.instance.platform_context);
    for name in ["old.example.com", "new.example.com"] {
        assert_eq!(holder(&state, name).await.as_deref(), Some("one"), "{name}");
    }
}

async fn failed_provisions_can_be_deprovisioned(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    let spec = sample::spec("shop", &["shop.example.com"]);
    let begun = begin(&state, OperationKind::Provision, "one", &spec, now).await;
    finish(&state, &begun, vec![Write::State(InstanceState::Failed)], now).await;
    let wish = sample::accept(OperationKind::Deprovision, "one", &spec, now + 1);
    assert_eq!(accept(&state, wish).await, Accepted::Yes);
    assert_eq!(get(&state, "one").await.state, InstanceState::Deprovisioning);
    assert_eq!(holder(&state, "shop.example.com").await.as_deref(), Some("one"));
}
