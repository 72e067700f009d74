//! The state against a fleet that is told what to say. Resources are made by hand: what is tried
//! is who gets what, and who is believed.

use std::time::Duration;

use model::descriptor::{Auth, HeaderRules, Parameters};
use model::{Caller, Node, Plan, Spec, TypeUrl, Version, type_urls};
use render::Platform;

use super::*;
use crate::documents::Opened;
use crate::live::Answer;
use crate::{Convergence, DEFAULT_GROUP, ProxyState};

const NO_GRACE: Duration = Duration::ZERO;

fn id(text: &str) -> InstanceId {
    text.parse().unwrap()
}

fn spec() -> Spec {
    let parameters = Parameters {
        service: "shop".parse().unwrap(),
        upstream: None,
        hostnames: Vec::new(),
        routes: Vec::new(),
        upstreams: BTreeMap::new(),
        request_headers: HeaderRules::default(),
        response_headers: HeaderRules::default(),
        auth: Auth::None,
    };
    Spec { plan: Plan::Internal, parameters, hostnames: Vec::new() }
}

fn platform() -> Platform {
    let facts = serde_json::json!({
        "zone": "localhost", "internal": "127.0.0.1:11080", "public": "127.0.0.1:10080",
        "trusted_hops": 0, "on_demand": false, "shared_clusters": [], "sources": {},
    });
    serde_json::from_value(facts).unwrap()
}

/// `type name body`, such as `cluster a/x 1`.
fn draft(text: &str) -> Draft {
    let words: Vec<&str> = text.split(' ').collect();
    let type_url = match words[0] {
        "cluster" => type_urls::CLUSTER,
        "endpoint" => type_urls::ENDPOINT,
        "route" => type_urls::ROUTE,
        _ => type_urls::SCOPED_ROUTE,
    };
    let body = bytes::Bytes::from(words[2].to_owned());
    Draft {
        type_url: TypeUrl::new(type_url),
        name: words[1].into(),
        template: "t".into(),
        shape: render::Shape::default(),
        hash: Version::hash_of(&body),
        body,
        json: serde_json::Value::Null,
    }
}

struct World {
    state: State,
    seq: u64,
}

impl World {
    fn new(proxies: &[u64]) -> Self {
        let edition =
            Edition::new(0, render::Templates::builtin(), platform(), Opened::default()).unwrap();
        let mut state = State::new(edition, None);
        state.begin(1);
        let mut group = Group::new(DEFAULT_GROUP, false);
        group.open = true;
        state.groups.insert(DEFAULT_GROUP.into(), group);
        let mut world = Self { state, seq: 0 };
        proxies.iter().for_each(|stream| world.connect(*stream));
        world
    }

    fn connect(&mut self, stream: u64) {
        self.open(stream);
        self.synced(stream);
    }

    fn open(&mut self, stream: u64) {
        let node = Node { id: format!("p{stream}"), ..Node::default() };
        self.say(Event::Opened { stream: StreamId(stream), node: Arc::new(node), early: false });
    }

    fn say(&mut self, event: Event) -> Vec<InstanceId> {
        self.state.happened(event, 0).0
    }

    fn synced(&mut self, stream: u64) {
        let seq = self.seq;
        self.say(Event::Synced { stream: StreamId(stream), seq });
    }

    fn settled(&mut self, stream: u64, owner: &str) {
        let seq = self.seq;
        self.say(Event::Settled { stream: StreamId(stream), owner: owner.into(), seq });
    }

    fn rejects(&mut self, stream: u64, owner: &str, resource: &str) -> Vec<InstanceId> {
        let Draft { type_url, name, .. } = draft(resource);
        self.say(Event::Rejected {
            stream: StreamId(stream),
            owner: owner.into(),
            seq: self.seq,
            type_url,
            name,
            message: "bad".to_owned(),
        })
    }

    fn publish(&mut self, owner: &str, revision: u64, good: Option<u64>) {
        self.publish_for(owner, revision, good, &[]);
    }

    fn publish_for(&mut self, owner: &str, revision: u64, good: Option<u64>, callers: &[&str]) {
        let good = good.map(|good| (good, spec()));
        self.published(owner, revision, (spec(), good), callers);
    }

