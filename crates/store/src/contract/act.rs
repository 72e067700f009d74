//! What the cases do again and again, as broker and worker would.

use std::sync::Arc;
use std::time::Duration;

use model::{Instance, InstanceState, Millis, Operation, OperationKind, Spec};

use super::{State, sample};
use crate::{Accept, Accepted, Fence, Refusal, Write};

/// A lease that no case outlives.
pub(super) const LEASE: Duration = Duration::from_secs(600);

/// An operation under way, and the proof of its lease.
pub(super) type Begun = (Operation, Fence);

/// Accepts, against the instance as it is now.
pub(super) async fn accept(state: &Arc<dyn State>, accept: Accept) -> Accepted {
    let id = accept.operation.instance.clone();
    let expected = state.instance(&id).await.unwrap().map(|instance| instance.updated_at);
    state.accept(accept, expected).await.unwrap()
}

/// Accepts what nothing stands against.
pub(super) async fn accepted(state: &Arc<dyn State>, wish: Accept) {
    assert_eq!(accept(state, wish).await, Accepted::Yes);
}

/// Accepts what must be refused; why it was.
pub(super) async fn refused(state: &Arc<dyn State>, wish: Accept) -> Refusal {
    match accept(state, wish).await {
        Accepted::No(refusal) => refusal,
        Accepted::Yes => panic!("it was accepted"),
    }
}

/// Accepts, and leases the job, which must be the one that is next.
pub(super) async fn begin(
    state: &Arc<dyn State>,
    kind: OperationKind,
    instance: &str,
    spec: &Spec,
    now: Millis,
) -> Begun {
    let wish = sample::accept(kind, instance, spec, now);
    let operation = wish.operation.clone();
    accepted(state, wish).await;
    let lease = state.lease(now, LEASE).await.unwrap().expect("a job is ready");
    assert_eq!(lease.job.operation_id, operation.id, "another job was ready longer");
    (operation, lease.fence)
}

/// Ends an operation with `writes`; the revision that was written, if any.
pub(super) async fn finish(
    state: &Arc<dyn State>,
    begun: &Begun,
    writes: Vec<Write>,
    now: Millis,
) -> Option<u64> {
    state.save(sample::finish(&begun.1, &begun.0, writes, now)).await.unwrap()
}

/// Provisions or updates an instance until it is published; its revision.
pub(super) async fn publish(
    state: &Arc<dyn State>,
    instance: &str,
    spec: &Spec,
    now: Millis,
) -> u64 {
    let known = state.instance(&sample::instance_id(instance)).await.unwrap();
    let lives = known.is_some_and(|it| it.state == InstanceState::Ready);
    let kind = if lives { OperationKind::Update } else { OperationKind::Provision };
    let begun = begin(state, kind, instance, spec, now).await;
    let revision = finish(state, &begun, vec![Write::Publish(spec.clone())], now).await;
    revision.expect("a publish has a revision")
}

/// Deprovisions an instance that is published; the revision at which it is gone.
pub(super) async fn remove(state: &Arc<dyn State>, instance: &str, now: Millis) -> u64 {
    let spec = get(state, instance).await.spec;
    let begun = begin(state, OperationKind::Deprovision, instance, &spec, now).await;
    let gone = vec![Write::Unpublish, Write::ReleaseAll, Write::State(InstanceState::Deleted)];
    finish(state, &begun, gone, now).await.expect("an unpublish has a revision")
}

/// An instance that is there.
pub(super) async fn get(state: &Arc<dyn State>, instance: &str) -> Instance {
    let found = state.instance(&sample::instance_id(instance)).await.unwrap();
    found.unwrap_or_else(|| panic!("there is no instance {instance}"))
}

/// Who holds a hostname.
pub(super) async fn holder(state: &Arc<dyn State>, name: &str) -> Option<String> {
    let owner = state.hostname(&sample::hostname(name)).await.unwrap();
    owner.map(|owner| owner.instance.into())
}
