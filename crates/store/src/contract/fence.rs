//! Fences: who may write, and who wakes from the dead.

use std::sync::Arc;
use std::time::Duration;

use model::{InstanceState, OperationKind, OperationState};

use super::act::{LEASE, begin, finish, get, holder};
use super::{Case, State, Subject, cases, sample};
use crate::{Fence, StoreError, Write};

pub(super) const CASES: &[Case] = cases![
    a_superseded_lease_writes_nothing,
    an_expired_lease_holds_until_it_is_taken,
    a_lease_given_back_is_worth_nothing,
    after_the_end_nothing_is_written,
    a_fence_is_for_its_own_operation,
    the_dead_do_not_overtake_the_living,
    fences_rise_also_over_a_reopening,
    what_cannot_be_carried_out_is_buried,
];

const SHORT: Duration = Duration::from_millis(10);

/// Everything that a fence allows is refused.
async fn assert_fenced(state: &Arc<dyn State>, fence: &Fence, operation: &model::Operation) {
    let writes = vec![
        Write::Publish(sample::spec("evil", &["shop.example.com"])),
        Write::ReleaseAll,
        Write::State(InstanceState::Failed),
    ];
    let save = sample::finish(fence, operation, writes, 0);
    assert_eq!(state.save(save).await, Err(StoreError::Fenced));
    assert_eq!(state.extend(fence, i64::MAX).await, Err(StoreError::Fenced));
    assert_eq!(state.release(fence, 0).await, Err(StoreError::Fenced));
}

async fn a_superseded_lease_writes_nothing(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    let spec = sample::spec("shop", &["shop.example.com"]);
    let wish = sample::accept(OperationKind::Provision, "one", &spec, now);
    super::act::accepted(&state, wish.clone()).await;
    let dead = state.lease(now, SHORT).await.unwrap().expect("ready");
    let living = state.lease(dead.until, LEASE).await.unwrap().expect("expired");
    assert_eq!(living.job, dead.job);
    assert!(living.fence.number > dead.fence.number);

    assert_fenced(&state, &dead.fence, &wish.operation).await;
    let operation = state.operation(&wish.operation.id).await.unwrap();
    assert_eq!(operation.as_ref(), Some(&wish.operation));
    assert_eq!(get(&state, "one").await, wish.instance);
    assert_eq!(holder(&state, "shop.example.com").await.as_deref(), Some("one"));
    assert!(state.changes(None, 10).await.unwrap().changes.is_empty());

    let begun = (wish.operation, living.fence);
    assert!(finish(&state, &begun, vec![Write::Publish(spec)], now).await.is_some());
}

async fn an_expired_lease_holds_until_it_is_taken(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    let spec = sample::spec("shop", &["shop.example.com"]);
    let wish = sample::accept(OperationKind::Provision, "one", &spec, now);
    super::act::accepted(&state, wish.clone()).await;
    let lease = state.lease(now, SHORT).await.unwrap().expect("ready");
    let late = lease.until + 1_000;
    let save = sample::save(&lease.fence, &wish.operation, vec![], late);
    assert_eq!(state.save(save).await, Ok(None));
    assert_eq!(state.extend(&lease.fence, late + 1).await, Ok(()));
    assert_eq!(state.lease(late, SHORT).await, Ok(None), "it was extended");
    assert!(state.lease(late + 1, SHORT).await.unwrap().is_some());
    assert_fenced(&state, &lease.fence, &wish.operation).await;
}

async fn a_lease_given_back_is_worth_nothing(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    let spec = sample::spec("shop", &["shop.example.com"]);
    let (operation, fence) = begin(&state, OperationKind::Provision, "one", &spec, now).await;
    assert_eq!(state.release(&fence, now).await, Ok(()));
    assert_fenced(&state, &fence, &operation).await;
    let nobody = Fence { number: 0, ..fence };
    assert_fenced(&state, &nobody, &operation).await;
    assert!(state.lease(now, LEASE).await.unwrap().is_some());
}

