//! Editions are rolled out by stages, and every gate can say no.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use model::{Node, RolloutState};
use plane::{Content, Limits, Plane, Policy, RolloutError, Rollouts, Wish};
use render::{Platform, Templates};
use tokio::task::JoinHandle;
use xds::{Answers, Directory};

use crate::envoy::upstream;
use crate::line::{Line, live};
use crate::world::{PATIENCE, Running, World, spec, until};

/// In the routes of every service.
const PLACE: &str = "\"most_specific_header_mutations_wins\": true,";
pub(crate) const HARMLESS: &str =
    r#""response_headers_to_add": [{"header": {"key": "x-a", "value": "b"}}],"#;
pub(crate) const REFUSED_BY_ENVOY: &str =
    r#""response_headers_to_add": [{"header": {"key": "x-a", "value": "%NO_SUCH_COMMAND%"}}],"#;
const REFUSED_OF_ONE: &str = r#"{% if instance.id == "two" %}"no_such_field": 1,{% endif %}"#;

/// The default templates with something more in the routes.
pub(crate) fn content(platform: &Platform, insertion: &str) -> Content {
    let file = |(name, text): &(&str, &str)| {
        let text = text.replace(PLACE, &format!("{PLACE}\n{insertion}"));
        ((*name).to_owned(), text)
    };
    let templates = Templates::builtin_files().iter().map(file).collect();
    Content::new(templates, platform.clone())
}

/// The time as what decides is told it.
#[derive(Debug)]
struct Clock {
    began: Instant,
    ahead: AtomicI64,
    asked: AtomicUsize,
}

impl Clock {
    fn now(&self) -> i64 {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let elapsed = i64::try_from(self.began.elapsed().as_millis()).unwrap();
        1_000_000 + elapsed + self.ahead.load(Ordering::Relaxed)
    }
}

/// What decides, at work.
pub(crate) struct Rolling {
    pub(crate) rollouts: Arc<Rollouts>,
    clock: Arc<Clock>,
    task: JoinHandle<()>,
}

impl Rolling {
    pub(crate) fn start(world: &World, plane: &Arc<Plane>, stages: &str, limits: Limits) -> Self {
        let policy = Policy::new(stages, true, limits).unwrap();
        let (ahead, asked) = (AtomicI64::new(0), AtomicUsize::new(0));
        let clock = Arc::new(Clock { began: Instant::now(), ahead, asked });
        let now = clock.clone();
        let rollouts =
            Rollouts::new(plane.clone(), world.editions(), policy, Arc::new(move || now.now()));
        let task = tokio::spawn(rollouts.clone().run());
        Self { rollouts, clock, task }
    }

