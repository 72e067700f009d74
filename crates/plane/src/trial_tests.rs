//! Canaries: who is given what, when, and who is believed.

use super::*;
use crate::DEFAULT_GROUP;

const SECOND: Duration = Duration::from_secs(1);

/// A group whose first canary has come back, and which proxy that is.
fn with_canary(proxies: u64) -> (World, u64) {
    let mut world = World::new(&(1..=proxies).collect::<Vec<_>>());
    world.state.canaries = 1;
    world.tick();
    let canary = world.canary_comes();
    (world, canary)
}

impl World {
    fn group(&self) -> &Group {
        &self.state.groups[DEFAULT_GROUP]
    }

    fn tick(&mut self) -> Vec<InstanceId> {
        let again = self.state.keep_canaries().0;
        self.seq = self.cache().seq();
        again
    }

    /// Who shall be a canary and is not served early yet.
    fn appointed(&self) -> Option<u64> {
        let group = self.group();
        let is_early = |id: &str| group.streams.values().any(|s| s.early && s.id() == id);
        let is_appointed = |n: &u64| {
            let id = format!("p{n}");
            group.canaries.counts(&id) && !is_early(&id)
        };
        (1..=9).find(is_appointed)
    }

    /// Whoever was appointed is recalled and comes back.
    fn canary_comes(&mut self) -> u64 {
        let canary = self.appointed().expect("one is appointed");
        self.say(Event::Closed { stream: StreamId(canary) });
        self.comes_back(canary, true);
        self.synced(canary);
        self.seq = self.cache().seq();
        canary
    }

    fn comes_back(&mut self, proxy: u64, early: bool) {
        let id = format!("p{proxy}");
        let group = self.state.groups.get_mut(DEFAULT_GROUP).unwrap();
        assert_eq!(group.assign(&id).is_fork(), early);
        let node = Arc::new(Node { id, ..Node::default() });
        self.say(Event::Opened { stream: StreamId(proxy), node, early });
    }

    /// It refuses `a` at 5 and `b` at 6, which is one more than is believed.
    fn refuses_two(&mut self, canary: u64) {
        for (owner, revision) in [("a", 5), ("b", 6)] {
            let route = format!("route internal/{owner} bad");
            self.changes(owner, revision, &[&route]);
            self.rejects(canary, owner, &route);
            self.seq = self.cache().seq();
        }
    }

    fn settles(&mut self, proxy: u64, owner: &str) -> Vec<InstanceId> {
        let (stream, owner, seq) = (StreamId(proxy), owner.into(), self.seq);
        let again = self.say(Event::Settled { stream, owner, seq });
        self.seq = self.cache().seq();
        again
    }

    fn others(&self, canary: u64) -> Vec<u64> {
        self.group().streams.keys().map(|id| id.0).filter(|id| *id != canary).collect()
    }

    /// What canaries have, as [`World::held`].
    fn early(&self) -> Vec<String> {
        lines(self.group().caches().last().unwrap())
    }

    /// Up to which revision canaries have all, and everybody.
    fn complete(&self) -> (u64, u64) {
        let (behind, position) = (&self.state.behind, self.state.position);
        (behind.rendered(position), behind.given(position))
    }

    /// News of an instance: its spec, by a number, and who may call.
    fn news(&mut self, owner: &str, revision: u64, spec_number: u64, callers: &[&str]) {
        self.published(owner, revision, (numbered(spec_number), None), callers);
    }

    fn changes(&mut self, owner: &str, revision: u64, drafts: &[&str]) -> bool {
        self.news(owner, revision, revision, &[]);
        self.render(owner, drafts)
    }
}

pub(super) fn numbered(number: u64) -> Spec {
    Spec { hostnames: vec![format!("r{number}.example.com").parse().unwrap()], ..spec() }
}

fn lines(cache: &xds::Cache) -> Vec<String> {
    let line = |xds::Entry { owner, resource, .. }| {
        let body = String::from_utf8_lossy(&resource.body).into_owned();
        format!("{owner} {} {} {body}", resource.name, resource.version.revision)
    };
    let mut lines: Vec<String> = cache.dump(None).into_iter().map(line).collect();
    lines.sort();
    lines
}

