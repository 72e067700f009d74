//! The life of an instance, from its provision to its tombstone's end.

use std::sync::Arc;

use model::{InstanceState, Millis, OperationKind, OperationState};

use super::{Case, State, Subject, cases, sample};
use crate::{Accept, Accepted, Cursor, Lease, Write};

pub(super) const CASES: &[Case] = cases![from_provision_to_forgotten];

const LEASE: std::time::Duration = std::time::Duration::from_secs(30);

/// Accepts, and leases the job.
async fn begin(state: &Arc<dyn State>, accept: Accept, expected: Option<Millis>) -> Lease {
    let now = accept.operation.created_at;
    let id = accept.operation.id.clone();
    assert_eq!(state.accept(accept, expected).await, Ok(Accepted::Yes));
    let lease = state.lease(now, LEASE).await.unwrap().expect("the job is ready");
    assert_eq!(lease.job.operation_id, id);
    lease
}

async fn from_provision_to_forgotten(subject: Arc<dyn Subject>) {
    let state = subject.open().await;
    let now = subject.now();
    let spec = sample::spec("shop", &["shop.example.com"]);
    let id = sample::instance_id("one");

    let accept = sample::accept(OperationKind::Provision, "one", &spec, now);
    let operation = accept.operation.clone();
    let lease = begin(&state, accept, None).await;
    let instance = state.instance(&id).await.unwrap().expect("written");
    assert_eq!((instance.state, instance.revision), (InstanceState::Provisioning, None));
    assert!(state.changes(None, 10).await.unwrap().changes.is_empty());

    let publish = vec![Write::Publish(spec.clone())];
    let revision = state.save(sample::save(&lease.fence, &operation, publish, now)).await.unwrap();
    let revision = revision.expect("a publish has a revision");
    let instance = state.instance(&id).await.unwrap().expect("still there");
    assert_eq!((instance.state, instance.revision), (InstanceState::Ready, Some(revision)));
    let page = state.changes(None, 10).await.unwrap();
    let change = page.changes.first().expect("published");
    assert_eq!(
        (change.revision, &change.spec, &change.good),
        (revision, &Some(spec.clone()), &None)
    );

    let good = vec![Write::MarkGood(revision)];
    let mut done = sample::finish(&lease.fence, &operation, good, now);
    done.operation.revision = Some(revision);
    assert_eq!(state.save(done).await, Ok(None));
    let ended = state.operation(&operation.id).await.unwrap().expect("kept");
    assert_eq!((ended.state, ended.revision), (OperationState::Succeeded, Some(revision)));
    assert_eq!(state.depth(now).await, Ok((0, 0)));

    leave(&state, &page.cursor, now + 10).await;
}

/// Deprovisions the instance `one` until nothing is left of it.
async fn leave(state: &Arc<dyn State>, cursor: &Cursor, now: Millis) {
    let id = sample::instance_id("one");
    let instance = state.instance(&id).await.unwrap().expect("there");
    let accept = sample::accept(OperationKind::Deprovision, "one", &instance.spec, now);
    let operation = accept.operation.clone();
    let lease = begin(state, accept, Some(instance.updated_at)).await;
    let leaving = state.instance(&id).await.unwrap().expect("there");
    assert_eq!(leaving.state, InstanceState::Deprovisioning);

    let gone = vec![Write::Unpublish, Write::ReleaseAll, Write::State(InstanceState::Deleted)];
    let revision = state.save(sample::finish(&lease.fence, &operation, gone, now)).await.unwrap();
    let page = state.changes(Some(cursor.clone()), 10).await.unwrap();
    assert_eq!(page.changes.len(), 1);
    assert_eq!((Some(page.changes[0].revision), &page.changes[0].spec), (revision, &None));
    let tombstone = state.instance(&id).await.unwrap().expect("a tombstone");
    assert_eq!(tombstone.state, InstanceState::Deleted);
    assert_eq!(state.hostname(&sample::hostname("shop.example.com")).await, Ok(None));

    assert_eq!(state.forget(tombstone.updated_at).await, Ok(0));
    assert_eq!(state.forget(tombstone.updated_at + 1).await, Ok(1));
    assert_eq!(state.instance(&id).await, Ok(None));
    assert_eq!(state.operation(&operation.id).await, Ok(None));
}