    fn published(
        &mut self,
        owner: &str,
        revision: u64,
        (spec, good): (Spec, Option<(u64, Spec)>),
        callers: &[&str],
    ) {
        let caller = |name: &&str| Caller {
            binding: name.parse().unwrap(),
            public_key: String::new(),
            expires_at: None,
        };
        self.state.publish(Published {
            instance: id(owner),
            revision,
            spec: Some(spec),
            good,
            callers: callers.iter().map(caller).collect(),
            withheld: vec![],
        });
    }

    fn unpublish(&mut self, owner: &str, revision: u64) {
        self.state.publish(Published {
            instance: id(owner),
            revision,
            spec: None,
            good: None,
            callers: vec![],
            withheld: vec![],
        });
        self.seq = self.cache().seq();
    }

    fn render(&mut self, owner: &str, drafts: &[&str]) -> bool {
        let drafts = drafts.iter().map(|text| draft(text)).collect();
        self.rendered(owner, Ok(BTreeMap::from([(DEFAULT_GROUP.into(), drafts)])))
    }

    fn rendered(&mut self, owner: &str, rendered: Rendered) -> bool {
        let target = self.state.target(&id(owner)).unwrap();
        let again = self.state.rendered(&id(owner), &target, rendered, Vec::new());
        self.seq = self.cache().seq();
        again
    }

    fn change(&mut self, owner: &str, revision: u64, drafts: &[&str]) {
        self.publish(owner, revision, None);
        self.render(owner, drafts);
    }

    fn cache(&self) -> &xds::Cache {
        &self.state.groups[DEFAULT_GROUP].cache
    }

    /// What the group's cache holds, as `owner name revision body`, sorted by name.
    fn held(&self) -> Vec<String> {
        let entries = self.cache().dump(None).into_iter();
        let mut held: Vec<String> = entries
            .map(|xds::Entry { owner, resource, .. }| {
                let body = String::from_utf8_lossy(&resource.body).into_owned();
                format!("{owner} {} {} {body}", resource.name, resource.version.revision)
            })
            .collect();
        held.sort();
        held
    }

    fn converged(&self, owner: &str, revision: u64) -> Answer {
        self.state.converged(&id(owner), revision, NO_GRACE)
    }

    fn proxies(&self) -> Vec<ProxyState> {
        self.state.fleet().proxies.iter().map(|proxy| proxy.state).collect()
    }
}

fn live(proxies: usize, notice: Option<&str>) -> Answer {
    let notice = notice.map(str::to_owned);
    Answer::Final(Convergence::Live { proxies, notice })
}

fn behind(have: usize, ready: usize, why: &str) -> Answer {
    Answer::Wait(Convergence::Behind { have, ready, why: why.to_owned() })
}

fn rejected(reason: &str) -> Answer {
    Answer::Final(Convergence::Rejected { reason: reason.to_owned() })
}

const REFUSED: &str = "Envoy refused the internal routes: bad";

#[test]
fn a_change_is_live_when_every_ready_proxy_has_it() {
    let mut world = World::new(&[1, 2]);
    world.publish("a", 5, None);
    assert!(matches!(world.converged("a", 6), Answer::Wait(_)), "not yet read");
    assert!(matches!(world.converged("a", 5), Answer::Wait(_)), "not yet rendered");
    world.render("a", &["route internal/a 1"]);
    assert_eq!(world.converged("a", 5), behind(0, 2, "not yet acknowledged by p1, p2"));
    world.settled(1, "a");
    assert_eq!(world.converged("a", 5), behind(1, 2, "not yet acknowledged by p2"));
    assert_eq!(world.proxies(), [ProxyState::Live, ProxyState::Behind]);
    world.synced(2);
    assert_eq!(world.converged("a", 5), live(2, None));
    world.unpublish("a", 6);
    assert!(world.held().is_empty());
    assert_eq!(world.converged("a", 6), behind(0, 2, "not yet acknowledged by p1, p2"));
    world.settled(1, "a");
    world.say(Event::Closed { stream: StreamId(2) });
    assert_eq!(world.converged("a", 6), live(1, None));
    assert_eq!(world.state.fleet().in_flight, 0);
}

