//! The gate with validators that say what they are told to, when they are told to: time is a number here.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use model::{Node, Spec, type_urls};
use render::{Endpoints, Input, Platform, Templates};
use serde_json::json;
use tokio::task::JoinHandle;

use super::*;

/// Answers the question with this number, with these bytes, after so long.
type Script = dyn Fn(usize, &[u8]) -> (Duration, Word) + Send + Sync;

struct Scripted {
    script: Box<Script>,
    asked: AtomicUsize,
}

impl std::fmt::Debug for Scripted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Scripted")
    }
}

#[async_trait]
impl Validator for Scripted {
    fn version(&self) -> &'static str {
        "1.40.0"
    }

    async fn validate(&self, bootstrap: Vec<u8>) -> Word {
        let (after, word) = (self.script)(self.asked.fetch_add(1, Ordering::Relaxed), &bootstrap);
        sleep(after).await;
        word
    }
}

/// The release before, which refuses everything.
#[derive(Debug)]
struct Before;

#[async_trait]
impl Validator for Before {
    fn version(&self) -> &'static str {
        "1.39.3"
    }

    async fn validate(&self, _: Vec<u8>) -> Word {
        Word::Bad("not with me".to_owned())
    }
}

/// A store that can be told to fail.
#[derive(Default)]
struct Kept(Mutex<Option<Vec<u8>>>, AtomicBool);

#[async_trait]
impl Blobs for Kept {
    async fn get(&self, _: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.0.lock().unwrap().clone())
    }
    async fn put(&self, _: &str, value: &[u8]) -> Result<(), StoreError> {
        if self.1.load(Ordering::Relaxed) {
            return Err(StoreError::Unavailable("told to".to_owned()));
        }
        *self.0.lock().unwrap() = Some(value.to_vec());
        Ok(())
    }
    async fn delete(&self, _: &str) -> Result<(), StoreError> {
        Ok(())
    }
    async fn list(&self, _: &str) -> Result<Vec<String>, StoreError> {
        Ok(Vec::new())
    }
}

/// A gate at work, and whom it wants to be looked at again.
struct World {
    gate: Arc<Gate>,
    kept: Arc<Kept>,
    told: Arc<Mutex<Vec<Subject>>>,
    validator: Arc<Scripted>,
    task: JoinHandle<()>,
}

impl World {
    fn new(script: impl Fn(usize, &[u8]) -> (Duration, Word) + Send + Sync + 'static) -> Self {
        Self::beside(script, Vec::new())
    }

    /// With these who can be asked, too.
    fn beside(
        script: impl Fn(usize, &[u8]) -> (Duration, Word) + Send + Sync + 'static,
        others: Vec<Arc<dyn Validator>>,
    ) -> Self {
        let validator = Arc::new(Scripted { script: Box::new(script), asked: AtomicUsize::new(0) });
        let (gate, kept) = (Arc::new(Gate::default()), Arc::new(Kept::default()));
        let ours: Arc<dyn Validator> = validator.clone();
        gate.ask(std::iter::once(ours).chain(others).collect());
        let told: Arc<Mutex<Vec<Subject>>> = Arc::default();
        let (running, blobs, news) = (gate.clone(), kept.clone(), told.clone());
        let task = tokio::spawn(async move {
            let again = |subjects: HashSet<Subject>| news.lock().unwrap().extend(subjects);
            running.run(&*blobs, &str::to_owned, again).await;
        });
        Self { gate, kept, told, validator, task }
    }

    fn judge(&self, subject: &Subject, drafts: &[Draft]) -> Opinion {
        self.gate.judge(subject, drafts, 0, &Series::new())
    }

    fn asked(&self) -> usize {
        self.validator.asked.load(Ordering::Relaxed)
    }

    fn told(&self) -> Vec<Subject> {
        std::mem::take(&mut *self.told.lock().unwrap())
    }

