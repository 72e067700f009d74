//! A source that does as it is told, and what the store has after each question.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use serde_json::{Value, json};
use store::{Blobs as _, Holding};

use super::*;
use crate::documents as docs;
use crate::scribe::SourcePorts;
use crate::status;
use crate::testing::{self, Clock, Kept, Ring};

enum Act {
    New(&'static str),
    Tagged(&'static str, &'static str),
    Same,
    Fail(&'static str),
    Hang,
    Panic,
    /// Does not let go of its thread, whatever is done to its task.
    Block(std::sync::mpsc::Receiver<()>),
}

#[derive(Default)]
struct Told {
    acts: Mutex<VecDeque<Act>>,
    asked: Mutex<Vec<Validators>>,
}

#[async_trait]
impl Source for Told {
    fn kind(&self) -> &'static str {
        "told"
    }
    fn place(&self) -> String {
        "here".to_owned()
    }
    async fn fetch(&self, known: &Validators, _: usize) -> Result<Fetched, FetchError> {
        self.asked.lock().unwrap().push(known.clone());
        let act = self.acts.lock().unwrap().pop_front().expect("told what to do");
        let new = |text: &str, etag: Option<&str>| {
            let etag = etag.map(str::to_owned);
            Ok(Fetched::New(text.into(), Validators { etag, last_modified: None }))
        };
        match act {
            Act::New(text) => new(text, None),
            Act::Tagged(text, etag) => new(text, Some(etag)),
            Act::Same => Ok(Fetched::Same),
            Act::Fail(why) => Err(why.into()),
            Act::Hang => std::future::pending().await,
            Act::Panic => panic!("told to"),
            Act::Block(until) => {
                let _ = until.recv();
                new("late", None)
            }
        }
    }
}

struct World {
    blobs: Arc<Kept>,
    clock: Arc<Clock>,
    ring: Arc<Ring>,
    source: Arc<Told>,
    declared: Declared,
    scribe: Scribe,
    polled: Polled,
}

impl World {
    async fn new(secret: &[&str]) -> Self {
        let (blobs, clock) = (Arc::<Kept>::default(), Arc::<Clock>::default());
        let ring = Arc::<Ring>::default();
        let ports = testing::ports(&blobs, &clock);
        let holding = Holding { name: "sources".to_owned(), number: 1 };
        let scribe = Scribe::new(SourcePorts { vault: ring.clone(), ..ports }, holding);
        let source = Arc::<Told>::default();
        let declared = Declared {
            is_staged: true,
            name: "teams".to_owned(),
            format: Format::Json,
            interval: Duration::from_secs(30),
            jitter: Duration::ZERO,
            timeout: Duration::from_millis(50),
            bytes_max: 64,
            secret_paths: secret.iter().map(|path| path.parse().unwrap()).collect(),
            source: source.clone(),
        };
        let polled = Polled::new(declared.clone(), scribe.clone(), None, SourceStatus::default());
        Self { blobs, clock, ring, source, declared, scribe, polled }
    }

    /// As another process, which finds what the store has.
    async fn restart(&mut self) {
        let (kept, status) = self.scribe.one("teams").await.unwrap();
        self.polled = Polled::new(self.declared.clone(), self.scribe.clone(), kept, status);
    }

    async fn does(&mut self, act: Act) -> (Value, Option<String>) {
        self.source.acts.lock().unwrap().push_back(act);
        self.poll().await
    }

    async fn poll(&mut self) -> (Value, Option<String>) {
        self.clock.0.fetch_add(1_000, Ordering::Relaxed);
        self.polled.poll().await.unwrap();
        let (kept, status) = self.scribe.one("teams").await.unwrap();
        (kept.map_or(Value::Null, |kept| json!([kept.revision, kept.value])), status.problem)
    }