fn tried(have: usize, ready: usize, by: &str) -> Answer {
    behind(have, ready, &format!("being tried by canary {by}"))
}

#[tokio::test(start_paused = true)]
async fn two_proxies_have_no_canary_and_three_have_one() {
    let mut world = World::new(&[1, 2]);
    world.state.canaries = 1;
    world.tick();
    assert_eq!(world.appointed(), None);
    world.connect(3);
    world.tick();
    let canary = world.canary_comes();
    let marked: Vec<bool> = world.state.fleet().proxies.iter().map(|it| it.canary).collect();
    assert_eq!(marked.iter().filter(|canary| **canary).count(), 1);
    assert!(marked[canary as usize - 1]);
    world.say(Event::Closed { stream: StreamId(world.others(canary)[0]) });
    world.changes("a", 5, &["route internal/a 1"]);
    assert_eq!(world.held(), ["a internal/a 5 1"], "the group is too small now");
}

#[tokio::test(start_paused = true)]
async fn a_new_spec_goes_to_the_canary_first_and_then_to_all() {
    let (mut world, canary) = with_canary(4);
    world.news("a", 5, 5, &[]);
    assert_eq!(world.complete(), (4, 4), "nobody has it");
    world.render("a", &["route internal/a 1"]);
    assert_eq!(world.complete(), (5, 4), "canaries have it");
    assert_eq!(world.converged("a", 5), tried(0, 4, &format!("p{canary}")));
    assert!(world.held().is_empty());
    assert_eq!(world.early(), ["a internal/a 5 1"]);
    // A proxy that connects meanwhile is no witness.
    world.open(9);
    world.synced(9);
    assert!(world.held().is_empty());
    assert_eq!(world.state.fleet().on_trial, 1);
    world.settles(canary, "a");
    assert_eq!(world.complete(), (5, 5));
    assert_eq!(world.held(), ["a internal/a 5 1"]);
    assert!(matches!(
        world.converged("a", 5),
        Answer::Wait(Convergence::Behind { have: 0, ready: 5, .. })
    ));
    world.settles(canary, "a");
    assert!(matches!(
        world.converged("a", 5),
        Answer::Wait(Convergence::Behind { have: 1, ready: 5, .. })
    ));
    for other in world.others(canary) {
        world.settles(other, "a");
    }
    assert_eq!(world.converged("a", 5), live(5, None));
    assert_eq!(world.state.fleet().on_trial, 0);
}

#[tokio::test(start_paused = true)]
async fn what_the_canary_refuses_nobody_else_ever_sees() {
    let (mut world, canary) = with_canary(3);
    world.changes("a", 5, &["route internal/a good", "cluster a/x 1"]);
    world.settles(canary, "a");
    for proxy in 1..=3 {
        world.settles(proxy, "a");
    }
    let before = world.cache().dump(None);
    world.changes("a", 7, &["route internal/a bad", "cluster a/y 1"]);
    world.rejects(canary, "a", "route internal/a bad");
    assert_eq!(world.converged("a", 7), rejected(REFUSED));
    assert_eq!(world.held(), ["a a/x 7 1", "a internal/a 7 good"]);
    assert_eq!(world.held(), world.early());
    let changed = |entries: Vec<xds::Entry>| entries.iter().map(|it| it.changed).max();
    assert_eq!(changed(before), changed(world.cache().dump(None)), "nothing is sent to them");
    world.seq = world.cache().seq();
    world.changes("a", 8, &["route internal/a better", "cluster a/y 1"]);
    world.settles(canary, "a");
    assert_eq!(world.held(), ["a a/y 8 1", "a internal/a 8 better"]);
}