#[test]
fn without_a_proxy_nothing_is_held_up_and_the_first_one_is_waited_for() {
    let mut world = World::new(&[]);
    world.change("a", 5, &["route internal/a 1"]);
    let alone = "published; no proxy connected in group default";
    assert_eq!(world.converged("a", 5), live(0, Some(alone)));
    let grace = Duration::from_secs(60);
    let waits = world.state.converged(&id("a"), 5, grace);
    assert!(matches!(waits, Answer::WaitUntil(..)), "{waits:?}");
    world.open(1);
    assert_eq!(
        world.converged("a", 5),
        behind(0, 0, "the first proxies are being brought up to date")
    );
    world.synced(1);
    assert_eq!(world.converged("a", 5), live(1, None));
}

#[test]
fn a_proxy_that_comes_back_after_a_restart_may_still_have_what_is_gone() {
    let mut world = World::new(&[]);
    world.unpublish("a", 6);
    world.open(1);
    let syncing = behind(0, 0, "the first proxies are being brought up to date");
    assert_eq!(world.converged("a", 6), syncing);
    world.synced(1);
    assert_eq!(world.converged("a", 6), live(1, None));
}

#[test]
fn what_the_only_witness_refuses_goes_back_and_recovers_with_the_next_revision() {
    let mut world = World::new(&[1]);
    world.change("b", 4, &["route internal/b 1"]);
    world.change("a", 5, &["route internal/a good", "cluster a/x 1"]);
    world.synced(1);
    world.change("a", 7, &["route internal/a bad", "cluster a/y 1"]);
    assert!(world.rejects(1, "a", "route internal/a bad").is_empty());
    assert_eq!(
        world.held(),
        ["a a/x 7 1", "a internal/a 7 good", "b internal/b 4 1"],
        "old bytes at the newer revision"
    );
    assert_eq!(world.converged("a", 7), rejected(REFUSED));
    assert_eq!(world.converged("b", 4), live(1, None));
    assert_eq!(world.state.describe(&id("a")).unwrap().served, Some(5));
    world.seq += 1;
    world.settled(1, "a");
    world.change("a", 8, &["route internal/a better", "cluster a/y 1"]);
    world.synced(1);
    assert_eq!(world.converged("a", 8), live(1, None));
    assert_eq!(world.proxies(), [ProxyState::Live]);
}

#[test]
fn a_new_instance_that_is_refused_does_not_appear() {
    let mut world = World::new(&[1]);
    world.change("a", 5, &["route internal/a bad", "scope internal/a.example 1"]);
    world.rejects(1, "a", "route internal/a bad");
    assert!(world.held().is_empty());
    assert_eq!(world.converged("a", 5), rejected(REFUSED));
}

#[test]
fn one_of_several_proxies_is_marked_and_holds_nobody_up() {
    let mut world = World::new(&[1, 2, 3]);
    world.change("a", 5, &["route internal/a good"]);
    for stream in 1..=3 {
        world.synced(stream);
    }
    world.change("a", 6, &["route internal/a odd"]);
    world.rejects(1, "a", "route internal/a odd");
    world.settled(2, "a");
    world.settled(3, "a");
    assert_eq!(world.held(), ["a internal/a 6 odd"]);
    assert_eq!(world.converged("a", 6), live(2, Some("proxy p1 refuses it, alone")));
    assert_eq!(world.proxies(), [ProxyState::Rejecting, ProxyState::Live, ProxyState::Live]);
    world.change("b", 7, &["route internal/b 1"]);
    assert_eq!(world.converged("b", 7), behind(1, 3, "not yet acknowledged by p2, p3"));
    world.settled(2, "b");
    world.settled(3, "b");
    assert_eq!(world.converged("b", 7), live(3, None));
    world.change("a", 8, &["route internal/a fine"]);
    assert_eq!(world.proxies(), [ProxyState::Behind; 3], "a new revision, a new chance");
}