    async fn status(&self) -> SourceStatus {
        status::source_statuses(&*self.blobs).await.unwrap().remove("teams").unwrap()
    }
}

#[tokio::test]
async fn whatever_a_source_does_its_last_good_value_stays() {
    let mut world = World::new(&[]).await;
    let good = json!([1, {"a": 1}]);
    assert_eq!(world.does(Act::New(r#"{"a": 1}"#)).await, (good.clone(), None));
    let long: &str = r#"{"a": "0123456789012345678901234567890123456789012345678901234567890123"}"#;
    for (act, problem) in [
        (Act::Hang, "does not answer within 50ms"),
        (Act::Panic, "panicked"),
        (Act::Fail("is on fire"), "is on fire"),
        (Act::New("<html>"), "is not JSON: line 1, column 1"),
        (Act::New(""), "is empty"),
        (Act::New(long), "is larger than 64 bytes"),
    ] {
        assert_eq!(world.does(act).await, (good.clone(), Some(problem.to_owned())));
    }
    let status = world.status().await;
    assert_eq!((status.fetched_at, status.failing_since), (Some(1_000), Some(2_000)));
    assert_eq!(status.staleness_ms(9_000), Some(8_000));
    assert_eq!(world.does(Act::New(r#"{"a": 2}"#)).await, (json!([2, {"a": 2}]), None));
    assert_eq!(world.status().await.failing_since, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_blocks_its_thread_is_asked_once() {
    let mut world = World::new(&[]).await;
    let (free, until) = std::sync::mpsc::channel();
    let (_, problem) = world.does(Act::Block(until)).await;
    assert_eq!(problem.as_deref(), Some("does not answer within 50ms"));
    let (_, problem) = world.poll().await;
    assert_eq!(problem.as_deref(), Some("is still busy with an earlier question"));
    assert_eq!(world.source.asked.lock().unwrap().len(), 1);
    drop(free);
    while !world.polled.late.as_ref().unwrap().0.is_finished() {
        tokio::task::yield_now().await;
    }
    assert_eq!(world.does(Act::New("7")).await, (json!([1, 7]), None));
}

#[tokio::test]
async fn what_the_store_did_not_take_is_told_again() {
    let mut world = World::new(&[]).await;
    world.does(Act::New("1")).await;
    for (act, again, problem) in [
        (Act::Fail("is away"), Act::Fail("is away"), Some("is away")),
        (Act::Same, Act::Same, None),
    ] {
        world.blobs.3.store(true, Ordering::Relaxed);
        world.source.acts.lock().unwrap().push_back(act);
        world.clock.0.fetch_add(1_000, Ordering::Relaxed);
        assert!(world.polled.poll().await.is_err());
        world.blobs.3.store(false, Ordering::Relaxed);
        assert_eq!(world.does(again).await, (json!([1, 1]), problem.map(str::to_owned)));
    }
    assert_eq!(world.status().await.failing_since, None);
}

#[tokio::test]
async fn nobody_waits_for_an_answer_when_the_poller_is_gone() {
    let mut world = World::new(&[]).await;
    world.source.acts.lock().unwrap().push_back(Act::Hang);
    let source = world.source.clone();
    {
        let poll = world.polled.poll();
        tokio::pin!(poll);
        let asked = async {
            while source.asked.lock().unwrap().is_empty() {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            ended = &mut poll => panic!("{ended:?}"),
            () = asked => {}
        }
    }
    drop(world);
    let freed = async {
        while Arc::strong_count(&source) > 1 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), freed).await.expect("it is still asked");
}

#[tokio::test]
async fn it_is_asked_whether_anything_is_new() {
    let mut world = World::new(&[]).await;
    world.does(Act::Tagged("1", "v1")).await;
    assert_eq!(world.does(Act::Same).await, (json!([1, 1]), None));
    assert_eq!(world.does(Act::Tagged("1", "v2")).await, (json!([1, 1]), None));
    assert_eq!(world.does(Act::Fail("is away")).await.1.as_deref(), Some("is away"));
    assert_eq!(world.does(Act::Same).await, (json!([1, 1]), None));
    world.restart().await;
    assert_eq!(world.does(Act::Tagged("2", "v3")).await, (json!([2, 2]), None));
    let asked = world.source.asked.lock().unwrap().clone();
    let tags: Vec<_> = asked.iter().map(|known| known.etag.as_deref().unwrap_or("")).collect();
    assert_eq!(tags, ["", "v1", "v1", "v2", "v2", ""], "another process asks for all of it");
}

#[tokio::test]
async fn that_it_is_good_is_written_down_now_and_then() {
    let mut world = World::new(&[]).await;
    world.does(Act::New("1")).await;
    let before = world.blobs.writes();
    for _ in 0..9 {
        world.does(Act::New("1")).await;
    }
    assert_eq!(world.blobs.writes(), before);
    world.does(Act::New("1")).await;
    assert_eq!(world.blobs.writes(), before + 1);
    assert_eq!(world.status().await.fetched_at, Some(11_000));
    // What fails for the same reason again and again is no news.
    for _ in 0..9 {
        world.does(Act::Fail("is away")).await;
    }
    assert_eq!(world.blobs.writes(), before + 2);
}

#[tokio::test]
async fn what_is_secret_lies_sealed_and_is_no_news_if_it_is_the_same() {
    let text = r#"{"user": "anna", "password": "hunter22"}"#;
    let mut world = World::new(&["/password"]).await;
    let expected = json!([1, {"user": "anna", "password": "hunter22"}]);
    for _ in 0..2 {
        assert_eq!(world.does(Act::New(text)).await, (expected.clone(), None));
    }
    let bytes = world.blobs.get("sources/teams").await.unwrap().unwrap();
    let kept = String::from_utf8(bytes).unwrap();
    assert!(kept.contains("anna") && kept.contains("$sealed"), "{kept}");
    for blob in world.blobs.list("").await.unwrap() {
        let bytes = world.blobs.get(&blob).await.unwrap().unwrap();
        assert!(!String::from_utf8_lossy(&bytes).contains("hunter22"), "{blob}");
    }
    assert_eq!(world.status().await.digest, None);
    // A document without it would be one whose secret is somewhere else, in clear.
    let (kept, problem) = world.does(Act::New(r#"{"passwort": "hunter23"}"#)).await;
    assert_eq!(kept, expected);
    assert_eq!(problem.as_deref(), Some("has nothing at `/password`, which is to be secret"));
}

#[tokio::test]
async fn what_becomes_secret_is_sealed_although_it_is_the_same() {
    let text = r#"{"password": "hunter22"}"#;
    let mut world = World::new(&[]).await;
    world.does(Act::New(text)).await;
    let digest = world.status().await.digest.unwrap();
    assert_eq!(digest.len(), 16);
    world.declared.secret_paths = vec![SecretPath::whole()];
    world.restart().await;
    let expected = json!([1, {"password": "hunter22"}]);
    assert_eq!(world.does(Act::New(text)).await, (expected, None));
    let all = crate::documents(&*world.blobs).await.unwrap();
    assert!(!format!("{all:?}").contains("hunter22"), "{all:?}");
    assert_eq!(world.status().await.digest, None);
}

impl World {
    /// The revisions that editions may have, and how the latest comes to groups.
    async fn versions(&self) -> (Vec<u64>, Reach) {
        let mut kept = Vec::new();
        for revision in 1..=9 {
            let version = docs::version(&*self.blobs, "teams", revision).await.unwrap();
            kept.extend(version.map(|version| version.revision));
        }
        let latest = crate::documents(&*self.blobs).await.unwrap().remove("teams").unwrap();
        (kept, latest.reach)
    }
}

#[tokio::test]
async fn what_comes_by_stages_is_kept_as_long_as_an_edition_has_it() {
    let mut world = World::new(&["/password"]).await;
    for text in [r#"{"password": "hunter21"}"#, r#"{"password": "hunter22"}"#] {
        world.does(Act::New(text)).await;
    }
    assert_eq!(world.versions().await, (vec![1, 2], Reach::Staged));
    let (blobs, ring) = (&*world.blobs, world.ring.clone());
    docs::forget_versions(blobs, &[("teams".to_owned(), 1)].into()).await.unwrap();
    assert_eq!(world.versions().await.0, [1, 2], "one is needed, one is the latest");

    // What editions have is sealed anew with the rest.
    ring.rotate();
    docs::reseal(blobs, &*world.blobs, &*ring, &ring.newest()).await.unwrap();
    assert_eq!(docs::sealing_keys(blobs).await.unwrap(), [ring.newest()]);
    ring.forget();
    let old = docs::version(blobs, "teams", 1).await.unwrap().unwrap();
    let (opened, _) = docs::open_all(&*ring, &[("teams".to_owned(), old)].into());
    assert_eq!(opened["teams"], json!({"password": "hunter21"}));

    // A source that went and comes again has no revision that there was.
    for key in ["sources/teams", "source-status/teams"] {
        blobs.delete(key).await.unwrap();
    }
    world.restart().await;
    world.does(Act::New(r#"{"password": "hunter23"}"#)).await;
    assert_eq!(world.versions().await.0, [1, 2, 3]);
    docs::forget_versions(&*world.blobs, &Default::default()).await.unwrap();
    assert_eq!(world.versions().await.0, [3]);
}

#[tokio::test]
async fn what_becomes_staged_says_so() {
    let mut world = World::new(&[]).await;
    for (is_staged, text, expected) in [
        (false, "1", (vec![], Reach::AtOnce)),
        (true, "1", (vec![1], Reach::StagedSince)),
        (true, "2", (vec![1, 2], Reach::StagedSince)),
        (false, "2", (vec![1, 2], Reach::AtOnce)),
    ] {
        world.declared.is_staged = is_staged;
        world.restart().await;
        world.does(Act::New(text)).await;
        assert_eq!(world.versions().await, expected, "{is_staged} {text}");
    }
}