#[tokio::test(start_paused = true)]
async fn a_canary_that_does_not_answer_is_replaced_by_the_next_one() {
    let (mut world, canary) = with_canary(4);
    world.changes("a", 5, &["route internal/a 1"]);
    tokio::time::advance(4 * SECOND).await;
    world.tick();
    assert_eq!(world.appointed(), None);
    tokio::time::advance(SECOND).await;
    world.tick();
    let next = world.appointed().expect("another");
    assert_ne!(next, canary);
    assert_eq!(world.converged("a", 5), behind(0, 4, "waiting for a canary"));
    assert!(world.held().is_empty());
    assert_eq!(world.canary_comes(), next);
    assert_eq!(world.held(), ["a internal/a 5 1"], "it had it when it came back");
    // The silent one comes to itself: it is served as before until nobody is ahead of anybody.
    world.settles(canary, "a");
    world.settles(next, "a");
    assert!(!world.state.fleet().proxies[canary as usize - 1].canary);
    world.tick();
    world.say(Event::Closed { stream: StreamId(canary) });
    world.comes_back(canary, false);
}

#[tokio::test(start_paused = true)]
async fn a_canary_whose_stream_broke_has_time_to_reconnect_and_no_more_while_another_could_be_one()
{
    let (mut world, canary) = with_canary(4);
    world.changes("a", 5, &["route internal/a 1"]);
    let breaks = |world: &mut World, proxy: u64| {
        world.say(Event::Closed { stream: StreamId(proxy) });
        world.tick();
    };
    breaks(&mut world, canary);
    tokio::time::advance(SECOND / 2).await;
    world.tick();
    assert_eq!(world.appointed(), Some(canary), "it may come back, and does");
    world.comes_back(canary, true);
    world.say(Event::Synced { stream: StreamId(canary), seq: world.seq - 1 });
    breaks(&mut world, canary);
    tokio::time::advance(SECOND).await;
    world.tick();
    let next = world.appointed().expect("another");
    assert_ne!(next, canary);
    assert_eq!(world.canary_comes(), next);
    assert_eq!(world.held(), ["a internal/a 5 1"], "long before five seconds have passed");
}

#[tokio::test(start_paused = true)]
async fn a_canary_for_which_there_is_no_other_is_waited_for() {
    let (mut world, canary) = with_canary(3);
    world.changes("a", 5, &["route internal/a 1"]);
    for other in world.others(canary) {
        world.say(Event::Closed { stream: StreamId(other) });
    }
    world.say(Event::Closed { stream: StreamId(canary) });
    world.tick();
    tokio::time::advance(4 * SECOND).await;
    world.tick();
    assert_eq!((world.appointed(), world.held().len()), (Some(canary), 0));
    world.comes_back(canary, true);
    world.synced(canary);
    assert_eq!(world.held(), ["a internal/a 5 1"]);
}

/// Two canaries of six proxies broke off under a change, and one went that never saw it.
async fn two_broke_off_and_another_went() -> World {
    let (mut world, first) = with_canary(6);
    world.changes("a", 5, &["route internal/a 1"]);
    let other = world.others(first)[0];
    world.say(Event::Closed { stream: StreamId(first) });
    world.say(Event::Closed { stream: StreamId(other) });
    world.tick();
    tokio::time::advance(SECOND).await;
    world.tick();
    let next = world.appointed().expect("another");
    world.say(Event::Closed { stream: StreamId(next) });
    world.comes_back(next, true);
    world.say(Event::Synced { stream: StreamId(next), seq: world.seq - 1 });
    world.say(Event::Closed { stream: StreamId(next) });
    assert_eq!(world.converged("a", 5), behind(0, 3, "waiting for a canary"));
    world
}

#[tokio::test(start_paused = true)]
async fn a_change_is_not_to_blame_when_others_go_as_canaries_do() {
    let mut world = two_broke_off_and_another_went().await;
    world.tick();
    tokio::time::advance(SECOND).await;
    world.tick();
    world.canary_comes();
    assert_eq!(world.held(), ["a internal/a 5 1"]);
}

