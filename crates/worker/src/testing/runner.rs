//! The runner on tokio's own virtual time: what it does when workers, stores and steps do not
//! behave, and that it ends everything all the same.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use model::{InstanceId, Operation, OperationState, Plan, Spec, StepState};
use store::Queue;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::bent::{Fault, Side, bent};
use super::world::{Mood, Seen, TestFleet, Wish, World, id, plain, spec};
use crate::carry::Pipelines;
use crate::{Config, Convergence, Fleet, Ports, Worker};

/// A fleet that takes the time that it is given.
struct Slow(Arc<TestFleet>);

#[async_trait]
impl Fleet for Slow {
    async fn check(&self, id: &InstanceId, spec: &Spec) -> Result<(), String> {
        self.0.check(id, spec).await
    }

    async fn converged(&self, id: &InstanceId, revision: u64, within: Duration) -> Convergence {
        let told = self.0.converged(id, revision, Duration::ZERO).await;
        if matches!(told, Convergence::Behind { .. }) {
            tokio::time::sleep(within).await;
        }
        told
    }
}

/// The world's ports, with a clock and a fleet that follow tokio's time.
fn ports(world: &World) -> Ports {
    let (start, began) = (world.now(), Instant::now());
    let passed = move || i64::try_from(began.elapsed().as_millis()).expect("a short test");
    let fleet = Arc::new(Slow(world.fleet.clone()));
    Ports { fleet, clock: Arc::new(move || start + passed()), ..world.ports() }
}

/// A worker that runs until it is told to stop.
struct Run {
    stop: oneshot::Sender<()>,
    runs: JoinHandle<()>,
}

impl Run {
    fn new(ports: Ports, pipelines: Arc<Pipelines>) -> Self {
        let (stop, stopped) = oneshot::channel::<()>();
        let worker = Worker::bent(ports, Config::default(), pipelines);
        Self { stop, runs: tokio::spawn(worker.run(async { drop(stopped.await) })) }
    }

    async fn stop(self) {
        self.stop.send(()).expect("it still runs");
        self.runs.await.expect("it has not panicked");
    }
}

fn find(world: &World, operation: &Operation) -> Operation {
    let state = world.store.state();
    state.operations.iter().find(|o| o.id == operation.id).expect("is there").clone()
}

