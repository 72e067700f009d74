//! Conversations with the discovery server that nobody thought of, as text: whatever is said on whatever
//! streams, every answer is bounded and only what may be said to that client, no stream ends without
//! a reason, and whoever comes then is served. `fuzz/` leads it by coverage; here it is mutated blindly.
//!
//! Parts are separated by a line `----`: a line of words, and whatever follows it. Types are letters
//! ([`type_of`]), or themselves.
//!
//! | line | what happens |
//! |---|---|
//! | `OPEN METHOD GROUP NODE [known]` | a stream; `delta` and `state` are the methods of ADS |
//! | `SAY STREAM` | a message, byte by byte what follows |
//! | `ASK STREAM TYPE NAME…` | a request; `-NAME` ends a subscription, `NAME=VERSION` is held |
//! | `TAKE STREAM`, `REFUSE STREAM` | acknowledges all that came, or refuses what came last |
//! | `OLD STREAM` | acknowledges what came first |
//! | `END STREAM` | the client has said all |
//! | `SET GROUP OWNER TYPE NAME`, `GONE …` | a resource comes, with what follows, or goes |
//! | `MOVE GROUP` | the group is served from its other cache |
//! | `GUARD GROUP`, `WAIT SECONDS` | |
//! | `POLL PATH` | with what follows as its body |

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use model::type_urls::{CLUSTER, ENDPOINT, LISTENER, ROUTE, SCOPED_ROUTE, SECRET};
use model::{Node, Resource, TypeUrl, Version};
use tokio::sync::mpsc;
use tower::ServiceExt;
use xds::{Ads, Cache, Change, Directory, Event, Guard, Limits, Options, StreamId};

use crate::speaker::Speaker;

/// Parts of one conversation that are heard; what follows is not.
const PARTS_MAX: usize = 64;
const STREAMS_MAX: usize = 12;
const SECONDS_MAX: u64 = 30;
const GROUPS: [&str; 2] = ["edge", "core"];
const LIMITS_NAMES: usize = 48;

/// What is between the words of a resource, so that it tells whose it is.
const SEAM: char = '\u{1f}';

/// A letter's type.
pub(crate) fn type_of(word: &str) -> &str {
    match word {
        "C" => CLUSTER,
        "E" => ENDPOINT,
        "L" => LISTENER,
        "R" => ROUTE,
        "S" => SCOPED_ROUTE,
        "K" => SECRET,
        "V" => "type.googleapis.com/envoy.config.route.v3.VirtualHost",
        "X" => "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig",
        other => other,
    }
}

/// The group, type and name that a resource tells of itself.
pub(crate) fn whose(body: &[u8]) -> Option<(&str, &str, &str)> {
    let mut words = std::str::from_utf8(body).ok()?.split(SEAM);
    let words = (words.next()?, words.next()?, words.next()?);
    GROUPS.contains(&words.0).then_some(words)
}

/// A group's cache, and another beside it which always has the same.
struct Pair {
    cache: Arc<Cache>,
    fork: Option<Arc<Cache>>,
    moved: bool,
}

impl Pair {
    fn new() -> Self {
        let cache = Arc::new(Cache::new(Options::default()));
        cache.open();
        Self { cache, fork: None, moved: false }
    }

    fn apply(&self, change: Change) {
        let Some(fork) = &self.fork else {
            self.cache.apply(vec![change]);
            return;
        };
        let (owner, gone) = (change.owner.clone(), change.remove.clone());
        fork.apply(vec![change]);
        self.cache.follow(fork, &owner, &gone);
    }

    fn served(&self) -> &Arc<Cache> {
        self.fork.as_ref().filter(|_| self.moved).unwrap_or(&self.cache)
    }
}

#[derive(Default)]
struct Groups(Mutex<BTreeMap<&'static str, Pair>>);

impl Directory for Groups {
    fn assign(&self, node: &Node) -> Result<Arc<Cache>, String> {
        let groups = self.0.lock().unwrap();
        let group = groups.get(node.cluster.as_str()).ok_or("no such group")?;
        Ok(group.served().clone())
    }
}

/// Resources here are text, and written as such.
struct Text;

impl xds::Json for Text {
    fn any(&self, type_url: &TypeUrl, body: &[u8]) -> Result<String, String> {
        let text = String::from_utf8_lossy(body);
        Ok(serde_json::json!({"@type": type_url.as_str(), "text": text}).to_string())
    }
}

struct World {
    ads: Ads,
    events: mpsc::Receiver<Event>,
    groups: Arc<Groups>,
    speakers: Vec<Speaker>,
    /// Who has a stream, as the server tells it.
    open: BTreeMap<StreamId, String>,
    closed: BTreeSet<StreamId>,
    revision: u64,
}

/// Holds a conversation. The clock of the runtime is paused: what takes time takes none.
pub(crate) async fn converse(text: &[u8]) {
    let mut world = World::new();
    for part in split(text).take(PARTS_MAX) {
        let at = part.iter().position(|byte| *byte == b'\n').unwrap_or(part.len());
        let (head, rest) = (&part[..at], part.get(at + 1..).unwrap_or_default());
        let Ok(head) = std::str::from_utf8(head) else { continue };
        let words: Vec<&str> = head.split([' ', SEAM]).filter(|word| !word.is_empty()).collect();
        world.hear_part(&words, rest).await;
        world.listen().await;
    }
    world.ends().await;
}

fn split(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    const LINE: &[u8] = b"\n----\n";
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let at = text.windows(LINE.len()).position(|it| it == LINE);
        rest = at.map(|at| &text[at + LINE.len()..]);
        Some(at.map_or(text, |at| &text[..at]))
    })
}