#[tokio::test(start_paused = true)]
async fn what_two_broke_off_under_is_not_given_to_all_for_want_of_a_verdict() {
    let mut world = two_broke_off_and_another_went().await;
    for rest in world.others(0) {
        world.say(Event::Closed { stream: StreamId(rest) });
    }
    for _ in 0..3 {
        tokio::time::advance(5 * SECOND).await;
        world.tick();
    }
    world.connect(9);
    let why = "Envoy refused the internal routes: 2 proxies that were to try it broke off";
    assert_eq!(world.converged("a", 5), rejected(why));
    assert!(world.held().is_empty());
}

#[tokio::test(start_paused = true)]
async fn where_no_canary_answers_a_change_goes_to_all_in_the_end() {
    let (mut world, _) = with_canary(5);
    world.changes("a", 5, &["route internal/a 1"]);
    for _ in 0..3 {
        assert!(world.held().is_empty());
        tokio::time::advance(5 * SECOND).await;
        world.tick();
    }
    assert_eq!(world.held(), ["a internal/a 5 1"]);
    assert_eq!(world.state.fleet().on_trial, 0);
}

#[tokio::test(start_paused = true)]
async fn a_canary_that_refuses_everybody_is_found_out_and_those_it_wronged_go_on() {
    let (mut world, broken) = with_canary(4);
    world.changes("a", 5, &["route internal/a 1"]);
    world.rejects(broken, "a", "route internal/a 1");
    assert_eq!(world.converged("a", 5), rejected(REFUSED), "one word is enough, once");
    world.seq = world.cache().seq();
    world.changes("b", 6, &["route internal/b 1"]);
    world.rejects(broken, "b", "route internal/b 1");
    assert_eq!(world.converged("b", 6), behind(0, 4, "waiting for a canary"));
    world.tick();
    let next = world.appointed().expect("another is heard");
    world.say(Event::Closed { stream: StreamId(next) });
    world.comes_back(next, true);
    let seq = world.seq;
    let again = world.say(Event::Synced { stream: StreamId(next), seq });
    assert_eq!(again, [id("a")], "what it said before is heard again");
    assert_eq!(world.held(), ["b internal/b 6 1"]);
    world.render("a", &["route internal/a 1"]);
    world.settles(next, "a");
    assert_eq!(world.held(), ["a internal/a 5 1", "b internal/b 6 1"]);
    assert_eq!(world.state.fleet().quarantined, 0);
}