    /// For how long, in seconds, a change is held back.
    async fn held(&self, subject: &Subject, drafts: &[Draft]) -> u64 {
        let since = Instant::now();
        while self.judge(subject, drafts) == Opinion::Wait {
            sleep(Duration::from_millis(100)).await;
        }
        since.elapsed().as_secs()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn templates() -> &'static Templates {
    static TEMPLATES: OnceLock<Templates> = OnceLock::new();
    TEMPLATES.get_or_init(Templates::builtin)
}

fn platform(port: usize) -> Platform {
    let facts = json!({
        "zone": "localhost", "internal": format!("127.0.0.1:{port}"), "public": "127.0.0.1:1",
        "trusted_hops": 0, "on_demand": false, "shared_clusters": [], "sources": {},
    });
    serde_json::from_value(facts).unwrap()
}

/// What is like nothing with another number.
fn drafts(number: usize) -> Vec<Draft> {
    let node = Node { cluster: "default".to_owned(), ..Node::default() };
    let mut drafts = templates().group(&platform(10_000 + number), &node).unwrap();
    drafts.retain(|draft| &*draft.name == "internal");
    assert_eq!(drafts.len(), 1, "the listener is called otherwise by now");
    drafts
}

/// The routes of an instance, a route for each path.
fn routes(paths: &[&str]) -> Vec<Specimen> {
    let route = |path: &&str| json!({"name": path[1..], "match": {"path": path}, "respond": {}});
    let spec: Spec = serde_json::from_value(json!({
        "plan": "internal", "hostnames": ["shop.localhost"],
        "parameters": {"service": "shop", "routes": paths.iter().map(route).collect::<Vec<_>>()},
    }))
    .unwrap();
    let (id, endpoints) = (instance(0), Endpoints::new());
    let id = match &id {
        Subject::Instance(id) => id,
        _ => unreachable!(),
    };
    let input = Input { id, spec: &spec, endpoints: &endpoints, callers: &[], withheld: &[] };
    let drafts = templates().instance(&platform(1), &Node::default(), input).unwrap();
    let routes = drafts.iter().filter(|draft| draft.type_url.as_str() == type_urls::ROUTE);
    let routes: Vec<_> = routes.map(Specimen::from).collect();
    assert_eq!(routes.len(), 1);
    routes
}

fn instance(number: usize) -> Subject {
    Subject::Instance(format!("i{number}").parse().unwrap())
}

fn planned(number: usize) -> Subject {
    Subject::Planned(format!("i{number}").into())
}

fn at_once(word: Word) -> (Duration, Word) {
    (Duration::from_millis(200), word)
}

fn never() -> (Duration, Word) {
    (Duration::from_secs(3_600), Word::Good)
}

#[tokio::test(start_paused = true)]
async fn an_envoy_that_hangs_holds_a_change_for_ten_seconds_and_later_ones_for_two() {
    let world = World::new(|_, _| never());
    assert_eq!(world.held(&instance(1), &drafts(1)).await, 10);
    assert_eq!(world.told(), [instance(1)]);
    assert_eq!(world.held(&instance(2), &drafts(2)).await, 0, "the question is overdue");
    sleep(Duration::from_secs(60)).await;
    assert_eq!(world.asked(), 1, "it is given up, and what went on is not asked about");
    for number in 3..6 {
        assert_eq!(world.held(&instance(number), &drafts(number)).await, 2);
        sleep(Duration::from_secs(60)).await;
    }
    assert_eq!(world.held(&instance(3), &drafts(3)).await, 0, "once is enough");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_comes_late_is_believed_and_ends_the_silence() {
    let world = World::new(|number, _| match number {
        0 => (Duration::from_secs(15), Word::Bad("odd".to_owned())),
        _ => at_once(Word::Bad("odd".to_owned())),
    });
    assert_eq!(world.held(&instance(1), &drafts(1)).await, 10);
    assert_eq!(world.judge(&instance(1), &drafts(1)), Opinion::Good);
    world.told();
    sleep(Duration::from_secs(10)).await;
    assert_eq!(world.told(), [instance(1)], "it is looked at again");
    let Opinion::Bad(complaint) = world.judge(&instance(1), &drafts(1)) else { panic!("not bad") };
    assert!(complaint.message.contains("Envoy 1.40.0 refuses it: odd"), "{complaint:?}");
    assert_eq!(world.judge(&instance(2), &drafts(2)), Opinion::Wait, "it is asked again");
}

#[tokio::test(start_paused = true)]
async fn plans_hold_nothing_back_and_changes_not_for_ever() {
    let world = World::new(|_, _| (Duration::from_secs(9), Word::Good));
    let (open, done) = (Held::Opening("g".into()), Held::Done(7));
    assert_eq!(world.judge(&planned(1), &drafts(1)), Opinion::Wait);
    assert!(world.gate.lets_go(&open) && world.gate.lets_go(&done));
    sleep(Duration::from_secs(1)).await;
    // One after the other, for ever: each has an answer in time.
    for (number, waited) in [0, 6, 12, 18, 24, 30].into_iter().enumerate() {
        assert_eq!(world.judge(&instance(number), &drafts(number + 2)), Opinion::Wait);
        assert_eq!(world.gate.lets_go(&done), waited == 30, "after {waited} s");
        assert!(!world.gate.lets_go(&open), "after {waited} s");
        sleep(Duration::from_secs(6)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn of_plans_so_many_wait_and_none_for_longer_than_its_asker() {
    let world = World::new(|_, _| never());
    let (now, drafts) = (Instant::now(), drafts(1));
    let desk = &world.gate.desks()[0];
    // Each with other templates.
    for number in 0..=verdicts::PLANS_MAX {
        assert_eq!(desk.judge(&planned(number), &drafts, number as u64, now), Opinion::Wait);
    }
    assert_eq!(world.gate.waiting(), verdicts::PLANS_MAX);
    assert_eq!(desk.judge(&instance(1), &drafts, 0, now), Opinion::Wait);
    let mut verdicts = desk.verdicts();
    let batch = verdicts.take(now);
    let subjects: Vec<&Subject> = batch.iter().map(|case| &case.subject).collect();
    assert_eq!(subjects, [&instance(1)], "changes come first, alone");
    let batch = verdicts.take(now);
    assert_eq!(batch.len(), 128);
    assert!(batch.iter().all(|case| case.subject.is_planned()));
    let late = now + verdicts::PLAN_KEPT + Duration::from_secs(1);
    assert!(verdicts.take(late).is_empty(), "who asked is gone");
    drop(verdicts);
    assert_eq!(desk.judge(&planned(500), &drafts, 500, late), Opinion::Wait);
    assert_eq!(desk.verdicts().take(late).len(), 1, "who is not asks again");
}

#[tokio::test(start_paused = true)]
async fn who_has_nothing_new_waits_for_the_answer_to_another() {
    let world = World::new(|_, _| at_once(Word::Good));
    assert_eq!(world.judge(&instance(1), &drafts(1)), Opinion::Wait);
    assert_eq!(world.judge(&instance(2), &drafts(1)), Opinion::Wait);
    sleep(Duration::from_secs(1)).await;
    let mut told = world.told();
    told.sort_by_key(|subject| format!("{subject:?}"));
    assert_eq!((told, world.asked()), (vec![instance(1), instance(2)], 1));
    assert_eq!(world.judge(&instance(2), &drafts(1)), Opinion::Good);
    // A plan's question is not one that a change waits for.
    assert_eq!(world.judge(&planned(3), &drafts(3)), Opinion::Wait);
    assert_eq!(world.judge(&instance(3), &drafts(3)), Opinion::Wait);
    assert!(world.gate.desks()[0].verdicts().has_pending());
}

#[tokio::test(start_paused = true)]
async fn what_could_not_be_kept_is_kept_later() {
    let world = World::new(|_, _| at_once(Word::Good));
    world.kept.1.store(true, Ordering::Relaxed);
    world.held(&instance(1), &drafts(1)).await;
    sleep(Duration::from_secs(60)).await;
    assert_eq!(*world.kept.0.lock().unwrap(), None);
    world.kept.1.store(false, Ordering::Relaxed);
    sleep(Duration::from_secs(10)).await;
    assert_eq!(world.kept.0.lock().unwrap().as_ref().map(Vec::len), Some(8), "one piece");
}

#[tokio::test(start_paused = true)]
async fn a_silence_blames_no_route() {
    fn is_bad(bytes: &[u8]) -> bool {
        bytes.windows(4).any(|it| it == b"/bad")
    }
    let paths = ["/a", "/bad", "/c", "/d"];
    for (silent_at, culprit) in [(9, Some("route `bad`")), (1, None), (2, None), (3, None)] {
        let world = World::new(move |number, bytes| match () {
            () if number == silent_at => at_once(Word::Nothing("gone".to_owned())),
            () if is_bad(bytes) => at_once(Word::Bad("odd".to_owned())),
            () => at_once(Word::Good),
        });
        let told = world.gate.appeal(&routes(&paths), "1.40", &str::to_owned).await.unwrap();
        assert_eq!(told.culprit.as_deref(), culprit, "silent at {silent_at}");
        assert!(told.message.ends_with("odd") && told.resource.is_some(), "{told:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_release_before_is_asked_for_who_has_it_and_for_nobody_else() {
    let world = World::beside(|_, _| at_once(Word::Good), vec![Arc::new(Before)]);
    let there = Series::from(["1.39".to_owned(), "1.40".to_owned()]);
    let (with, without) = (drafts(1), drafts(2));
    let judge = |drafts: &[Draft], there: &Series| world.gate.judge(&instance(1), drafts, 0, there);
    assert_eq!(judge(&with, &there), Opinion::Wait);
    while judge(&with, &there) == Opinion::Wait {
        sleep(Duration::from_millis(100)).await;
    }
    let Opinion::Bad(told) = judge(&with, &there) else { panic!("it is not asked") };
    assert!(told.message.contains("not with me"), "{told:?}");
    while judge(&without, &Series::new()) == Opinion::Wait {
        sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(judge(&without, &Series::new()), Opinion::Good);
}
