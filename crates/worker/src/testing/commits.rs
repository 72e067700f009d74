//! What an operation costs the store: one durable commit more is a millisecond more for everyone.

use model::{OperationState, Plan, Spec};

use super::world::{Seen, Wish, World, id, spec};

/// The page that tells it.
const TOLD: &str = include_str!("../../../../docs/explanation/operations.md");

fn internal(names: &[&str]) -> Wish {
    Some(spec(Plan::Internal, names))
}

fn public(names: &[&str]) -> Wish {
    Some(spec(Plan::Public, names))
}

fn with_route(wish: &Wish) -> Wish {
    let mut spec: Spec = wish.clone().expect("a spec");
    spec.parameters.response_headers.remove.push("x-changed".into());
    Some(spec)
}

#[test]
fn each_operation_costs_the_commits_that_the_documentation_tells() {
    let (one, two) = (internal(&["a.test"]), internal(&["a.test", "b.test"]));
    for (what, before, wish, commits) in [
        ("a provision", None, one.clone(), 3),
        ("an update of routes", Some(one.clone()), with_route(&one), 2),
        ("an update with a new name", Some(one.clone()), two.clone(), 3),
        ("an update without an old name", Some(two), one.clone(), 3),
        ("an update that moves to another name", Some(one.clone()), internal(&["b.test"]), 4),
        ("becoming public", Some(one.clone()), public(&["a.test"]), 3),
        ("leaving public", Some(public(&["a.test"])), one.clone(), 3),
        ("a deprovision", Some(one.clone()), None, 3),
    ] {
        let (world, id) = (World::new(), id("i"));
        if let Some(before) = before {
            world.wish(&id, &before);
        }
        let saves = world.store.state().saves;
        let ended = world.wish(&id, &wish);
        assert_eq!(ended.state, OperationState::Succeeded, "{what}: {:?}", ended.error);
        assert_eq!(world.see(&id), Seen::asked(&wish), "{what}");
        assert_eq!(world.store.state().saves - saves, commits, "{what}: {:#?}", ended.steps);
        assert!(TOLD.contains(&format!("| {what} | {commits} |\n")), "{what} is told otherwise");
    }
}
