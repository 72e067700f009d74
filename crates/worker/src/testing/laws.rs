//! Laws for every step of every pipeline, found by the program: write a step, put it into a
//! pipeline, and they come to test it. Whatever goes wrong, the world is as asked or as before.

use std::sync::Arc;

use model::{
    Direction, Exposure, InstanceId, InstanceState, Operation, OperationKind, OperationState, Plan,
    StepRecord, StepState, WaitsFor,
};

use super::bent::{Fault, LASTING, PASSING, Side, When, bent, hooked};
use super::world::{Mood, Seen, Wish, World, id, plain, spec};
use crate::engine::{Event, advance};
use crate::{Holdings, Limits, Pipeline};

/// What was asked before, and how the fleet took it.
type Past = Vec<(Wish, Mood)>;

fn wishes() -> Vec<Wish> {
    let names: [&[&str]; 3] = [&["a.test"], &["a.test", "b.test"], &["c.test"]];
    let of = |plan: Plan| names.map(|names| Some(spec(plan, names)));
    Plan::ALL.into_iter().flat_map(of).collect()
}

/// Every way in which an instance may have come to where it is, as far as steps can tell.
fn pasts() -> Vec<Past> {
    use Mood::{Follows, Rejects};
    let mut pasts: Vec<Past> = vec![vec![]];
    for wish in wishes() {
        pasts.push(vec![(wish.clone(), Follows)]);
        pasts.push(vec![(wish.clone(), Rejects)]);
        let public = Some(spec(Plan::Public, &["a.test"]));
        pasts.push(vec![(public, Follows), (wish.clone(), Rejects)]);
        pasts.push(vec![(wish, Follows), (None, Follows)]);
    }
    pasts
}

/// A world with that past, a neighbour, and one instance to ask something of.
fn world(past: &Past) -> (Arc<World>, InstanceId) {
    let (world, id) = (Arc::new(World::new()), id("i"));
    world.wish(&self::id("neighbour"), &neighbour());
    for (wish, mood) in past {
        world.mood(*mood);
        world.wish(&id, wish);
        world.mood(Mood::Follows);
    }
    (world, id)
}

fn neighbour() -> Wish {
    Some(spec(Plan::Public, &["neighbour.test"]))
}

/// Runs `law` for every past, every wish that a broker would accept then, and every step of the
/// pipeline that follows; the last argument tells where a failure was.
fn for_every_step(law: impl Fn(&Past, &Wish, OperationKind, usize, &str)) {
    for past in pasts() {
        let gone = past.last().is_none_or(|(wish, _)| wish.is_none());
        for wish in wishes().into_iter().chain([None]).filter(|wish| wish.is_some() || !gone) {
            let kind = match (&wish, gone) {
                (None, _) => OperationKind::Deprovision,
                (_, true) => OperationKind::Provision,
                (_, false) => OperationKind::Update,
            };
            let pipeline = Pipeline::of(kind, Holdings::default(), Limits::default());
            for at in 0..pipeline.len() {
                let step = pipeline.step(at).name();
                law(&past, &wish, kind, at, &format!("{kind:?} {step}: {wish:?} after {past:?}"));
            }
        }
    }
}

fn run(
    past: &Past,
    wish: &Wish,
    faults: &[(usize, Side, Fault)],
) -> (Arc<World>, InstanceId, Seen, Operation) {
    let (world, id) = world(past);
    let before = world.see(&id);
    let operation = world.accept(&id, wish);
    let ended = world.finish(&operation, bent(&world, faults).as_ref());
    assert_eq!(world.see(&self::id("neighbour")), Seen::asked(&neighbour()));
    (world, id, before, ended)
}

/// The place of the commit step.
fn commit(kind: OperationKind) -> usize {
    Pipeline::of(kind, Holdings::default(), Limits::default()).commit_at()
}

/// As it was; but a provision that was undone leaves a row that says so, and a deprovision that was
/// accepted can only be asked again.
fn as_before(kind: OperationKind, before: Seen) -> Seen {
    let state = match kind {
        OperationKind::Provision => Some(InstanceState::Failed),
        OperationKind::Update => before.state,
        OperationKind::Deprovision => Some(InstanceState::Deprovisioning),
    };
    Seen { state, ..before }
}

