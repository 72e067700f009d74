//! A client that speaks delta, as Envoy does.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use model::type_urls::{CLUSTER, ENDPOINT, LISTENER, ROUTE, SCOPED_ROUTE};
use prost::Message;
use tokio::time::Instant;

use super::world::{Held, Name, Told, World};
use crate::delta::Delta;
use crate::event::StreamId;
use crate::lane::Lane;
use crate::limits::Limits;
use crate::many::Many;
use crate::stream::Talk;
use crate::wire::{DeltaRequest, DeltaResponse, WireStatus};

/// `Resource`, read.
#[derive(Clone, PartialEq, prost::Message)]
struct Resource {
    #[prost(string, tag = "1")]
    version: String,
    #[prost(message, optional, tag = "2")]
    any: Option<Any>,
    #[prost(string, tag = "3")]
    name: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Any {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

struct Client {
    machine: Delta,
    limits: Limits,
    now: Instant,
    held: Held,
    versions: std::collections::BTreeMap<Name, String>,
    asked: [BTreeSet<String>; 2],
    inbox: VecDeque<(Lane, DeltaResponse)>,
    lanes: Lanes,
    outbox: VecDeque<DeltaRequest>,
    /// Acknowledgements of clusters, which a warming cluster holds up.
    held_up: VecDeque<DeltaRequest>,
    told: Told,
    /// Sequence numbers before are not told as settled.
    since: u64,
}

/// The streams of a client: one, or one of each type, each under a number that it alone has had.
#[derive(Default)]
struct Lanes {
    of_types: Option<std::collections::BTreeMap<&'static str, Lane>>,
    last: u32,
    has_lost: bool,
}

impl Lanes {
    fn new(world: &mut World) -> Self {
        let of_types = world.dice.one_in(2).then(Default::default);
        Self { of_types, ..Self::default() }
    }

    fn of(&mut self, kind: &'static str) -> Lane {
        let Some(of_types) = &mut self.of_types else { return Lane::ONLY };
        *of_types.entry(kind).or_insert_with(|| {
            self.last += 1;
            Lane(self.last)
        })
    }

    /// The stream of a type ends; which it was.
    fn end(&mut self, kind: &'static str) -> Option<Lane> {
        let ended = self.of_types.as_mut()?.remove(kind);
        self.has_lost |= ended.is_some();
        ended
    }

    fn end_all(&mut self) {
        self.of_types.iter_mut().for_each(std::collections::BTreeMap::clear);
    }
}

type Naming = fn(&Held) -> BTreeSet<String>;

/// The types that are asked for by name, and what names them.
const NAMED: [(&str, Naming); 2] =
    [(ENDPOINT, |held| held.names(CLUSTER)), (ROUTE, |held| held.named_by(SCOPED_ROUTE))];

const TYPES: [&str; 5] = [CLUSTER, ENDPOINT, LISTENER, ROUTE, SCOPED_ROUTE];

fn known(type_url: &str) -> &'static str {
    TYPES.into_iter().find(|known| *known == type_url).expect("a type that was asked for")
}

fn asking(type_url: &str, names: impl IntoIterator<Item = String>) -> DeltaRequest {
    let subscribe = names.into_iter().collect();
    DeltaRequest { type_url: type_url.to_owned(), subscribe, ..DeltaRequest::default() }
}

impl Client {
    fn new(world: &mut World) -> Self {
        let lanes = Lanes::new(world);
        let owners = 1 + world.dice.below(4) as usize;
        let (now, limits) = (Instant::now(), Limits { owners, ..Limits::default() });
        let machine = Delta::new(StreamId(1), world.cache.clone(), limits, now);
        let mut client = Self {
            machine,
            limits,
            now,
            held: Held::default(),
            versions: std::collections::BTreeMap::new(),
            asked: [BTreeSet::new(), BTreeSet::new()],
            inbox: VecDeque::new(),
            lanes,
            outbox: VecDeque::new(),
            held_up: VecDeque::new(),
            told: Told::default(),
            since: 0,
        };
        for kind in [CLUSTER, LISTENER, SCOPED_ROUTE] {
            client.outbox.push_back(asking(kind, []));
        }
        client
    }

