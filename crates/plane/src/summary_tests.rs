//! What a replica tells of all this, as another reads it.

use super::*;
use crate::Summary;

impl World {
    fn told(&self) -> Summary {
        let written = serde_json::to_vec(&self.state.summary()).unwrap();
        serde_json::from_slice(&written).unwrap()
    }

    /// What is told of a revision, which is what is known here.
    fn told_of(&self, owner: &str, revision: u64) -> Convergence {
        let told = self.told().converged(&id(owner), revision);
        let (Answer::Final(here) | Answer::Wait(here) | Answer::WaitUntil(_, here)) =
            self.converged(owner, revision);
        assert_eq!(told, here, "{owner} {revision}");
        told
    }
}

fn waits(have: usize, ready: usize, why: &str) -> Convergence {
    Convergence::Behind { have, ready, why: why.to_owned() }
}

#[test]
fn what_is_told_of_a_change_is_what_is_known_of_it() {
    let mut world = World::new(&[1, 2]);
    world.publish("a", 5, None);
    assert!(matches!(world.told_of("a", 5), Convergence::Behind { have: 0, ready: 2, .. }));
    assert_eq!(world.told().converged(&id("a"), 6), waits(0, 2, "not read yet"));
    world.render("a", &["route internal/a good"]);
    assert_eq!(world.told_of("a", 5), waits(0, 2, "not yet acknowledged by p1, p2"));
    world.settled(1, "a");
    assert_eq!(world.told_of("a", 5), waits(1, 2, "not yet acknowledged by p2"));
    world.settled(2, "a");
    assert_eq!(world.told_of("a", 5), Convergence::Live { proxies: 2, notice: None });
    assert_eq!(world.told().quarantined().count(), 0);

    world.change("a", 7, &["route internal/a bad"]);
    world.rejects(1, "a", "route internal/a bad");
    world.rejects(2, "a", "route internal/a bad");
    let told = world.told();
    assert_eq!(told.quarantined().collect::<Vec<_>>(), [&id("a")]);
    let refused = Convergence::Rejected { reason: REFUSED.to_owned() };
    assert_eq!(world.told_of("a", 7), refused);
    assert_eq!(told.converged(&id("a"), 6), refused, "whoever waits for what came before it");
}

#[test]
fn proxies_are_counted_where_they_are_and_answered_once_all_is_read() {
    let mut world = World::new(&[]);
    world.change("a", 5, &["route internal/a 1"]);
    let told = world.told();
    assert_eq!((told.ready, told.groups.len(), told.proxies.len()), (0, 0, 0));
    assert_eq!(told.revision, 5);
    world.open(1);
    let told = world.told();
    assert_eq!((told.ready, told.proxies.len()), (0, 1), "it is not heard from yet");
    assert_eq!(told.groups.iter().collect::<Vec<_>>(), [DEFAULT_GROUP]);
    world.synced(1);
    assert!(world.told().open);
    world.state.groups.get_mut(DEFAULT_GROUP).unwrap().open = false;
    let told = world.told();
    assert!(!told.open);
    assert_eq!(told.converged(&id("a"), 5), waits(0, 1, "being brought up to date"));
}

#[test]
fn what_is_not_told_for_length_is_not_taken_for_live() {
    let mut world = World::new(&[1]);
    world.change("zz", 1, &["route internal/zz 1"]);
    world.settled(1, "zz");
    assert_eq!(world.told_of("zz", 1), Convergence::Live { proxies: 1, notice: None });
    for number in 0..=1_000 {
        world.publish(&format!("i{number:04}"), number + 2, None);
    }
    let told = world.told();
    let of = |owner: &str| told.converged(&id(owner), 1);
    assert!(
        matches!(of("i0999"), Convergence::Behind { why, .. } if why != "being brought up to date")
    );
    for owner in ["i1000", "zz"] {
        assert_eq!(of(owner), waits(0, 1, "being brought up to date"), "{owner}");
    }
}