#[test]
fn where_an_envoy_can_be_asked_nothing_lands_before_it_has_said_who_is_right() {
    for (word, converged) in [
        (None, live(2, Some("proxy p1 refuses it, alone"))),
        (Some("no".to_owned()), rejected("Envoy refused the internal routes: no")),
    ] {
        let mut world = World::new(&[1, 2, 3]);
        // The release of proxies that do not tell theirs.
        world.state.groups.get_mut(DEFAULT_GROUP).unwrap().hears = Arc::new([String::new()].into());
        world.change("a", 5, &["route internal/a good"]);
        (1..=3).for_each(|stream| world.synced(stream));
        world.change("a", 6, &["route internal/a odd"]);
        world.rejects(1, "a", "route internal/a odd");
        world.settled(2, "a");
        world.settled(3, "a");
        assert_eq!(world.converged("a", 6), behind(1, 3, "not yet acknowledged by p1"));
        let marks = world.marks("a");
        world.heard(1, "a", &marks, word);
        assert_eq!(world.converged("a", 6), converged);
    }
}

#[test]
fn a_second_proxy_that_agrees_convicts() {
    let mut world = World::new(&[1, 2, 3]);
    world.change("a", 5, &["route internal/a good"]);
    for stream in 1..=3 {
        world.synced(stream);
    }
    world.change("a", 6, &["route internal/a bad"]);
    world.rejects(1, "a", "route internal/a bad");
    world.settled(2, "a");
    assert_eq!(world.held(), ["a internal/a 6 bad"]);
    world.rejects(3, "a", "route internal/a bad");
    assert_eq!(world.held(), ["a internal/a 6 good"]);
    assert_eq!(world.converged("a", 6), rejected(REFUSED));
    assert_eq!(world.proxies(), [ProxyState::Behind; 3], "none of them is to blame");
}

#[test]
fn what_the_fleet_took_before_is_not_taken_back_for_newcomers() {
    let mut world = World::new(&[1]);
    world.change("a", 5, &["route internal/a fine"]);
    world.synced(1);
    for newcomer in [2, 3] {
        world.open(newcomer);
        world.rejects(newcomer, "a", "route internal/a fine");
        world.synced(newcomer);
    }
    assert_eq!(world.held(), ["a internal/a 5 fine"]);
    assert_eq!(world.state.describe(&id("a")).unwrap().quarantine, None);
    assert_eq!(world.proxies()[1..], [ProxyState::Rejecting, ProxyState::Rejecting]);
}

#[test]
fn a_proxy_that_goes_leaves_the_other_as_the_only_witness() {
    let mut world = World::new(&[1, 2]);
    world.change("a", 5, &["route internal/a bad"]);
    world.rejects(1, "a", "route internal/a bad");
    assert_eq!(world.converged("a", 5), behind(0, 2, "not yet acknowledged by p2"));
    world.say(Event::Closed { stream: StreamId(2) });
    assert_eq!(world.converged("a", 5), rejected(REFUSED));
}

#[test]
fn at_a_restart_the_proxy_that_comes_back_is_heard_once_it_is_ready() {
    let mut world = World::new(&[]);
    world.publish("a", 7, Some(5));
    world.render("a", &["route internal/a bad"]);
    world.open(1);
    assert!(world.rejects(1, "a", "route internal/a bad").is_empty(), "not ready: no witness");
    let seq = world.seq;
    let again = world.say(Event::Synced { stream: StreamId(1), seq });
    assert_eq!(again, [id("a")], "the last good spec is to be rendered");
    assert!(!world.render("a", &["route internal/a good"]));
    assert_eq!(world.held(), ["a internal/a 7 good"]);
    assert_eq!(world.converged("a", 7), rejected(REFUSED));
}

#[test]
fn what_is_not_rendered_leaves_what_is_served_alone() {
    let mut world = World::new(&[1]);
    world.change("a", 5, &["route internal/a good"]);
    world.synced(1);
    let complaint = || Complaint {
        culprit: Some("route `api`".to_owned()),
        message: "no".to_owned(),
        ..Complaint::default()
    };
    world.publish("a", 6, Some(5));
    assert!(!world.rendered("a", Err(vec![complaint()])));
    assert_eq!(world.held(), ["a internal/a 5 good"]);
    assert_eq!(world.converged("a", 6), rejected("route `api`: no"));
    world.publish("new", 8, Some(7));
    assert!(world.rendered("new", Err(vec![complaint()])), "the last good spec is rendered");
    world.render("new", &["route internal/new good"]);
    assert_eq!(world.held()[1], "new internal/new 8 good");
    assert_eq!(world.converged("new", 8), rejected("route `api`: no"));
}