    /// The stream breaks; the client keeps what it has and says so on the next.
    fn come_back(&mut self, world: &mut World) {
        for _ in 0..world.dice.below(4) {
            world.change();
        }
        self.machine = Delta::new(StreamId(1), world.cache.clone(), self.limits, self.now);
        self.inbox.clear();
        self.outbox.clear();
        self.held_up.clear();
        self.lanes.end_all();
        self.told = Told::default();
        self.since = world.cache.seq();
        for kind in TYPES {
            self.say_what_it_has(kind);
        }
        while self.say() {
            match world.dice.below(8) {
                0..2 => world.change(),
                2 => _ = self.hear(),
                3 => _ = self.read(world),
                _ => {}
            }
        }
    }

    /// Says, on a new stream, what it has of a type and names of it.
    fn say_what_it_has(&mut self, kind: &'static str) {
        let named = NAMED.iter().position(|(named, _)| *named == kind);
        let names = named.map(|at| self.asked[at].clone()).unwrap_or_default();
        if named.is_some() && names.is_empty() {
            return;
        }
        let held = self.versions.iter().filter(|((held, _), _)| *held == kind);
        let initial_versions = Many::of_entries(held.map(|((_, name), version)| (name, version)));
        self.outbox.push_back(DeltaRequest { initial_versions, ..asking(kind, names) });
    }

    /// The stream of one type breaks, and all that was on its way; the client comes back on another
    /// while those of other types go on.
    fn loses_lane(&mut self, world: &mut World) {
        let kind = TYPES[world.dice.below(TYPES.len() as u64) as usize];
        let Some(lane) = self.lanes.end(kind) else { return };
        world.note(|| format!("loses {lane:?} of {kind}"));
        self.inbox.retain(|(of, _)| *of != lane);
        self.outbox.retain(|request| request.type_url != kind);
        self.machine.left(lane, self.now);
        self.told.hear(self.machine.events());
        self.say_what_it_has(kind);
    }

    /// The client is served from another cache from now on: on its stream, if it has all it should
    /// have. What it has said meanwhile is still on its way.
    fn moves(&mut self, world: &mut World) {
        let fork = Arc::new(world.cache.fork());
        if !self.machine.transfer(StreamId(2), fork.clone(), self.now) {
            return;
        }
        world.cache = fork;
        world.note(|| "moves".to_owned());
        self.told = Told::default();
        self.since = world.cache.seq();
    }

    fn hear(&mut self) -> bool {
        let response = self.machine.respond(self.now).expect("the stream goes on");
        let events = self.machine.events();
        if std::env::var_os("MARGRAVE_SEED").is_some() && !events.is_empty() {
            eprintln!("  events {events:?}");
        }
        self.told.hear(events);
        let heard = response.is_some();
        if let Some((lane, response)) = &response {
            let there =
                self.lanes.of_types.as_ref().is_none_or(|of| of.values().any(|it| it == lane));
            assert!(there, "{} is said on a stream that has ended", response.nonce);
        }
        self.inbox.extend(response);
        heard
    }

    fn say(&mut self) -> bool {
        let Some(request) = self.outbox.pop_front() else { return false };
        if std::env::var_os("MARGRAVE_SEED").is_some() {
            eprintln!(
                "  say {} {} +{:?} -{:?} {:?}",
                &request.type_url[request.type_url.len() - 9..],
                request.response_nonce,
                request.subscribe,
                request.unsubscribe,
                request.initial_versions
            );
        }
        let lane = self.lanes.of(known(&request.type_url));
        self.machine.request(lane, request, self.now).expect("the stream goes on");
        self.told.hear(self.machine.events());
        true
    }

    fn release(&mut self) -> bool {
        let held_up = self.held_up.pop_front();
        let any = held_up.is_some();
        self.outbox.extend(held_up);
        any
    }