impl World {
    fn new() -> Self {
        let (sender, events) = mpsc::channel(1 << 16);
        let groups = Arc::new(Groups::default());
        *groups.0.lock().unwrap() = GROUPS.map(|group| (group, Pair::new())).into();
        let limits = Limits {
            names: LIMITS_NAMES,
            unknown_names: 8,
            in_flight: 4,
            message_bytes: 1 << 14,
            ..Limits::default()
        };
        let ads = Ads::new(groups.clone(), sender, limits);
        ads.speak_json(Arc::new(Text));
        let (speakers, open, closed) = Default::default();
        Self { ads, events, groups, speakers, open, closed, revision: 0 }
    }

    async fn hear_part(&mut self, words: &[&str], rest: &[u8]) {
        match *words {
            ["OPEN", method, group, node] => self.opens(method, group, node, false).await,
            ["OPEN", method, group, node, "known"] => self.opens(method, group, node, true).await,
            ["SAY", stream] => self.speak(stream, |it| it.say(rest)),
            ["ASK", stream, kind, ref names @ ..] => self.speak(stream, |it| it.ask(kind, names)),
            ["TAKE", stream] => self.takes(stream).await,
            ["REFUSE", stream] => self.speak(stream, Speaker::refuse),
            ["OLD", stream] => self.speak(stream, |it| it.answer(it.first(), None)),
            ["END", stream] => self.speak(stream, Speaker::end),
            ["SET", group, owner, kind, name] => self.set(group, owner, (kind, name), rest),
            ["GONE", group, owner, kind, name] => self.gone(group, owner, (kind, name)),
            ["MOVE", group] => self.moves(group),
            ["GUARD", group] => self.guard(group),
            ["WAIT", seconds] => {
                let seconds = seconds.parse::<u64>().unwrap_or(1).min(SECONDS_MAX);
                tokio::time::sleep(Duration::from_secs(seconds)).await;
            }
            ["POLL", path] => self.poll(path, rest).await,
            _ => {}
        }
    }

    async fn opens(&mut self, method: &str, group: &str, node: &str, known: bool) {
        if self.speakers.len() < STREAMS_MAX {
            self.speakers.extend(Speaker::open(&self.ads, method, (group, node), known).await);
        }
    }

    fn speak(&mut self, stream: &str, what: impl FnOnce(&mut Speaker)) {
        let at = stream.parse::<usize>().ok();
        if let Some(speaker) = at.and_then(|at| self.speakers.get_mut(at)) {
            what(speaker);
        }
    }

    /// What a client has taken it may say again and again: it is answered once.
    async fn takes(&mut self, stream: &str) {
        self.speak(stream, Speaker::take);
        let heard = self.listen().await;
        if heard == 0 {
            self.speak(stream, |it| it.answer(it.last(), None));
            let again = self.listen().await;
            let is_tame = self.speakers.iter().all(Speaker::is_tame);
            assert!(!is_tame || again == 0, "an acknowledgement was answered twice");
        }
    }

    /// Hears all that is said now; how many responses that was.
    async fn listen(&mut self) -> usize {
        let mut all = 0;
        loop {
            let mut heard = 0;
            for speaker in &mut self.speakers {
                heard += speaker.hear().await;
            }
            all += heard;
            assert!(all < 1_000, "there is no end of answers");
            if heard == 0 {
                break;
            }
        }
        self.note();
        all
    }

    fn note(&mut self) {
        while let Ok(event) = self.events.try_recv() {
            match event {
                Event::Opened { stream, node, .. } => {
                    assert!(!self.closed.contains(&stream), "a stream came back from the dead");
                    let before = self.open.insert(stream, node.cluster.clone());
                    assert_eq!(before, None, "a stream was opened twice");
                }
                Event::Closed { stream } => {
                    assert!(self.open.remove(&stream).is_some(), "closed, and never opened");
                    self.closed.insert(stream);
                }
                Event::Synced { stream, .. }
                | Event::Settled { stream, .. }
                | Event::Rejected { stream, .. }
                | Event::Ahead { stream, .. } => {
                    assert!(self.open.contains_key(&stream), "news of a stream that is none");
                }
                Event::Polled { node, .. } => assert!(GROUPS.contains(&node.cluster.as_str())),
            }
        }
    }

