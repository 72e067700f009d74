//! What comes in place of an operation in progress: who gives way, what becomes of the lease, and when
//! the other may begin.

use std::sync::Arc;

use model::{Operation, OperationKind, OperationState};

use super::act::{LEASE, accept, accepted, begin, get, holder, refused};
use super::{Case, PATIENCE, State, Subject, cases, sample, soon};
use crate::{Accept, Accepted, Fence, Refusal, StoreError, Write};

pub(super) const CASES: &[Case] = cases![
    a_deprovision_ends_what_is_in_progress,
    an_update_comes_in_place_of_what_is_published_only,
    only_the_operation_that_was_seen_gives_way,
    a_revoked_lease_writes_nothing_and_holds_others_off,
    a_revoked_lease_that_runs_out_holds_nobody_off,
    what_nobody_holds_is_taken_over_at_once,
    the_holder_is_told,
    a_revoked_lease_is_forgotten_over_a_reopening,
];

/// A wish of this kind in place of an operation.
fn over(kind: OperationKind, older: &Operation, at: i64) -> Accept {
    let spec = sample::spec("shop", &["other.example.com"]);
    let wish = sample::accept(kind, older.instance.as_str(), &spec, at);
    Accept { over: Some(older.id.clone()), ..wish }
}

async fn provision(state: &Arc<dyn State>, now: i64) -> (Operation, Fence) {
    let spec = sample::spec("shop", &["shop.example.com"]);
    begin(state, OperationKind::Provision, "one", &spec, now).await
}

async fn find(state: &Arc<dyn State>, operation: &Operation) -> Operation {
    state.operation(&operation.id).await.unwrap().expect("there")
}

async fn a_deprovision_ends_what_is_in_progress(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    let (older, _) = provision(&state, now).await;
    let wish = over(OperationKind::Deprovision, &older, now + 5);
    let newer = wish.operation.clone();
    accepted(&state, wish).await;

    let ended = find(&state, &older).await;
    assert_eq!((ended.state, ended.finished_at), (OperationState::Failed, Some(now + 5)));
    assert_eq!(ended.error.as_deref(), Some("cancelled: the instance was deleted by tests"));
    assert_eq!(ended.successor.as_ref().map(|it| &it.operation), Some(&newer.id));
    assert_eq!(find(&state, &newer).await, newer);
    assert_eq!(get(&state, "one").await.state, model::InstanceState::Deprovisioning);
    assert_eq!(holder(&state, "shop.example.com").await.as_deref(), Some("one"), "not yet");
    assert_eq!(state.depth(now + 5).await, Ok((1, 0)), "one job for both");
}

async fn an_update_comes_in_place_of_what_is_published_only(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    let (older, fence) = provision(&state, now).await;
    let refusal = refused(&state, over(OperationKind::Update, &older, now + 1)).await;
    assert_eq!(refusal, Refusal::Busy(Box::new(older.clone())));
    let publish = vec![Write::Publish(sample::spec("shop", &["shop.example.com"]))];
    state.save(sample::save(&fence, &older, publish, now + 2)).await.unwrap();
    let wish = over(OperationKind::Update, &older, now + 3);
    let newer = wish.operation.clone();
    accepted(&state, wish).await;
    let ended = find(&state, &older).await;
    assert_eq!(ended.superseded_by(), Some(&newer.id));
    let why = "superseded: tests has asked for something newer";
    assert_eq!(ended.error.as_deref(), Some(why));
    for name in ["shop.example.com", "other.example.com"] {
        assert_eq!(holder(&state, name).await.as_deref(), Some("one"));
    }
    // A deprovision does not give way, unless to one that stops at nothing.
    accepted(&state, over(OperationKind::Deprovision, &newer, now + 4)).await;
    let last = state.operations(&newer.instance, 1).await.unwrap().remove(0);
    for (kind, force) in [
        (OperationKind::Update, false),
        (OperationKind::Deprovision, false),
        (OperationKind::Deprovision, true),
    ] {
        let mut wish = over(kind, &last, now + 5);
        wish.operation.force = force;
        let expected = match force {
            true => Accepted::Yes,
            false => Accepted::No(Refusal::Busy(Box::new(last.clone()))),
        };
        assert_eq!(accept(&state, wish).await, expected, "{kind:?} {force}");
    }
}