#[test]
fn a_hostname_that_moved_is_not_taken_away_by_late_news() {
    let mut world = World::new(&[1]);
    world.change("a", 5, &["scope internal/h.example a", "route internal/a 1"]);
    // A gave it up at 9 and changed again at 11; the feed tells of B's 10 first.
    world.change("b", 10, &["scope internal/h.example b"]);
    assert_eq!(world.held(), ["a internal/a 5 1", "b internal/h.example 10 b"]);
    world.render("a", &["scope internal/h.example a", "route internal/a 2"]);
    assert_eq!(world.held(), ["a internal/a 5 2", "b internal/h.example 10 b"]);
    world.change("a", 11, &["route internal/a 3"]);
    assert_eq!(world.held(), ["a internal/a 11 3", "b internal/h.example 10 b"]);
    world.unpublish("b", 12);
    world.change("a", 13, &["scope internal/h.example a", "route internal/a 3"]);
    assert_eq!(world.held(), ["a internal/a 13 3", "a internal/h.example 13 a"]);
}

#[test]
fn a_refusal_of_what_is_no_longer_served_is_not_held_against_anybody() {
    let mut world = World::new(&[1]);
    world.change("a", 5, &["route internal/a bad"]);
    let seq = world.seq;
    world.change("a", 6, &["route internal/a good"]);
    world.seq = seq;
    world.rejects(1, "a", "route internal/a bad");
    assert_eq!(world.held(), ["a internal/a 6 good"]);
    world.seq = seq + 1;
    world.synced(1);
    assert_eq!(world.converged("a", 6), live(1, None));
}

#[test]
fn a_group_without_proxies_has_no_say_and_is_forgotten_in_time() {
    let mut world = World::new(&[]);
    let mut other = Group::new("other", false);
    other.open = true;
    world.state.groups.insert("other".into(), other);
    let node = Node { id: "o1".into(), cluster: "other".into(), ..Node::default() };
    world.say(Event::Opened { stream: StreamId(9), node: Arc::new(node), early: false });
    world.synced(9);
    let put = |world: &mut World, revision, body: &str| {
        world.publish("a", revision, None);
        let drafts = vec![draft(&format!("route internal/a {body}"))];
        let both = ["default", "other"].map(|group| (group.into(), drafts.clone()));
        world.rendered("a", Ok(BTreeMap::from(both)));
    };
    put(&mut world, 5, "good");
    assert_eq!(world.converged("a", 5), behind(0, 1, "not yet acknowledged by o1"));
    world.synced(9);
    assert_eq!(world.converged("a", 5), live(1, None), "nobody ever came to the default group");
    put(&mut world, 6, "bad");
    assert_eq!(world.rejects(9, "a", "route internal/a bad"), [id("a")], "for the default group");
    let other = &world.state.groups["other"];
    assert_eq!(other.cache.dump(None)[0].resource.body, "good");
    assert_eq!(world.converged("a", 6), rejected(REFUSED));

    world.say(Event::Closed { stream: StreamId(9) });
    world.state.forget_groups(Duration::from_secs(60));
    assert_eq!(world.state.groups.len(), 2);
    world.state.forget_groups(Duration::ZERO);
    assert_eq!(world.state.groups.len(), 1);
}

#[path = "state_simulation.rs"]
mod simulation;
#[path = "summary_tests.rs"]
mod summaries;
#[path = "trial_tests.rs"]
mod trials;

#[path = "state_proxies.rs"]
mod proxies;

#[test]
fn an_operation_converges_by_the_revision_of_a_caller_that_came_meanwhile() {
    let mut world = World::new(&[1]);
    world.publish("a", 5, None);
    world.publish_for("a", 6, None, &["b-1"]);
    world.render("a", &["route internal/a 1"]);
    assert!(matches!(world.converged("a", 5), Answer::Wait(_)), "{:?}", world.converged("a", 5));
    world.settled(1, "a");
    assert_eq!(world.converged("a", 5), live(1, None));
    assert_eq!(world.converged("a", 6), live(1, None));
    world.publish_for("a", 7, Some(6), &[]);
    assert!(matches!(world.converged("a", 7), Answer::Wait(_)), "not yet rendered");
    world.render("a", &["route internal/a 2"]);
    world.settled(1, "a");
    assert_eq!(world.converged("a", 7), live(1, None));
    assert_eq!(world.held(), ["a internal/a 7 2"]);
}

