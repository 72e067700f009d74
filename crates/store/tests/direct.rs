//! An operator does not pass over what a worker is in the midst of.

mod common;

use std::time::Duration;

use common::OnDisk;
use model::{
    Direction, Operation, OperationKind, Requester, StepRecord, StepState, Waits, WaitsFor,
};
use store::contract::sample;
use store::{Accepted, Directed, Fence, Operators, Queue, Save, Store};

const LEASE: Duration = Duration::from_secs(30);

async fn skip(store: &store::sqlite::Sqlite, operation: &Operation, now: i64) -> Directed {
    let by = Requester {
        credential: "ann".to_owned(),
        originating_identity: None,
        request_identity: None,
    };
    let direction = Direction::Skip { step: "dns".to_owned(), reason: "by hand".to_owned() };
    store.direct(&operation.id, direction, by, now).await.expect("answers")
}

/// A provision whose step `dns` is as `step` says, and the fence under which that was saved.
async fn at(disk: &OnDisk, step: StepRecord) -> (store::sqlite::Sqlite, Operation, Fence) {
    let store = disk.sqlite();
    let spec = sample::spec("shop", &["shop.example.com"]);
    let wish = sample::accept(OperationKind::Provision, "one", &spec, 1_000);
    let mut operation = wish.operation.clone();
    assert_eq!(store.accept(wish, None).await, Ok(Accepted::Yes));
    let fence = store.lease(2_000, LEASE).await.expect("leases").expect("a job").fence;
    operation.steps = vec![step];
    let save =
        Save { fence: fence.clone(), operation: operation.clone(), writes: vec![], now: 2_000 };
    store.save(save).await.expect("saves");
    (store, operation, fence)
}

fn step(state: StepState) -> StepRecord {
    StepRecord { state, skippable: true, ..StepRecord::new("dns", "DNS records") }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_worker_is_at_is_passed_over_when_it_has_let_go() {
    let disk = OnDisk::fresh();
    let (store, operation, fence) = at(&disk, step(StepState::Running)).await;
    let Directed::No(why) = skip(&store, &operation, 3_000).await else { panic!("refused") };
    assert!(why.starts_with("a worker is at this step now"), "{why}");
    assert_eq!(store.operation(&operation.id).await.expect("reads"), Some(operation.clone()));
    store.release(&fence, 60_000).await.expect("gives it back");
    assert!(matches!(skip(&store, &operation, 3_000).await, Directed::Yes(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_worker_was_at_is_passed_over_when_its_lease_has_run_out() {
    let disk = OnDisk::fresh();
    let (store, operation, _) = at(&disk, step(StepState::Undoing)).await;
    assert!(matches!(skip(&store, &operation, 31_999).await, Directed::No(_)));
    assert!(
        matches!(skip(&store, &operation, 32_001).await, Directed::No(why) if why.contains("over already"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_begun_or_waits_is_passed_over_at_once() {
    let waits = Some(Waits { on: WaitsFor::User, since: 1 });
    for step in [step(StepState::Pending), StepRecord { waits, ..step(StepState::Running) }] {
        let disk = OnDisk::fresh();
        let (store, operation, _) = at(&disk, step).await;
        assert!(matches!(skip(&store, &operation, 3_000).await, Directed::Yes(_)));
    }
}