async fn after_the_end_nothing_is_written(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    let spec = sample::spec("shop", &["shop.example.com"]);
    for (id, ended) in [("one", OperationState::Succeeded), ("two", OperationState::Failed)] {
        let spec = sample::spec("shop", &[&format!("{id}.example.com")]);
        let begun = begin(&state, OperationKind::Provision, id, &spec, now).await;
        let mut save = sample::finish(&begun.1, &begun.0, vec![], now);
        save.operation.state = ended;
        assert_eq!(state.save(save).await, Ok(None));
        assert_fenced(&state, &begun.1, &begun.0).await;
        let operation = state.operation(&begun.0.id).await.unwrap().expect("kept");
        assert_eq!(operation.state, ended);
    }
    assert_eq!(state.lease(now + 1_000_000, LEASE).await, Ok(None), "no job is left");
    assert_eq!(state.sweep(now).await, Ok(0), "and none is lost");
    drop(spec);
}

async fn a_fence_is_for_its_own_operation(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    let (a, b) = (sample::spec("a", &["a.example.com"]), sample::spec("b", &["b.example.com"]));
    let one = begin(&state, OperationKind::Provision, "one", &a, now).await;
    let two = begin(&state, OperationKind::Provision, "two", &b, now).await;
    let crossed = sample::finish(&one.1, &two.0, vec![Write::ReleaseAll], now);
    assert_eq!(state.save(crossed).await, Err(StoreError::Fenced));
    let swapped = Fence { operation: two.0.id.clone(), number: one.1.number };
    assert_fenced(&state, &swapped, &two.0).await;
    assert_eq!(holder(&state, "b.example.com").await.as_deref(), Some("two"));
}

async fn the_dead_do_not_overtake_the_living(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    let spec = sample::spec("shop", &["shop.example.com"]);
    let wish = sample::accept(OperationKind::Provision, "one", &spec, now);
    super::act::accepted(&state, wish.clone()).await;
    let mut leases = Vec::new();
    for round in 0..20 {
        let at = now + round * 1_000;
        leases.push(state.lease(at, SHORT).await.unwrap().expect("the last has expired"));
    }
    let mut racing = tokio::task::JoinSet::new();
    for (index, lease) in leases.into_iter().enumerate() {
        let mut save = sample::save(&lease.fence, &wish.operation, vec![], now);
        save.operation.notice = Some(index.to_string());
        let state = Arc::clone(&state);
        racing.spawn(async move { (index, state.save(save).await) });
    }
    for (index, answer) in racing.join_all().await {
        let expected = if index == 19 { Ok(None) } else { Err(StoreError::Fenced) };
        assert_eq!(answer, expected, "lease {index}");
    }
    let operation = state.operation(&wish.operation.id).await.unwrap().expect("there");
    assert_eq!(operation.notice.as_deref(), Some("19"));
}

async fn fences_rise_also_over_a_reopening(subject: Arc<dyn Subject>) {
    let now = subject.now();
    let spec = sample::spec("shop", &["shop.example.com"]);
    let state = subject.open().await;
    let (operation, dead) = begin(&state, OperationKind::Provision, "one", &spec, now).await;
    drop(state);
    let state = subject.open().await;
    let expired = now + i64::try_from(LEASE.as_millis()).unwrap();
    // A store that belongs to one process knows at once that the holder is gone; another waits.
    let early = state.lease(expired - 1, LEASE).await.unwrap();
    let living = match early {
        Some(lease) => lease,
        None => state.lease(expired, LEASE).await.unwrap().expect("expired"),
    };
    assert!(living.fence.number > dead.number);
    assert_fenced(&state, &dead, &operation).await;
}

async fn what_cannot_be_carried_out_is_buried(subject: Arc<dyn Subject>) {
    let (state, now) = (subject.open().await, subject.now());
    let spec = sample::spec("shop", &["shop.example.com"]);
    let (operation, fence) = begin(&state, OperationKind::Provision, "one", &spec, now).await;
    let stale = Fence { number: fence.number + 1, ..fence.clone() };
    assert_eq!(state.bury(&stale, "no", now).await, Err(StoreError::Fenced));
    state.bury(&fence, "it broke ten workers", now + 3).await.unwrap();
    let ended = state.operation(&operation.id).await.unwrap().expect("kept");
    assert_eq!((ended.state, ended.finished_at), (OperationState::Failed, Some(now + 3)));
    assert_eq!(ended.error.as_deref(), Some("it broke ten workers"));
    let state_of = get(&state, "one").await.state;
    assert_eq!(state_of, InstanceState::Deprovisioning, "it can be taken away");
    assert_eq!(state.lease(now + 1_000_000, LEASE).await, Ok(None));
    assert_fenced(&state, &fence, &operation).await;
}