async fn only_the_operation_that_was_seen_gives_way(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    let (older, _) = provision(&state, now).await;
    let blind = sample::accept(
        OperationKind::Deprovision,
        "one",
        &sample::spec("shop", &["shop.example.com"]),
        now,
    );
    let mut mistaken = blind.clone();
    mistaken.over = Some("another".parse().unwrap());
    for wish in [blind, mistaken] {
        let refusal = refused(&state, wish).await;
        assert_eq!(refusal, Refusal::Busy(Box::new(older.clone())));
    }
    // What has ended meanwhile need not give way.
    let wish = over(OperationKind::Deprovision, &older, now + 9);
    let (other, fence) =
        begin(&state, OperationKind::Provision, "two", &sample::spec("b", &["b.test"]), now).await;
    let ended = sample::finish(&fence, &other, vec![], now);
    state.save(ended).await.unwrap();
    let mut late = over(OperationKind::Deprovision, &other, now + 9);
    late.claim.clear();
    accepted(&state, late).await;
    let found = find(&state, &other).await;
    assert_eq!((found.state, found.successor), (OperationState::Succeeded, None));
    drop(wish);
}

async fn a_revoked_lease_writes_nothing_and_holds_others_off(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    let (older, fence) = provision(&state, now).await;
    let wish = over(OperationKind::Deprovision, &older, now + 1);
    let newer = wish.operation.id.clone();
    accepted(&state, wish).await;

    let publish = vec![Write::Publish(sample::spec("shop", &["shop.example.com"]))];
    let save = sample::save(&fence, &older, publish, now + 2);
    assert_eq!(state.save(save).await, Err(StoreError::Fenced));
    assert!(state.changes(None, 10).await.unwrap().changes.is_empty());
    assert_eq!(state.lease(now + 2, LEASE).await, Ok(None), "its holder may be at work");
    let long = now + 2 * i64::try_from(LEASE.as_millis()).unwrap();
    assert_eq!(state.extend(&fence, long).await, Ok(()));
    assert_eq!(state.lease(long - 1, LEASE).await, Ok(None), "and still is");

    assert_eq!(state.release(&fence, now + 3).await, Ok(()));
    let lease = state.lease(now + 3, LEASE).await.unwrap().expect("it has ended");
    assert_eq!(lease.job.operation_id, newer);
    for answer in [state.release(&fence, now).await, state.extend(&fence, now).await] {
        assert_eq!(answer, Err(StoreError::Fenced), "once is enough");
    }
    assert_eq!(state.extend(&lease.fence, long).await, Ok(()));
}

async fn a_revoked_lease_that_runs_out_holds_nobody_off(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    let (older, fence) = provision(&state, now).await;
    let ends = now + i64::try_from(LEASE.as_millis()).unwrap();
    accepted(&state, over(OperationKind::Deprovision, &older, now + 1)).await;
    assert_eq!(state.lease(ends - 1, LEASE).await, Ok(None));
    assert!(state.lease(ends, LEASE).await.unwrap().is_some());
    assert_eq!(state.release(&fence, now).await, Err(StoreError::Fenced));
}

async fn what_nobody_holds_is_taken_over_at_once(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    let (older, fence) = provision(&state, now).await;
    state.release(&fence, now + 500_000).await.unwrap();
    let wish = over(OperationKind::Deprovision, &older, now + 1);
    let newer = wish.operation.id.clone();
    accepted(&state, wish).await;
    let lease = state.lease(now + 1, LEASE).await.unwrap().expect("it waited for nothing");
    assert_eq!(lease.job.operation_id, newer);
}

async fn the_holder_is_told(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    let (older, fence) = provision(&state, now).await;
    let other =
        begin(&state, OperationKind::Provision, "two", &sample::spec("b", &["b.test"]), now).await;
    let told = |fence: Fence| {
        let state = Arc::clone(&state);
        tokio::spawn(async move { state.revoked(&fence).await })
    };
    let (holder, bystander) = (told(fence.clone()), told(other.1));
    tokio::task::yield_now().await;
    accepted(&state, over(OperationKind::Deprovision, &older, now + 1)).await;
    soon("the news", holder).await.unwrap();
    soon("the news for who asks late", state.revoked(&fence)).await;
    assert!(!bystander.is_finished(), "another's lease");
    bystander.abort();
}

async fn a_revoked_lease_is_forgotten_over_a_reopening(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    let (older, fence) = provision(&state, now).await;
    let wish = over(OperationKind::Deprovision, &older, now + 1);
    let newer = wish.operation.id.clone();
    accepted(&state, wish).await;
    drop(state);
    let state = subject.open().await;
    soon("the job", state.ready(PATIENCE * 10)).await;
    // A store of one process knows that the holder is gone; another waits for the lease's end.
    let later = subject.now() + i64::try_from(LEASE.as_millis()).unwrap();
    let lease = state.lease(later, LEASE).await.unwrap().expect("it is due");
    assert_eq!(lease.job.operation_id, newer);
    let save = sample::save(&fence, &older, vec![], now);
    assert_eq!(state.save(save).await, Err(StoreError::Fenced));
}