    /// Waits until the first stage has what it was given, and is watched.
    async fn first_is_watched(&self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let now = self.rollouts.status().await.unwrap().rollout.unwrap();
            assert!(!now.state.is_over(), "it is over before: {now:?}");
            if (now.stage, now.state) == (0, RolloutState::Baking) {
                return;
            }
            assert!(Instant::now() < deadline, "never watched: {now:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// So much time goes by at once, and what decides has looked at the clock some times since.
    async fn later(&self, by: Duration) {
        const LOOKS: usize = 5;
        self.clock.ahead.fetch_add(i64::try_from(by.as_millis()).unwrap(), Ordering::Relaxed);
        let goal = self.clock.asked.load(Ordering::Relaxed) + LOOKS;
        until("it looks again", || self.clock.asked.load(Ordering::Relaxed) >= goal).await;
    }

    /// The configuration is the default with this in it.
    pub(crate) async fn offer(&self, world: &World, insertion: &str) {
        let content = content(&world.platform, insertion);
        self.rollouts.offer(Ok(&content)).await.unwrap();
    }

    /// Waits for the end of that many roll-outs; how the last did, and why.
    pub(crate) async fn ended(&self, count: usize) -> (RolloutState, String) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let all = self.rollouts.list(100).await.unwrap();
            let over = all.iter().filter(|rollout| rollout.state.is_over()).count();
            if over >= count {
                let last = &all[0];
                return (last.state, last.reason.clone().unwrap_or_default());
            }
            assert!(Instant::now() < deadline, "never over: {all:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// The edition that was made last: of other templates, or other documents.
    pub(crate) async fn latest_edition(&self) -> u64 {
        self.rollouts.status().await.unwrap().editions[0].number
    }

    pub(crate) async fn stop(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}

/// The part of `name version` that tells what it is, and its revision.
fn parts(held: &str) -> (&str, u64) {
    let (name, version) = held.split_once(' ').unwrap();
    let revision = version.split(['.', '-']).nth(1).unwrap().parse().unwrap();
    (&held[..name.len()], revision)
}

pub(crate) fn hashes(held: &[String]) -> Vec<&str> {
    held.iter().map(|it| it.rsplit('-').next().unwrap()).collect()
}

/// No resource has a lower revision than before.
pub(crate) fn rises(before: &[String], after: &[String]) {
    for held in before {
        let (name, revision) = parts(held);
        let now = after.iter().map(|it| parts(it)).find(|(it, _)| *it == name);
        assert!(now.is_some_and(|(_, now)| now >= revision), "{before:?} {after:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn templates_are_live_when_saved_and_what_fails_changes_nothing() {
    let line = Line::up(Templates::builtin()).await;
    let rolling = Rolling::start(&line.world, &line.running.plane, "", Limits::default());
    rolling.offer(&line.world, "").await;
    let upstream = upstream("one").await;
    assert_eq!(line.publish("one", upstream).await, live(1));
    assert_eq!(line.publish("two", upstream).await, live(1));
    let first = line.running.held("one");

    rolling.offer(&line.world, HARMLESS).await;
    assert_eq!(rolling.ended(1).await, (RolloutState::Done, String::new()));
    let second = line.running.held("one");
    assert_ne!(hashes(&first), hashes(&second));
    rises(&first, &second);
    assert!(second.iter().map(|it| parts(it).1).max() > first.iter().map(|it| parts(it).1).max());

    for broken in ["{{ no_such_thing.at_all }", "{% if %}"] {
        rolling.offer(&line.world, broken).await;
        let status = rolling.rollouts.status().await.unwrap();
        assert!(status.trouble.unwrap().contains("routes.json.j2"));
        assert_eq!(line.running.held("one"), second);
    }
    rolling.offer(&line.world, REFUSED_OF_ONE).await;
    let (state, why) = rolling.ended(2).await;
    assert_eq!(state, RolloutState::Refused);
    assert!(why.contains("1 would be refused: two: a fault of the platform"), "{why}");
    assert_eq!(line.running.held("one"), second);
    assert_eq!(line.running.plane.fleet().quarantined, 0);

    rolling.offer(&line.world, HARMLESS).await;
    let status = rolling.rollouts.status().await.unwrap();
    assert_eq!((status.trouble, status.offered), (None, None), "it is as it was");
    assert_eq!(line.get("one.example.com").await, (200, "one".to_owned()));
    rolling.stop().await;
    line.down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_envoy_refuses_is_halted_and_goes_back() {
    let line = Line::up(Templates::builtin()).await;
    let rolling = Rolling::start(&line.world, &line.running.plane, "", Limits::default());
    rolling.offer(&line.world, "").await;
    assert_eq!(line.publish("one", upstream("one").await).await, live(1));
    let before = line.running.held("one");
    rolling.offer(&line.world, REFUSED_BY_ENVOY).await;
    let (state, why) = rolling.ended(1).await;
    assert_eq!(state, RolloutState::Reverted);
    assert!(why.contains("NO_SUCH_COMMAND"), "{why}");
    let back = || hashes(&line.running.held("one")) == hashes(&before);
    until("it has what it had", back).await;
    rises(&before, &line.running.held("one"));
    let settled = || {
        let fleet = line.running.plane.fleet();
        (fleet.quarantined, fleet.in_flight) == (0, 0)
    };
    until("nothing is held against the service", settled).await;
    assert_eq!(line.get("one.example.com").await, (200, "one".to_owned()));
    rolling.offer(&line.world, HARMLESS).await;
    assert_eq!(rolling.ended(2).await.0, RolloutState::Done);
    let all = rolling.rollouts.list(10).await.unwrap();
    assert_eq!(all.len(), 2, "what was reverted is not begun again by itself");
    rolling.stop().await;
    line.down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_does_not_acknowledge_halts() {
    let line = Line::up(Templates::builtin()).await;
    let limits = Limits { prove_within: Duration::from_secs(1), ..Limits::default() };
    let rolling = Rolling::start(&line.world, &line.running.plane, "", limits);
    rolling.offer(&line.world, "").await;
    assert_eq!(line.publish("one", upstream("one").await).await, live(1));
    let before = line.running.held("one");
    let signal = |name: &str| {
        let pid = line.envoys[0].pid().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    };
    signal("-STOP");
    rolling.offer(&line.world, HARMLESS).await;
    let (state, why) = rolling.ended(1).await;
    signal("-CONT");
    assert_eq!(state, RolloutState::Reverted);
    assert!(why.contains("group default: 0 of 1 proxy up to date"), "{why}");
    let back = || hashes(&line.running.held("one")) == hashes(&before);
    until("it has what it had", back).await;
    rolling.stop().await;
    line.down().await;
}

/// The plane of the line becomes a replica, and another decides that has no proxies.
async fn with_a_replica() -> (Line, Running, Rolling, JoinHandle<()>) {
    let line = Line::up(Templates::builtin()).await;
    let decides = line.world.start();
    let (here, there) = (decides.plane.clone(), line.running.plane.clone());
    let telling = tokio::spawn(async move {
        loop {
            here.elsewhere(vec![("a".to_owned(), Arc::new(there.summary()))]);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    let rolling = Rolling::start(&line.world, &decides.plane, "", Limits::default());
    rolling.offer(&line.world, "").await;
    line.running.plane.follow_editions(line.world.editions());
    assert_eq!(line.publish("one", upstream("one").await).await, live(1));
    (line, decides, rolling, telling)
}

#[tokio::test(flavor = "multi_thread")]
async fn proxies_of_other_replicas_are_waited_for_and_what_they_refuse_halts() {
    let (line, decides, rolling, telling) = with_a_replica().await;
    let before = line.running.held("one");
    rolling.offer(&line.world, HARMLESS).await;
    assert_eq!(rolling.ended(1).await, (RolloutState::Done, String::new()));
    let after = line.running.held("one");
    assert_ne!(hashes(&before), hashes(&after), "it was not waited for");
    let notes = rolling.rollouts.list(1).await.unwrap()[0].notes.join("; ");
    assert!(!notes.contains("no proxy is connected"), "{notes}");

    rolling.offer(&line.world, REFUSED_BY_ENVOY).await;
    let (state, why) = rolling.ended(2).await;
    assert_eq!(state, RolloutState::Reverted);
    assert!(why.contains("NO_SUCH_COMMAND"), "{why}");
    let back = || hashes(&line.running.held("one")) == hashes(&after);
    until("it has what it had", back).await;
    assert_eq!(line.get("one.example.com").await, (200, "one".to_owned()));
    telling.abort();
    rolling.stop().await;
    drop(decides);
    line.down().await;
}

/// A plane with two groups and one service, without proxies.
pub(crate) async fn two_groups(stages: &str) -> (World, Running, Rolling) {
    let world = World::new();
    let running = world.start();
    let rolling = Rolling::start(&world, &running.plane, stages, Limits::default());
    rolling.offer(&world, "").await;
    running.cache("eu");
    running.cache("us");
    let revision = world.publish("one", Some(&spec("one", "127.0.0.1:9"))).await;
    until("it is rendered", || !running.cache("us").dump(Some("one")).is_empty()).await;
    running.caught_up("one", revision).await;
    (world, running, rolling)
}

pub(crate) fn of(running: &Running, group: &str) -> Vec<String> {
    let entries = running.cache(group).dump(Some("one")).into_iter();
    entries.map(|e| format!("{} {}", e.resource.name, e.resource.version)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stage_waits_for_the_one_before_and_errors_halt_it() {
    let (world, running, rolling) = two_groups("canary=eu@1h; rest=*").await;
    let (eu, us) = (of(&running, "eu"), of(&running, "us"));
    rolling.offer(&world, HARMLESS).await;
    until("the canary has it", || hashes(&of(&running, "eu")) != hashes(&eu)).await;
    let node = Node { id: "p1".to_owned(), cluster: "eu".to_owned(), ..Node::default() };
    let good = Answers { requests: 100, ..Answers::default() };
    running.plane.answered(&node, good);
    let other = Node { cluster: "us".to_owned(), ..node.clone() };
    running.plane.answered(&other, Answers { failed: 100, ..good });
    rolling.first_is_watched().await;
    assert_eq!(hashes(&of(&running, "us")), hashes(&us), "the rest waits");

    running.plane.answered(&node, Answers { failed: 100, ..good });
    let (state, why) = rolling.ended(1).await;
    assert_eq!(state, RolloutState::Reverted);
    assert!(why.contains("50 % of 200 requests were answered with 500 or above"), "{why}");
    until("it goes back", || hashes(&of(&running, "eu")) == hashes(&eu)).await;
    rises(&eu, &of(&running, "eu"));
    assert_eq!(hashes(&of(&running, "us")), hashes(&us));
    rolling.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_pause_resume_and_go_back_to_any_edition() {
    let (world, running, rolling) = two_groups("canary=eu; rest=*").await;
    let rollouts = &rolling.rollouts;
    let first = rollouts.status().await.unwrap().given[0].1;
    let before = of(&running, "us");
    let templates = content(&world.platform, HARMLESS).templates;
    let wish = Wish { templates: Some(templates), edition: None };
    let planned = rollouts.plan(wish.clone()).await.unwrap();
    assert!(planned.is_good());
    assert_eq!(
        (planned.from, planned.instances, planned.changed),
        (first, 1, vec!["one".to_owned()])
    );
    assert_eq!(planned.samples[0].type_url, model::type_urls::ROUTE);
    assert_eq!(of(&running, "us"), before, "a plan sends nothing");

    let begun = rollouts.start(wish.clone(), "ann", None).await.unwrap();
    let paused = rollouts.pause(true, None).await;
    // Without proxies a stage without a bake time passes at once.
    if paused.is_ok() {
        rollouts.pause(false, None).await.unwrap();
    }
    assert_eq!(rolling.ended(1).await.0, RolloutState::Done);
    let second = begun.to;
    assert_ne!(hashes(&of(&running, "us")), hashes(&before));
    let again = rollouts.start(wish, "ann", None).await;
    assert!(matches!(again, Err(RolloutError::Conflict(_))), "{again:?}");
    let unknown = rollouts.revert(Some(999), "ann", None).await;
    assert!(matches!(unknown, Err(RolloutError::Unknown(999))), "{unknown:?}");

    for (to, back, count) in [(None, first, 2), (Some(second), second, 3), (Some(first), first, 4)]
    {
        assert_eq!(rollouts.revert(to, "ann", None).await.unwrap().to, back);
        assert_eq!(rolling.ended(count).await.0, RolloutState::Done);
        assert_eq!(rollouts.status().await.unwrap().given, [("*".to_owned(), back)]);
    }
    assert_eq!(hashes(&of(&running, "us")), hashes(&before));
    rises(&before, &of(&running, "us"));
    rolling.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_holds_until_it_is_resumed() {
    let (world, running, rolling) = two_groups("canary=eu@1h; rest=*").await;
    let us = of(&running, "us");
    rolling.offer(&world, HARMLESS).await;
    until("the canary has it", || hashes(&of(&running, "eu")) != hashes(&us)).await;
    rolling.first_is_watched().await;
    rolling.rollouts.pause(true, None).await.unwrap();
    rolling.later(Duration::from_secs(2 * 60 * 60)).await;
    assert_eq!(hashes(&of(&running, "us")), hashes(&us), "it is paused");
    rolling.rollouts.pause(false, None).await.unwrap();
    assert_eq!(rolling.ended(1).await.0, RolloutState::Done);
    until("the rest has it", || hashes(&of(&running, "eu")) == hashes(&of(&running, "us"))).await;
    rolling.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_starts_gives_groups_what_they_had() {
    let (world, mut running, rolling) = two_groups("canary=eu@1h; rest=*").await;
    rolling.offer(&world, HARMLESS).await;
    let us = of(&running, "us");
    until("the canary has it", || hashes(&of(&running, "eu")) != hashes(&us)).await;
    let eu = of(&running, "eu");
    rolling.stop().await;
    running.end().await;

    let running = world.start();
    let rolling = Rolling::start(&world, &running.plane, "canary=eu@1h; rest=*", Limits::default());
    let node = |cluster: &str| Node { cluster: cluster.to_owned(), ..Node::default() };
    running.plane.assign(&node("eu")).unwrap();
    running.plane.assign(&node("us")).unwrap();
    let same =
        || hashes(&of(&running, "eu")) == hashes(&eu) && hashes(&of(&running, "us")) == hashes(&us);
    until("each has what it had", same).await;
    let now = rolling.rollouts.status().await.unwrap().rollout.unwrap();
    assert_eq!((now.stage, now.state.is_over()), (0, false));
    rolling.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_only_follows_sends_the_same_versions() {
    let (world, running, rolling) = two_groups("canary=eu@1h; rest=*").await;
    let follower = world.start();
    follower.plane.follow_editions(world.editions());
    for group in ["eu", "us"] {
        let same =
            || !of(&running, group).is_empty() && of(&follower, group) == of(&running, group);
        until("it has the same", same).await;
    }
    let before = of(&running, "eu");
    rolling.offer(&world, HARMLESS).await;
    until("the canary has it", || hashes(&of(&running, "eu")) != hashes(&before)).await;
    until("here, too", || of(&follower, "eu") == of(&running, "eu")).await;
    assert_eq!(hashes(&of(&follower, "us")), hashes(&before), "the rest waits here, too");
    until("and is dated alike", || of(&follower, "us") == of(&running, "us")).await;
    rolling.stop().await;
}