#[test]
fn what_goes_wrong_once_is_as_if_it_had_not() {
    for_every_step(|past, wish, kind, at, place| {
        for fault in PASSING {
            let (world, id, before, ended) = run(past, wish, &[(at, Side::Apply, fault)]);
            if fault == Fault::TakesTooLong && at <= commit(kind) {
                assert_eq!(ended.state, OperationState::Failed, "{fault:?} of {place}");
                assert_eq!(world.see(&id), as_before(kind, before), "{fault:?} of {place}");
            } else {
                assert_eq!(ended.state, OperationState::Succeeded, "{fault:?} of {place}");
                assert_eq!(world.see(&id), Seen::asked(wish), "{fault:?} of {place}");
            }
        }
    });
}

#[test]
fn what_goes_wrong_for_good_is_undone_before_the_commit_and_can_be_asked_again_after_it() {
    for_every_step(|past, wish, kind, at, place| {
        for fault in LASTING {
            let (world, id, before, ended) = run(past, wish, &[(at, Side::Apply, fault)]);
            assert_eq!(ended.state, OperationState::Failed, "{fault:?} of {place}");
            assert!(ended.error.is_some_and(|e| !e.is_empty()), "{fault:?} of {place}");
            if at <= commit(kind) {
                assert_eq!(world.see(&id), as_before(kind, before), "{fault:?} of {place}");
            }
            let again = world.wish(&id, wish);
            assert_eq!(again.state, OperationState::Succeeded, "{fault:?} of {place}, again");
            assert_eq!(world.see(&id), Seen::asked(wish), "{fault:?} of {place}, again");
        }
    });
}

#[test]
fn an_undo_that_goes_wrong_once_is_as_if_it_had_not() {
    for_every_step(|past, wish, kind, at, place| {
        if at >= commit(kind) {
            return;
        }
        let refused = (commit(kind), Side::Apply, LASTING[0]);
        for fault in PASSING.into_iter().filter(|fault| !matches!(fault, Fault::Overtaken(_))) {
            let (world, id, before, _) = run(past, wish, &[refused, (at, Side::Undo, fault)]);
            assert_eq!(world.see(&id), as_before(kind, before), "{fault:?} of {place}");
        }
    });
}

#[test]
fn an_undo_that_goes_wrong_for_good_is_told_and_the_rest_can_be_cleared_away() {
    for_every_step(|past, wish, kind, at, place| {
        if at >= commit(kind) {
            return;
        }
        let refused = (commit(kind), Side::Apply, LASTING[0]);
        for fault in LASTING {
            let faults = [refused, (at, Side::Undo, fault)];
            let (world, id, before, ended) = run(past, wish, &faults);
            let error = ended.error.unwrap_or_default();
            assert!(error.contains("undoing it failed as well"), "{fault:?} of {place}: {error}");
            assert_eq!(world.see(&id).served, before.served, "{fault:?} of {place}");
            // A provision is cleared away by its deprovision; an update by the next one, too.
            let next = if kind == OperationKind::Provision { None } else { wish.clone() };
            let ended = world.wish(&id, &next);
            assert_eq!(ended.state, OperationState::Succeeded, "{fault:?} of {place}, then");
            assert_eq!(world.see(&id), Seen::asked(&next), "{fault:?} of {place}, then");
        }
    });
}

#[test]
fn every_past_can_be_asked_for_everything_and_then_for_nothing() {
    for past in pasts() {
        for wish in wishes() {
            let (world, id) = world(&past);
            world.wish(&id, &wish);
            assert_eq!(world.see(&id), Seen::asked(&wish), "{wish:?} after {past:?}");
            world.finish(&world.accept(&id, &None), &plain);
            assert_eq!(world.see(&id), Seen::asked(&None), "{wish:?} after {past:?}");
        }
    }
}

/// The commit of the pipeline that follows, where a law needs what is before it only.
fn stop_at(at: usize, kind: OperationKind) -> bool {
    at >= commit(kind)
}

/// Carries the operation out until it is at the step at `at`, where the worker dies: whatever is asked
/// then finds it there.
fn until_at(
    past: &Past,
    wish: &Wish,
    at: usize,
    when: When,
) -> (Arc<World>, InstanceId, Operation) {
    let (world, id) = world(past);
    let operation = world.accept(&id, wish);
    let faults = [(at, Side::Apply, Fault::Crashes(when))];
    let pipelines = bent(&world, &faults);
    let lease = world.lease().expect("it is ready");
    world.carry(&lease, pipelines.as_ref());
    (world, id, operation)
}

