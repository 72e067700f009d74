//! How operations end when the fleet does not follow.

use model::{InstanceState, OperationState, Plan};

use super::memory::OPERATIONS_KEPT;
use super::world::{Mood, Seen, World, id, plain, spec};

#[test]
fn what_the_fleet_rejects_fails_with_the_reason_and_keeps_what_is_served_whole() {
    let (world, id) = (World::new(), id("i"));
    let (old, new) = (spec(Plan::Public, &["a.test"]), spec(Plan::Internal, &["b.test"]));
    world.wish(&id, &Some(old.clone()));
    world.mood(Mood::Rejects);
    let ended = world.wish(&id, &Some(new.clone()));
    assert_eq!(ended.state, OperationState::Failed);
    assert_eq!(ended.error.as_deref(), Some("a proxy refused it"));
    let seen = world.see(&id);
    assert_eq!((seen.served, seen.published), (Some(old.clone()), Some(new.clone())));
    assert_eq!(seen.claims, [&old.hostnames[..], &new.hostnames[..]].concat());

    world.mood(Mood::Follows);
    let wish = Some(spec(Plan::Internal, &["c.test"]));
    world.wish(&id, &wish);
    assert_eq!(world.see(&id), Seen::asked(&wish), "the next success clears up after both");
}

#[test]
fn a_fleet_that_lags_fails_the_operation_after_its_time_and_undoes_nothing() {
    let (world, id) = (World::new(), id("i"));
    world.mood(Mood::Lags);
    let saves = world.store.state().saves;
    let ended = world.wish(&id, &Some(spec(Plan::Internal, &["a.test"])));
    let error = ended.error.expect("an error");
    assert_eq!(error, "live on only 0/1 proxies after 60 s: proxy a is silent");
    assert_eq!(world.see(&id).state, Some(InstanceState::Ready));
    assert_eq!(world.store.state().saves - saves, 4, "a note is saved when it changes");
    world.mood(Mood::Follows);
    world.wish(&id, &None);
    assert_eq!(world.see(&id), Seen::asked(&None));
}

#[test]
fn what_waited_too_long_for_a_worker_is_undone_and_says_so() {
    let (world, id) = (World::new(), id("i"));
    let operation = world.accept(&id, &Some(spec(Plan::Internal, &["a.test"])));
    world.pass(15 * 60 * 1000);
    let ended = world.finish(&operation, &plain);
    let error = ended.error.expect("an error");
    assert_eq!(error, "not published within 15 minutes: the platform was not working on it");
    let seen = world.see(&id);
    assert_eq!((seen.state, seen.claims), (Some(InstanceState::Failed), vec![]));
}

#[test]
fn what_is_served_is_remembered_for_longer_than_the_operation_that_made_it() {
    let (world, id) = (World::new(), id("i"));
    let served = spec(Plan::Public, &["a.test", "b.test"]);
    world.wish(&id, &Some(served.clone()));
    world.mood(Mood::Rejects);
    world.wish(&id, &Some(spec(Plan::Internal, &["c.test"])));
    // Refused before its publish so often that the store has forgotten what came before.
    for _ in 0..2 * OPERATIONS_KEPT {
        let operation = world.accept(&id, &Some(spec(Plan::Public, &["a.test", "d.test"])));
        world.pass(15 * 60 * 1000);
        assert_eq!(world.finish(&operation, &plain).revision, None);
    }
    let seen = world.see(&id);
    let names: Vec<_> = seen.claims.iter().map(|name| name.as_str()).collect();
    assert_eq!(names, ["a.test", "b.test", "c.test"]);
    assert_eq!(seen.served, Some(served));
    assert_eq!(seen.records.len(), 3);

    world.mood(Mood::Follows);
    let wish = Some(spec(Plan::Internal, &["a.test"]));
    world.wish(&id, &wish);
    assert_eq!(world.see(&id), Seen::asked(&wish));
}