async fn until(
    world: &World,
    operation: &Operation,
    what: impl Fn(&Operation) -> bool,
) -> Operation {
    loop {
        let found = find(world, operation);
        if what(&found) {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn end(world: &World, operation: &Operation) -> Operation {
    until(world, operation, |o| o.state != OperationState::InProgress).await
}

fn wish(n: u32) -> Wish {
    Some(spec(Plan::Internal, &[&format!("s{n}.test")]))
}

#[tokio::test(start_paused = true)]
async fn many_operations_are_carried_out_at_once() {
    let world = World::new();
    let ids = (0..200).map(|n| (n, id(&format!("i{n}"))));
    let all: Vec<_> = ids.map(|(n, id)| (world.accept(&id, &wish(n)), id, n)).collect();
    let run = Run::new(ports(&world), Arc::new(plain));
    for (operation, id, n) in all {
        end(&world, &operation).await;
        assert_eq!(world.see(&id), Seen::asked(&wish(n)));
    }
    run.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_extended_for_as_long_as_its_job_moves() {
    let (world, id) = (World::new(), id("i"));
    world.mood(Mood::Lags);
    let operation = world.accept(&id, &wish(1));
    let run = Run::new(ports(&world), Arc::new(plain));
    let ended = end(&world, &operation).await;
    assert_eq!(
        ended.error.as_deref(),
        Some("live on only 0/1 proxies after 60 s: proxy a is silent")
    );
    assert_eq!(world.store.state().fences[&operation.id], 1, "it was leased once");
    run.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_gives_back_what_waits_and_another_worker_ends_it() {
    let (world, id) = (World::new(), id("i"));
    world.mood(Mood::Lags);
    let operation = world.accept(&id, &wish(1));
    let ports = ports(&world);
    let run = Run::new(ports.clone(), Arc::new(plain));
    let waits = |o: &Operation| o.steps.last().is_some_and(|s| s.state == StepState::Running);
    until(&world, &operation, waits).await;
    run.stop().await;
    let now = (ports.clock)();
    assert!(world.store.state().jobs[&operation.id].ready_at <= now, "it can be leased at once");
    assert_eq!(find(&world, &operation).state, OperationState::InProgress);

    world.mood(Mood::Follows);
    let run = Run::new(ports, Arc::new(plain));
    end(&world, &operation).await;
    assert_eq!(world.see(&id), Seen::asked(&wish(1)));
    run.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_job_that_was_taken_over_is_dropped() {
    let (world, id) = (World::new(), id("i"));
    world.mood(Mood::Lags);
    let operation = world.accept(&id, &wish(1));
    let ports = ports(&world);
    let run = Run::new(ports.clone(), Arc::new(plain));
    until(&world, &operation, |o| o.revision.is_some()).await;
    // Somebody whose clock is an hour ahead.
    let lease = world.store.lease((ports.clock)() + 3_600_000, Duration::from_secs(3_600)).await;
    let lease = lease.expect("leases").expect("the lease has run out for them");
    tokio::time::sleep(Duration::from_secs(100)).await;
    let found = find(&world, &operation);
    assert_eq!(found.state, OperationState::InProgress, "{found:#?}");
    assert_eq!(world.store.state().fences[&operation.id], lease.fence.number);
    run.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_step_that_hangs_is_dropped_and_tried_again_and_in_the_end_undone() {
    let (world, id) = (Arc::new(World::new()), id("i"));
    let operation = world.accept(&id, &wish(1));
    let hangs = bent(&world, &[(1, Side::Apply, Fault::AlwaysCrashes)]);
    let run = Run::new(ports(&world), Arc::from(hangs));
    let ended = end(&world, &operation).await;
    assert_eq!(ended.state, OperationState::Failed);
    assert!(world.store.state().fences[&operation.id] > 2, "it was tried again");
    let seen = world.see(&id);
    assert!(seen.claims.is_empty() && seen.records.is_empty(), "{seen:#?}");
    run.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_step_that_panics_harms_nobody_else() {
    let (world, bad) = (Arc::new(World::new()), id("bad"));
    let poison = world.accept(&bad, &wish(1));
    let bends = bent(&world, &[(2, Side::Apply, Fault::AlwaysPanics)]);
    let pipelines = move |operation: &Operation, held, limits| {
        if operation.instance == bad {
            bends(operation, held, limits)
        } else {
            plain(operation, held, limits)
        }
    };
    let run = Run::new(ports(&world), Arc::new(pipelines));
    let good = world.accept(&id("good"), &wish(2));
    assert_eq!(end(&world, &good).await.state, OperationState::Succeeded);
    let ended = end(&world, &poison).await;
    let error = ended.error.expect("an error");
    assert_eq!(error, "an internal error interrupted this step (gave up after 12 attempts)");
    run.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_operation_without_a_job_is_found() {
    let (world, id) = (World::new(), id("i"));
    let run = Run::new(ports(&world), Arc::new(plain));
    tokio::time::sleep(Duration::from_secs(1)).await;
    let operation = world.accept(&id, &wish(1));
    world.store.state().jobs.clear();
    end(&world, &operation).await;
    assert_eq!(world.see(&id), Seen::asked(&wish(1)));
    run.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_down_for_a_while_loses_nothing() {
    for seconds in [1, 20, 300] {
        let (world, id) = (World::new(), id("i"));
        world.mood(Mood::Lags);
        let run = Run::new(ports(&world), Arc::new(plain));
        let first = world.accept(&id, &wish(1));
        until(&world, &first, |o| o.revision.is_some()).await;
        world.store.state().down = true;
        let second = world.accept(&self::id("j"), &wish(2));
        world.mood(Mood::Follows);
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        assert_eq!(find(&world, &first).state, OperationState::InProgress);
        world.store.state().down = false;
        for (operation, n) in [(first, 1), (second, 2)] {
            end(&world, &operation).await;
            assert_eq!(world.see(&operation.instance), Seen::asked(&wish(n)));
        }
        run.stop().await;
    }
}