    /// Reads one response: applies it or refuses it, and asks for what follows.
    fn read(&mut self, world: &mut World) -> bool {
        let Some((_, response)) = self.inbox.pop_front() else { return false };
        let kind = known(&response.type_url);
        let all: Vec<Resource> =
            response.resources.iter().map(|b| Resource::decode(b.clone()).unwrap()).collect();
        let mut names: BTreeSet<&String> = all.iter().map(|resource| &resource.name).collect();
        names.extend(&response.removed);
        let count = all.len() + response.removed.len();
        assert_eq!(
            names.len(),
            count,
            "a name is never twice in a response: {kind} {names:?} {:?}",
            response.removed
        );
        let is_bad = |resource: &Resource| {
            resource.any.as_ref().is_some_and(|any| any.value.starts_with(b"bad"))
        };
        let bad = all.iter().any(is_bad);
        world.note(|| {
            let names: Vec<_> = all
                .iter()
                .map(|r| (&r.name, r.any.as_ref().map(|a| String::from_utf8_lossy(&a.value))))
                .collect();
            format!(
                "  read {} {names:?} -{:?} {}",
                &kind[kind.len() - 9..],
                response.removed,
                response.nonce
            )
        });
        // Of a refused response nothing is applied, or what is good of it: both happen.
        if !bad || world.dice.one_in(2) {
            all.into_iter().filter(|r| !is_bad(r)).for_each(|resource| self.keep(kind, resource));
            for name in &response.removed {
                let name = (kind, name.clone());
                self.held.0.remove(&name);
                self.versions.remove(&name);
            }
        }
        world.note(|| {
            format!("  has {:?}", self.held.0.iter().map(|(n, b)| (&n.1, b)).collect::<Vec<_>>())
        });
        self.held.judge(&format!("{kind} {}", response.nonce));
        let ack = DeltaRequest {
            type_url: response.type_url,
            response_nonce: response.nonce,
            error_detail: bad.then(|| WireStatus { code: 13, message: "bad".to_owned() }),
            ..DeltaRequest::default()
        };
        let late = world.dice.one_in(2);
        if late {
            self.ask();
        }
        match kind {
            // On streams of single types clusters are acknowledged at once.
            CLUSTER if self.lanes.of_types.is_none() => self.held_up.push_back(ack),
            _ => self.outbox.push_back(ack),
        }
        if !late {
            self.ask();
        }
        true
    }

    fn keep(&mut self, kind: &'static str, resource: Resource) {
        let body = resource.any.expect("a body").value;
        let body = String::from_utf8(body).unwrap_or_default();
        // What is not subscribed any more is dropped.
        let named = NAMED.iter().position(|(named, _)| *named == kind);
        if named.is_some_and(|at| !self.asked[at].contains(&resource.name)) {
            return;
        }
        let name = (kind, resource.name);
        self.versions.insert(name.clone(), resource.version);
        self.held.0.insert(name, body);
    }

    /// Asks for what is named now, and leaves what is not.
    fn ask(&mut self) {
        for (at, (kind, names)) in NAMED.iter().enumerate() {
            let wanted = names(&self.held);
            let new: Vec<String> = wanted.difference(&self.asked[at]).cloned().collect();
            let old: Vec<String> = self.asked[at].difference(&wanted).cloned().collect();
            if new.is_empty() && old.is_empty() {
                continue;
            }
            for name in &old {
                let name = (*kind, name.clone());
                self.held.0.remove(&name);
                self.versions.remove(&name);
            }
            let unsubscribe = old.into_iter().collect();
            self.outbox.push_back(DeltaRequest { unsubscribe, ..asking(kind, new) });
            self.asked[at] = wanted;
        }
    }

    /// Until nobody has anything to say.
    fn rest(&mut self, world: &mut World) {
        let mut waited = 0;
        while waited < 12 {
            let busy = self.hear() | self.read(world) | self.say() | self.release();
            if busy {
                waited = 0;
            } else {
                // Time passes only when nothing else does.
                self.now += Duration::from_secs(2);
                waited += 1;
            }
        }
    }
}

pub(super) fn life(seed: u64) {
    let mut world = World::new(seed);
    for _ in 0..world.dice.below(6) {
        world.change();
    }
    let mut client = Client::new(&mut world);
    client.rest(&mut world);
    client.since = world.cache.seq();
    for _ in 0..world.dice.below(150) {
        match world.dice.below(16) {
            0..3 => world.change(),
            3 => world.give_host_away(),
            4..7 => _ = client.hear(),
            7..9 => _ = client.read(&mut world),
            9..12 => _ = client.say(),
            12 => _ = client.release(),
            13 => client.moves(&mut world),
            14 if world.dice.one_in(4) => client.come_back(&mut world),
            15 => client.loses_lane(&mut world),
            _ => client.now += Duration::from_millis(100),
        }
    }
    client.rest(&mut world);
    world.judge_end(&client.held, |kind, name| {
        let named = NAMED.iter().position(|(named, _)| *named == kind);
        named.is_none_or(|at| client.asked[at].contains(name))
    });
    world.note(|| format!("{:#?}", client.machine));
    client.told.judge(&world, client.since, client.lanes.has_lost);
    assert_eq!(client.told.synced, Some(world.cache.seq()), "all is said and heard");
}
