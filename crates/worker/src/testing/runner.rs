//! The runner on tokio's own virtual time: what it does when workers, stores and steps do not
//! behave, and that it ends everything all the same.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use model::{InstanceId, Operation, OperationState, Plan, Spec, StepState, WaitsFor};
use store::Queue;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::bent::{Fault, Side, bent};
use super::world::{Mood, Seen, TestFleet, Wish, World, id, plain, spec};
use crate::carry::Pipelines;
use crate::{Config, Convergence, Fleet, Holdings, Outcome, Ports, Step, Work, Worker};

/// A fleet that tells as soon as it follows, and else takes the time that it is given. Instances
/// whose id begins with `late` do not follow while `late` is set.
struct Slow {
    fleet: Arc<TestFleet>,
    late: watch::Receiver<bool>,
}

#[async_trait]
impl Fleet for Slow {
    async fn check(&self, id: &InstanceId, spec: &Spec) -> Result<(), String> {
        self.fleet.check(id, spec).await
    }

    async fn converged(&self, id: &InstanceId, revision: u64, within: Duration) -> Convergence {
        let mut late = self.late.clone();
        if id.as_str().starts_with("late") {
            let follows = late.wait_for(|late| !late);
            if tokio::time::timeout(within, follows).await.is_err() {
                return Convergence::Behind { have: 1, ready: 2, why: "proxy b is silent".into() };
            }
        }
        let told = self.fleet.converged(id, revision, Duration::ZERO).await;
        if matches!(told, Convergence::Behind { .. }) {
            tokio::time::sleep(within).await;
        }
        told
    }
}

/// The world's ports, with a clock and a fleet that follow tokio's time.
fn ports(world: &World) -> Ports {
    ports_with(world, watch::channel(false).1)
}

fn ports_with(world: &World, late: watch::Receiver<bool>) -> Ports {
    let (start, began) = (world.now(), Instant::now());
    let passed = move || i64::try_from(began.elapsed().as_millis()).expect("a short test");
    let fleet = Arc::new(Slow { fleet: world.fleet.clone(), late });
    Ports { fleet, clock: Arc::new(move || start + passed()), ..world.ports() }
}

/// A step that takes so long each time.
struct Takes(Duration);

#[async_trait]
impl Step for Takes {
    fn name(&self) -> &'static str {
        "takes"
    }

    fn says(&self, _operation: &Operation) -> String {
        "Taking its time".into()
    }

    fn acts(&self, _operation: &Operation, _held: &Holdings) -> bool {
        true
    }

    async fn apply(&self, _work: &Work<'_>) -> Outcome {
        tokio::time::sleep(self.0).await;
        Outcome::done()
    }
}