#[tokio::test(start_paused = true)]
async fn two_canaries_that_agree_convict_again() {
    let (mut world, first) = with_canary(4);
    world.refuses_two(first);
    world.tick();
    let next = world.appointed().unwrap();
    world.say(Event::Closed { stream: StreamId(next) });
    world.comes_back(next, true);
    world.rejects(next, "b", "route internal/b bad");
    world.synced(next);
    assert_eq!(world.converged("b", 6), rejected(REFUSED));
    assert_eq!(world.state.fleet().quarantined, 2);
    assert!(world.held().is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_changes_while_another_canary_is_on_its_way_goes_to_nobody_else() {
    let (mut world, first) = with_canary(4);
    world.refuses_two(first);
    world.changes("c", 7, &["route internal/c bad"]);
    assert!(world.held().is_empty(), "{:?}", world.held());
}

#[tokio::test(start_paused = true)]
async fn a_change_that_canaries_break_off_under_reaches_two_of_them_only() {
    let (mut world, first) = with_canary(4);
    world.changes("a", 5, &["route internal/a deadly"]);
    world.say(Event::Closed { stream: StreamId(first) });
    for _ in 0..2 {
        tokio::time::advance(5 * SECOND).await;
        world.tick();
    }
    let next = world.appointed().unwrap();
    world.say(Event::Closed { stream: StreamId(next) });
    world.comes_back(next, true);
    // It was brought up to date before it was given the deadly one.
    world.say(Event::Synced { stream: StreamId(next), seq: world.seq - 1 });
    assert!(world.held().is_empty());
    world.say(Event::Closed { stream: StreamId(next) });
    let why = "Envoy refused the internal routes: 2 proxies that were to try it broke off";
    assert_eq!(world.converged("a", 5), rejected(why));
    assert!(world.held().is_empty() && world.early().is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_goes_or_says_where_upstreams_answer_waits_for_no_canary() {
    let (mut world, canary) = with_canary(3);
    world.changes("a", 5, &["route internal/a 1", "endpoint a/x 1"]);
    world.settles(canary, "a");
    world.render("a", &["route internal/a 1", "endpoint a/x 2"]);
    assert_eq!(world.held(), ["a a/x 5 2", "a internal/a 5 1"]);
    world.changes("a", 6, &["route internal/a 1"]);
    assert_eq!(world.held(), ["a internal/a 6 1"]);
    world.changes("a", 7, &["route internal/a 2"]);
    world.unpublish("a", 8);
    assert!(world.held().is_empty() && world.early().is_empty());
    assert_eq!(world.state.fleet().on_trial, 0);
}

#[tokio::test(start_paused = true)]
async fn who_is_revoked_is_shut_out_while_a_canary_is_silent() {
    let (mut world, canary) = with_canary(3);
    world.news("a", 5, 1, &["b-1", "b-2"]);
    world.render("a", &["route internal/a spec1:b-1,b-2"]);
    world.settles(canary, "a");
    world.news("a", 6, 2, &["b-1", "b-2"]);
    world.render("a", &["route internal/a spec2:b-1,b-2"]);
    assert_eq!(world.held(), ["a internal/a 5 spec1:b-1,b-2"]);
    world.news("a", 7, 2, &["b-1"]);
    let first = world.state.target(&id("a")).unwrap();
    assert_eq!((first.revision, first.wanted), (5, 7), "the spec that all have");
    assert!(world.render("a", &["route internal/a spec1:b-1"]), "and then what is wanted");
    assert_eq!(world.held(), ["a internal/a 7 spec1:b-1"]);
    assert!(matches!(world.converged("a", 7), Answer::Wait(_)));
    assert!(!world.render("a", &["route internal/a spec2:b-1"]));
    assert_eq!(world.held(), ["a internal/a 7 spec1:b-1"]);
    assert_eq!(world.early(), ["a internal/a 7 spec2:b-1"]);
    world.settles(canary, "a");
    assert_eq!(world.held(), ["a internal/a 7 spec2:b-1"]);
    // Callers of a spec that all have wait for nobody, whether they come or go.
    world.news("a", 8, 2, &["b-3"]);
    world.render("a", &["route internal/a spec2:b-3"]);
    assert_eq!(world.held(), ["a internal/a 8 spec2:b-3"]);
}

#[tokio::test(start_paused = true)]
async fn a_hostname_on_trial_stays_with_its_old_owner_until_it_is_proven() {
    let (mut world, canary) = with_canary(3);
    world.changes("a", 5, &["scope internal/h.example a", "route internal/a 1"]);
    world.settles(canary, "a");
    world.changes("b", 10, &["scope internal/h.example b"]);
    assert_eq!(world.held(), ["a internal/a 5 1", "a internal/h.example 5 a"]);
    world.settles(canary, "b");
    assert_eq!(world.held(), ["a internal/a 5 1", "b internal/h.example 10 b"]);
    assert_eq!(world.held(), world.early());
    world.changes("a", 11, &["scope internal/h.example a", "route internal/a 2"]);
    world.rejects(canary, "a", "scope internal/h.example a");
    assert_eq!(world.held(), world.early());
}

#[tokio::test(start_paused = true)]
async fn a_hostname_that_was_taken_over_on_trial_and_given_up_again_is_nobodys() {
    let (mut world, canary) = with_canary(3);
    world.changes("a", 5, &["scope internal/h.example a", "route internal/a 1"]);
    world.settles(canary, "a");
    world.changes("b", 10, &["scope internal/h.example b", "route internal/b 1"]);
    world.changes("b", 11, &["route internal/b 2"]);
    world.settles(canary, "b");
    assert_eq!(world.held(), ["a internal/a 5 1", "b internal/b 11 2"]);
    assert_eq!(world.held(), world.early());
}