#[test]
fn what_is_deleted_at_any_step_is_gone_and_nothing_of_it_comes_after() {
    for_every_step(|past, wish, kind, at, place| {
        if kind == OperationKind::Deprovision {
            return;
        }
        for when in [When::Before, When::After] {
            let (world, id, older) = until_at(past, wish, at, when);
            let newer = world.accept_over(&id, &None, Some(&older));
            let ended = world.finish(&newer, &plain);
            assert_eq!(ended.state, OperationState::Succeeded, "{when:?} of {place}");
            assert_eq!(world.see(&id), Seen::asked(&None), "{when:?} of {place}");
            let older = world.find(&older.id);
            assert_eq!(older.state, OperationState::Failed, "{when:?} of {place}");
            assert!(older.cancelled_by() == Some(&newer.id), "{when:?} of {place}");
        }
    });
}

#[test]
fn what_is_published_gives_way_to_a_newer_wish_at_any_step() {
    for_every_step(|past, wish, kind, at, place| {
        if kind == OperationKind::Deprovision || at <= commit(kind) {
            return;
        }
        for when in [When::Before, When::After] {
            for newer in wishes() {
                let (world, id, older) = until_at(past, wish, at, when);
                let next = world.accept_over(&id, &newer, Some(&older));
                let ended = world.finish(&next, &plain);
                let place = format!("{newer:?} {when:?} of {place}");
                assert_eq!(ended.state, OperationState::Succeeded, "{place}");
                assert_eq!(world.see(&id), Seen::asked(&newer), "{place}");
                assert_eq!(world.find(&older.id).superseded_by(), Some(&next.id), "{place}");
            }
        }
    });
}

/// The worker was at its step when its lease was revoked, and goes on: nothing of it is written.
#[test]
fn a_worker_whose_operation_was_taken_from_it_writes_nothing() {
    for_every_step(|past, wish, kind, at, place| {
        if kind == OperationKind::Deprovision {
            return;
        }
        let (world, id) = world(past);
        let older = world.accept(&id, wish);
        let lease = world.lease().expect("it is ready");
        let (within, of) = (world.clone(), older);
        let hook = move || {
            if world_is_at_work(&within, &of) {
                within.accept_over(&of.instance, &None, Some(&of));
            }
        };
        let left = world.carry(&lease, hooked(at, Arc::new(hook)).as_ref());
        assert_eq!(left, Some(Err(store::StoreError::Fenced)), "{place}");
        world.release(&lease);
        let newer = world.latest(&id);
        assert_eq!(world.finish(&newer, &plain).state, OperationState::Succeeded, "{place}");
        assert_eq!(world.see(&id), Seen::asked(&None), "{place}");
    });
}

fn world_is_at_work(world: &World, operation: &Operation) -> bool {
    world.find(&operation.id).state == OperationState::InProgress
}

#[test]
fn what_an_operator_cancels_is_as_before() {
    for_every_step(|past, wish, kind, at, place| {
        if kind == OperationKind::Deprovision || stop_at(at, kind) {
            return;
        }
        for when in [When::Before, When::After] {
            let before = world(past).0.see(&id("i"));
            let (world, id, operation) = until_at(past, wish, at, when);
            let cancel = Direction::Cancel { reason: "a typo".into() };
            world.store.state().direct(&operation.id, &cancel, world.now());
            let ended = world.finish(&operation, &plain);
            assert_eq!(ended.error.as_deref(), Some("cancelled by an operator: a typo"));
            assert_eq!(world.see(&id), as_before(kind, before), "{when:?} of {place}");
        }
    });
}

#[test]
fn what_was_cancelled_before_it_began_holds_nothing() {
    for past in pasts() {
        for wish in wishes() {
            let (world, id) = world(&past);
            let before = world.see(&id);
            let operation = world.accept(&id, &wish);
            let cancel = Direction::Cancel { reason: "a typo".into() };
            world.store.state().direct(&operation.id, &cancel, world.now());
            let ended = world.finish(&operation, &plain);
            let as_before = as_before(ended.kind, before);
            assert_eq!(world.see(&id), as_before, "{wish:?} after {past:?}");
        }
    }
}