/// The pipelines as they are, with such a step before the commit of what makes something.
fn taking(seconds: u64) -> Arc<Pipelines> {
    Arc::new(move |operation: &Operation, held, limits| {
        let mut pipeline = plain(operation, held, limits);
        if operation.target.is_some() {
            pipeline.before.push(Arc::new(Takes(Duration::from_secs(seconds))));
        }
        pipeline
    })
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
async fn a_team_whose_steps_are_slow_holds_up_no_other() {
    let world = World::new();
    let slow: Vec<_> = (0..200).map(|n| world.accept(&id(&format!("i{n}")), &wish(n))).collect();
    let pipelines: Arc<Pipelines> = Arc::new(|operation: &Operation, held, limits| {
        let is_slow = operation.instance.as_str().starts_with('i');
        if is_slow { taking(100)(operation, held, limits) } else { plain(operation, held, limits) }
    });
    let run = Run::new(ports(&world), pipelines);
    tokio::time::sleep(Duration::from_secs(10)).await;
    let began = Instant::now();
    for n in 0..10 {
        let id = id(&format!("other{n}"));
        let quick = world.accept(&id, &wish(1_000 + n));
        world.store.state().instances.get_mut(&id).expect("accepted").owner.space = "other".into();
        assert_eq!(end(&world, &quick).await.state, OperationState::Succeeded);
    }
    assert!(began.elapsed() < Duration::from_secs(5), "not when the slow ones have ended");
    for operation in &slow {
        end(&world, operation).await;
    }
    run.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_the_fleet_holds_no_worker_and_is_told_at_once() {
    let world = World::new();
    let (follow, late) = watch::channel(true);
    let all: Vec<_> = (0..300).map(|n| world.accept(&id(&format!("late{n}")), &wish(n))).collect();
    let run = Run::new(ports_with(&world, late), Arc::new(plain));
    tokio::time::sleep(Duration::from_secs(10)).await;
    let began = Instant::now();
    let quick = world.accept(&id("quick"), &wish(1_000));
    assert_eq!(end(&world, &quick).await.state, OperationState::Succeeded);
    assert!(began.elapsed() < Duration::from_secs(2), "the idle pause at most");
    for operation in &all {
        let step = find(&world, operation).steps.last().cloned().expect("a step");
        assert_eq!(step.note.as_deref(), Some("live on 1/2 proxies; proxy b is silent"));
        assert_eq!(step.waits_now().map(|waits| waits.on), Some(WaitsFor::Fleet));
    }
    // In the middle of the longest pause between two looks.
    tokio::time::sleep(Duration::from_secs(22)).await;
    let before = world.store.state().saves;
    follow.send(false).expect("is waited for");
    tokio::time::sleep(Duration::from_secs(2)).await;
    for operation in &all {
        assert_eq!(find(&world, operation).state, OperationState::Succeeded);
    }
    assert_eq!(world.store.state().saves - before, all.len(), "looks are not saved");
    run.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_fleet_that_does_not_follow_fails_what_waits_for_it_in_time() {
    let world = World::new();
    let (_follow, late) = watch::channel(true);
    let operation = world.accept(&id("late"), &wish(1));
    let run = Run::new(ports_with(&world, late), Arc::new(plain));
    let ended = end(&world, &operation).await;
    let error = ended.error.as_deref().expect("an error");
    assert_eq!(error, "live on only 1/2 proxies after 60 s: proxy b is silent");
    let took = ended.finished_at.expect("an end") - ended.created_at;
    assert!((60_000..66_000).contains(&took), "{took}");
    run.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_extended_for_as_long_as_its_job_moves() {
    let (world, id) = (World::new(), id("i"));
    let operation = world.accept(&id, &wish(1));
    let run = Run::new(ports(&world), taking(100));
    assert_eq!(end(&world, &operation).await.state, OperationState::Succeeded);
    assert_eq!(world.store.state().fences[&operation.id], 1, "it was leased once");
    run.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_gives_back_what_it_was_at_and_another_worker_ends_it() {
    let (world, id) = (World::new(), id("i"));
    let operation = world.accept(&id, &wish(1));
    let ports = ports(&world);
    let run = Run::new(ports.clone(), taking(5));
    let takes = |o: &Operation| o.steps.get(2).is_some_and(|s| s.state == StepState::Running);
    until(&world, &operation, takes).await;
    run.stop().await;
    let now = (ports.clock)();
    assert!(world.store.state().jobs[&operation.id].ready_at <= now, "it can be leased at once");
    assert_eq!(find(&world, &operation).state, OperationState::InProgress);

    let run = Run::new(ports, taking(5));
    end(&world, &operation).await;
    assert_eq!(world.see(&id), Seen::asked(&wish(1)));
    run.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_cancelled_ends_its_step_before_its_successor_begins() {
    let (world, id) = (World::new(), id("i"));
    let older = world.accept(&id, &wish(1));
    let run = Run::new(ports(&world), taking(20));
    let takes = |o: &Operation| o.steps.get(2).is_some_and(|s| s.state == StepState::Running);
    until(&world, &older, takes).await;
    let newer = world.accept_over(&id, &None, Some(&older));
    tokio::time::sleep(Duration::from_secs(15)).await;
    assert!(find(&world, &newer).steps.is_empty(), "the other's step is still at work");
    let ended = end(&world, &newer).await;
    assert_eq!(ended.state, OperationState::Succeeded);
    let after = ended.finished_at.expect("an end") - ended.created_at;
    assert!((15_000..25_000).contains(&after), "as soon as it could: {after}");
    assert_eq!(world.see(&id), Seen::asked(&None));
    assert_eq!(find(&world, &older).revision, None);
    run.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_job_that_was_taken_over_is_dropped() {
    let (world, id) = (World::new(), id("i"));
    let operation = world.accept(&id, &wish(1));
    let ports = ports(&world);
    let run = Run::new(ports.clone(), taking(100));
    until(&world, &operation, |o| !o.steps.is_empty()).await;
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

#[tokio::test(start_paused = true)]
async fn an_operation_that_breaks_every_worker_is_given_up_for_all_to_see() {
    let (world, bad) = (World::new(), id("bad"));
    let poison = world.accept(&bad, &wish(1));
    let pipelines = move |operation: &Operation, held, limits| {
        if operation.instance == bad {
            // Beyond what is watched over as a step.
            std::panic::resume_unwind(Box::new("as the test said"));
        }
        plain(operation, held, limits)
    };
    let run = Run::new(ports(&world), Arc::new(pipelines));
    let good = world.accept(&id("good"), &wish(2));
    assert_eq!(end(&world, &good).await.state, OperationState::Succeeded);
    let ended = end(&world, &poison).await;
    let error = ended.error.expect("an error");
    assert!(error.starts_with("every worker that took this operation broke"), "{error}");
    assert_eq!(world.store.state().fences[&poison.id], 11);
    run.stop().await;
}
