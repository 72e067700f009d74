//! Proxies that have several streams, and proxies that have none.

use model::type_urls::CLUSTER;

use super::*;

impl World {
    /// Another stream of a proxy that has one.
    fn open_again(&mut self, stream: u64, of: u64) {
        let node = Arc::new(Node { id: format!("p{of}"), ..Node::default() });
        self.say(Event::Opened { stream: StreamId(stream), node, early: false });
        self.synced(stream);
    }

    pub(super) fn marks(&self, owner: &str) -> Vec<u64> {
        self.state.groups[DEFAULT_GROUP].marks(&owner.into())
    }

    /// What Envoy says of what had these marks, and this proxy refuses.
    pub(super) fn heard(
        &mut self,
        stream: u64,
        owner: &str,
        marks: &[u64],
        too: Option<String>,
    ) -> Vec<InstanceId> {
        self.state.heard(DEFAULT_GROUP, StreamId(stream), &owner.into(), marks, too)
    }

    fn polls(&mut self, id: &str, version: &str) {
        let node = Arc::new(Node { id: id.to_owned(), ..Node::default() });
        let type_url = TypeUrl::new(CLUSTER);
        self.say(Event::Polled { node, type_url, version: version.to_owned() });
    }
}

#[test]
fn streams_of_one_name_are_one_proxy_that_has_what_all_of_them_have() {
    let mut world = World::new(&[1, 2]);
    world.open_again(9, 1);
    assert_eq!(world.proxies(), [ProxyState::Live, ProxyState::Live]);
    world.change("a", 5, &["route internal/a 1"]);
    world.settled(1, "a");
    world.settled(2, "a");
    assert_eq!(world.converged("a", 5), behind(1, 2, "not yet acknowledged by p1"));
    assert_eq!(world.proxies(), [ProxyState::Behind, ProxyState::Live]);
    world.settled(9, "a");
    assert_eq!(world.converged("a", 5), live(2, None));
    // An old stream that is not noticed to be dead is waited for until it is.
    world.change("a", 6, &["route internal/a 2"]);
    world.settled(2, "a");
    world.settled(9, "a");
    assert_eq!(world.converged("a", 6), behind(1, 2, "not yet acknowledged by p1"));
    world.say(Event::Closed { stream: StreamId(1) });
    assert_eq!(world.converged("a", 6), live(2, None));
}

#[test]
fn streams_of_one_name_are_one_witness() {
    let mut world = World::new(&[1, 2]);
    world.open_again(9, 1);
    world.change("a", 5, &["route internal/a 1"]);
    world.synced(1);
    world.synced(2);
    world.synced(9);
    world.change("a", 6, &["route internal/a bad"]);
    world.rejects(1, "a", "route internal/a bad");
    world.rejects(9, "a", "route internal/a bad");
    assert_eq!(world.held(), ["a internal/a 6 bad"], "one proxy alone convicts nobody");
    assert_eq!(world.proxies(), [ProxyState::Rejecting, ProxyState::Behind]);
    world.rejects(2, "a", "route internal/a bad");
    assert_eq!(world.held(), ["a internal/a 6 1"]);
}

#[test]
fn the_only_proxy_is_a_witness_on_whichever_of_its_streams() {
    let mut world = World::new(&[1]);
    world.open_again(9, 1);
    world.change("a", 5, &["route internal/a bad"]);
    world.rejects(9, "a", "route internal/a bad");
    assert_eq!(world.converged("a", 5), rejected(REFUSED));
}

#[test]
fn who_polls_is_shown_and_waited_for_by_nobody() {
    const NOTICE: &str = "published; 1 proxy polls in group default and cannot confirm it";
    let mut world = World::new(&[]);
    world.polls("sovereign", "1.4-00000000000000aa");
    world.change("a", 5, &["route internal/a 1"]);
    assert_eq!(world.converged("a", 5), live(0, Some(NOTICE)));
    let fleet = world.state.fleet();
    let shown = &fleet.proxies[0];
    assert_eq!((shown.id.as_str(), shown.state), ("sovereign", ProxyState::Unconfirmed));
    assert_eq!(shown.version.as_deref(), Some("1.4-00000000000000aa"));
    assert_eq!(fleet.counts()[4], ("unconfirmed", 1));
    assert!(world.state.report("sovereign").is_some());
    // It proves nothing: what nobody has confirmed is not good.
    assert_eq!(fleet.in_flight, 1);
    world.connect(1);
    world.change("a", 6, &["route internal/a 2"]);
    assert_eq!(world.converged("a", 6), behind(0, 1, "not yet acknowledged by p1"));
    world.synced(1);
    assert_eq!(world.converged("a", 6), live(1, Some(NOTICE)));
}

#[test]
fn one_proxy_is_told_of_whatever_it_has_and_of_many_not_too_much() {
    let mut world = World::new(&[1, 2]);
    world.change("a", 5, &["cluster a/x 1", "route internal/a 1"]);
    let told = |wanted: &[&str], most: usize| {
        let wanted = |node: &Node| wanted.contains(&node.id.as_str());
        let told = world.state.statuses(&wanted, most);
        told.map(|all| all.iter().map(|it| it.resources.len()).sum::<usize>())
    };
    assert_eq!(told(&["p1", "p2"], 4), Some(4));
    assert_eq!(told(&["p1", "p2"], 3), None);
    assert_eq!(told(&["p2"], 1), Some(2), "there is no smaller question");
    assert_eq!(told(&["p9"], 0), Some(0));
}

#[test]
fn envoys_word_on_what_was_before_convicts_nothing_else() {
    let mut world = World::new(&[1, 2, 3]);
    world.state.groups.get_mut(DEFAULT_GROUP).unwrap().hears = Arc::new([String::new()].into());
    world.change("a", 5, &["route internal/a good"]);
    (1..=3).for_each(|stream| world.synced(stream));
    world.change("a", 6, &["route internal/a odd"]);
    world.rejects(1, "a", "route internal/a odd");
    let before = world.marks("a");
    world.change("a", 7, &["route internal/a even"]);
    world.rejects(1, "a", "route internal/a even");
    let is_quarantined = |world: &World| world.state.tenants[&id("a")].quarantine.is_some();
    world.heard(1, "a", &before, Some("no".to_owned()));
    assert!(!is_quarantined(&world), "it was asked about something else");
    let now = world.marks("a");
    world.heard(1, "a", &now, Some("no".to_owned()));
    assert!(is_quarantined(&world));
}