    fn change(&self, group: &str, change: Change) {
        if let Some(pair) = self.groups.0.lock().unwrap().get(group) {
            pair.apply(change);
        }
    }

    fn set(&mut self, group: &str, owner: &str, (kind, name): (&str, &str), rest: &[u8]) {
        self.revision += 1;
        let (kind, text) = (type_of(kind), String::from_utf8_lossy(rest));
        let body = format!("{group}{SEAM}{kind}{SEAM}{name}{SEAM}{text}").into_bytes();
        let hash = Version::hash_of(&body);
        let resource = Resource {
            type_url: TypeUrl::new(kind),
            name: name.into(),
            version: Version { epoch: 1, revision: self.revision, hash },
            body: body.into(),
        };
        let (set, remove) = (vec![resource], Vec::new());
        self.change(group, Change { owner: owner.into(), set, remove });
    }

    fn gone(&mut self, group: &str, owner: &str, (kind, name): (&str, &str)) {
        let remove = vec![(TypeUrl::new(type_of(kind)), name.into())];
        self.change(group, Change { owner: owner.into(), set: Vec::new(), remove });
    }

    fn moves(&mut self, group: &str) {
        let mut groups = self.groups.0.lock().unwrap();
        let Some(pair) = groups.get_mut(group) else { return };
        let from = pair.served().clone();
        pair.fork.get_or_insert_with(|| Arc::new(pair.cache.fork()));
        pair.moved = !pair.moved;
        from.recall(self.open.iter().filter(|(_, of)| *of == group).map(|(stream, _)| *stream));
    }

    fn guard(&mut self, group: &str) {
        let groups = self.groups.0.lock().unwrap();
        let Some(pair) = groups.get(group) else { return };
        let guard = Guard { epoch: 1, lost_after: Some((0, 1)), waits: self.revision % 2 == 1 };
        let caches = [Some(&pair.cache), pair.fork.as_ref()];
        for cache in caches.into_iter().flatten() {
            cache.guard(guard);
            cache.reach(self.revision);
            cache.complete(self.revision);
        }
    }

    async fn poll(&mut self, path: &str, body: &[u8]) {
        let request = http::Request::post(path);
        let body = tonic::body::Body::new(Full::new(Bytes::copy_from_slice(body)));
        let Ok(request) = request.body(body) else { return };
        if !request.uri().path().starts_with("/v3/discovery:") {
            return;
        }
        let response = self.ads.clone().oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert!(matches!(status, 200 | 304 | 400 | 403 | 404 | 405 | 413), "{status}: {body:?}");
        if status == 304 {
            return assert!(body.is_empty(), "unchanged, and sent nevertheless");
        }
        let told: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
        if status != 200 {
            return assert!(told["error"].is_string(), "refused without a word: {body:?}");
        }
        let texts = told["resources"].as_array().expect("resources").iter();
        let texts: Vec<&str> = texts.map(|it| it["text"].as_str().expect("text")).collect();
        let told = texts.iter().filter_map(|text| whose(text.as_bytes()));
        let groups: BTreeSet<&str> = told.clone().map(|(group, ..)| group).collect();
        assert!(groups.len() < 2, "a poll was answered with two groups': {groups:?}");
        let mut kinds = told.map(|(_, kind, _)| kind);
        assert!(!kinds.any(|kind| kind == SECRET), "a secret was given in clear");
    }

    /// All have said what they had to say; who comes then is served as ever.
    async fn ends(&mut self) {
        for speaker in &mut self.speakers {
            speaker.end();
        }
        self.listen().await;
        assert_eq!(self.open, BTreeMap::new(), "streams that ended and were not told");
        assert!(self.speakers.iter().all(Speaker::is_over), "streams that do not end");
        for group in GROUPS {
            let all = self.groups.0.lock().unwrap()[group].served().dump(None);
            let clusters = all.iter().filter(|it| it.resource.type_url.as_str() == CLUSTER);
            let clusters: BTreeSet<Vec<u8>> =
                clusters.map(|it| it.resource.body.to_vec()).collect();
            for method in ["delta", "state"] {
                let mut newcomer = Speaker::open(&self.ads, method, (group, "newcomer"), false)
                    .await
                    .expect("a stream");
                newcomer.ask("C", &[]);
                newcomer.hear().await;
                assert_eq!(newcomer.bodies(), &clusters, "{method}, {group}");
                newcomer.end();
                newcomer.hear().await;
            }
        }
    }
}