#[test]
fn a_forced_deprovision_ends_whatever_fails_and_tells_what_it_left() {
    for past in pasts() {
        if past.last().is_none_or(|(wish, _)| wish.is_none()) {
            continue;
        }
        for at in commit(OperationKind::Deprovision) + 1.. {
            let pipeline =
                Pipeline::of(OperationKind::Deprovision, Holdings::default(), Limits::default());
            if at + 1 >= pipeline.len() {
                break;
            }
            // Proxies that never heard of it serve it on, and that is what is told.
            let unheard = at == commit(OperationKind::Deprovision) + 1;
            let faults = LASTING.into_iter();
            for fault in faults.filter(|it| !unheard || *it != Fault::Refuses(When::Before)) {
                let (world, id) = world(&past);
                let operation = world.accept_forced(&id);
                let faults = [(at, Side::Apply, fault)];
                let ended = world.finish(&operation, bent(&world, &faults).as_ref());
                let place = format!("{fault:?} of step {at} after {past:?}");
                assert_eq!(ended.state, OperationState::Succeeded, "{place}: {:?}", ended.error);
                assert!(!ended.leftovers.is_empty(), "{place}");
                let seen = world.see(&id);
                assert_eq!((seen.state, seen.claims), (Some(InstanceState::Deleted), vec![]));
                assert_eq!(seen.published, None, "{place}");
            }
        }
    }
}

/// What a forced deprovision cannot leave, its commit and its names, is tried as often as any other's.
#[test]
fn a_forced_deprovision_gives_up_early_only_what_it_can_leave() {
    let past = vec![(Some(spec(Plan::Public, &["a.test"])), Mood::Follows)];
    let (world, id) = world(&past);
    let mut operation = world.accept_forced(&id);
    let names = [("a.test".parse().expect("a hostname"), Exposure::Public)].into();
    let held = Holdings { names, settled: true };
    let pipeline = || Pipeline::of(OperationKind::Deprovision, held.clone(), world.limits.clone());
    for (at, step) in pipeline().steps().enumerate() {
        let record = |step: &Arc<dyn crate::Step>| StepRecord {
            state: StepState::Done,
            ..StepRecord::new(step.name(), step.says(&operation))
        };
        let mut steps: Vec<_> = pipeline().steps().map(record).collect();
        steps[at] = StepRecord { state: StepState::Running, attempts: 3, ..steps[at].clone() };
        operation.steps = steps;
        let event = Event::Leased { again: true };
        let (next, _) = advance(&pipeline(), operation.clone(), event, world.now());
        let is_tried = next.steps[at].state == StepState::Running;
        assert_eq!(is_tried, !step.is_skippable(), "{}: {:?}", step.name(), next.error);
        assert_eq!(next.leftovers.is_empty(), is_tried, "{}", step.name());
        assert_eq!(next.error, None, "{}", step.name());
    }
}

/// What a deprovision has passed over, it has given up the names: who claims them again and fails has
/// not held them before.
#[test]
fn names_claimed_after_a_forced_deprovision_are_given_up_by_an_undo() {
    let wish = Some(spec(Plan::Public, &["a.test"]));
    let (world, id) = world(&vec![(wish.clone(), Mood::Follows)]);
    let forced = world.accept_forced(&id);
    let passed_over = [(commit(OperationKind::Deprovision) + 1, Side::Apply, Fault::AlwaysFails)];
    let ended = world.finish(&forced, bent(&world, &passed_over).as_ref());
    assert!(ended.steps.iter().any(|step| step.skipped.is_some()));
    let refused = [(commit(OperationKind::Provision), Side::Apply, LASTING[0])];
    let operation = world.accept(&id, &wish);
    let ended = world.finish(&operation, bent(&world, &refused).as_ref());
    assert_eq!(ended.state, OperationState::Failed);
    assert_eq!(world.see(&id).claims, vec![]);
}

/// Each wait of a step ends as if it had not been, however it comes out.
#[test]
fn what_waits_is_as_if_it_had_not() {
    for_every_step(|past, wish, _, at, place| {
        for on in [WaitsFor::User, WaitsFor::External, WaitsFor::Fleet] {
            let (world, id, _, ended) = run(past, wish, &[(at, Side::Apply, Fault::Waits(on))]);
            assert_eq!(ended.state, OperationState::Succeeded, "{on:?} of {place}");
            assert_eq!(world.see(&id), Seen::asked(wish), "{on:?} of {place}");
            let waited = ended.steps[at].waits.map(|waits| waits.on);
            assert_eq!(waited, Some(on), "{on:?} of {place}");
            assert_eq!(ended.steps[at].attempts, 1, "looks are no attempts");
        }
    });
}