#[test]
fn a_caller_is_revoked_while_a_newer_spec_is_refused() {
    let mut world = World::new(&[1]);
    world.publish_for("a", 5, None, &["b-1"]);
    world.render("a", &["route internal/a 1"]);
    world.settled(1, "a");
    // Not the same spec: it is published as another.
    let other = Spec { plan: Plan::Public, ..spec() };
    let callers = world.state.tenants[&id("a")].terms.callers.to_vec();
    let published = |revision, callers| Published {
        instance: id("a"),
        revision,
        spec: Some(other.clone()),
        good: Some((5, spec())),
        callers,
        withheld: vec![],
    };
    world.state.publish(published(6, callers));
    world.render("a", &["route internal/a bad"]);
    world.rejects(1, "a", "route internal/a bad");
    assert_eq!(world.converged("a", 6), rejected(REFUSED));
    assert_eq!(world.held(), ["a internal/a 6 1"]);
    world.state.publish(published(7, vec![]));
    world.render("a", &["route internal/a nobody"]);
    world.settled(1, "a");
    assert_eq!(world.converged("a", 7), live(1, None), "nobody may call it now");
    assert_eq!(world.converged("a", 6), rejected(REFUSED), "and its spec is refused as before");
    assert_eq!(world.held(), ["a internal/a 7 nobody"]);
}

#[test]
fn of_one_proxy_is_told_what_it_does_not_have_and_why() {
    let mut world = World::new(&[1, 2]);
    world.change("a", 5, &["route internal/a 1", "cluster a/x 1", "cluster a/y 1"]);
    world.change("b", 6, &["route internal/b 1"]);
    world.synced(1);
    world.synced(2);
    let differs = |world: &World, proxy: &str| -> Vec<String> {
        let report = world.state.report(proxy).unwrap();
        let line = |it: crate::Difference| {
            let version = it.version.and_then(|text| Some(Version::parse(&text)?.revision));
            format!("{} {} {version:?} {:?}", it.owner, it.name, it.refusal)
        };
        report.differs.into_iter().map(line).collect()
    };
    assert_eq!(differs(&world, "p2"), Vec::<String>::new());
    world.change("a", 7, &["route internal/a 1", "cluster a/x 2", "cluster a/z 1"]);
    world.settled(1, "a");
    assert_eq!(differs(&world, "p1"), Vec::<String>::new());
    let on_its_way = ["a a/x Some(7) None", "a a/z Some(7) None", "a a/y None None"];
    assert_eq!(differs(&world, "p2"), on_its_way);
    world.synced(2);
    world.change("b", 8, &["route internal/b 2"]);
    world.settled(1, "b");
    world.rejects(2, "b", "route internal/b 2");
    let report = world.state.report("p2").unwrap();
    assert_eq!((report.proxy.state, report.proxy.lacks), (ProxyState::Rejecting, 0));
    assert_eq!(differs(&world, "p2"), [r#"b internal/b Some(8) Some("bad")"#]);
    assert_eq!(report.proxy.refuses[0].message, "bad");
    assert_eq!(report.resources.values().sum::<usize>(), 4);
    world.unpublish("a", 9);
    assert_eq!(differs(&world, "p1"), ["a  None None"], "all that it has is to go");
    assert!(world.state.report("p3").is_none());
}

#[tokio::test(start_paused = true)]
async fn who_does_not_answer_for_half_a_minute_is_silent() {
    let mut world = World::new(&[1, 2]);
    world.change("a", 5, &["route internal/a 1"]);
    world.settled(1, "a");
    world.open(3);
    tokio::time::advance(Duration::from_secs(29)).await;
    assert_eq!(world.proxies(), [ProxyState::Live, ProxyState::Behind, ProxyState::Behind]);
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(world.proxies(), [ProxyState::Live, ProxyState::Silent, ProxyState::Silent]);
    world.synced(2);
    world.synced(3);
    assert_eq!(world.proxies(), [ProxyState::Live; 3]);
}
