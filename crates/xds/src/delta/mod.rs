//! One delta client, without its sockets: requests and the passing of time go in, responses and
//! events come out.
//!
//! What a stream owes is worked out from the cache when it is about to be sent, so that a slow
//! client gets the latest state and never a queue. There are three kinds of debt: *answers* to what
//! was asked for, *rounds* that carry changes step by step, and resources sent *alone* after a
//! response with several was refused.
//!
//! The client may speak on one stream (ADS) or on many, one for each subscription: lanes. What is
//! subscribed and what is sent belongs to a lane; the order of a change does not.

mod ack;
mod handover;
mod homecoming;
mod lanes;
mod plan;
mod request;
mod respond;
mod resume;
mod round;
mod rounds;
mod subscription;
mod transfer;
mod unknown;
mod withheld;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use tokio::time::Instant;
use tonic::Status;

use crate::cache::{Cache, Floor, Guard, Handle, Key, Lag, OwnerId, State};
use crate::event::{Event, StreamId};
use crate::expect::{Interest, expects_more};
use crate::kind::{Kind, Step};
use crate::lane::Lane;
use crate::limits::Limits;
use crate::stream::Talk;
use crate::warming::Warming;
use crate::wire::{DeltaRequest, DeltaResponse, WireNode};
use handover::Stay;
use homecoming::{Arrears, Homecoming, Parting};
use round::{Brought, Farewell, Round, RoundId};
use subscription::Subscription;
use withheld::Withheld;

/// Entries that a stream has room for at rest.
const USUAL: usize = 16;

/// A resource that was sent: where it is, and the change that its content came with.
#[derive(Debug, Clone, Copy)]
struct Parcel {
    key: Key,
    changed: u64,
    /// The client was seen to have it, though it has not said so.
    seen: bool,
}

/// What a response belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    Round(RoundId, Step),
    Answer,
    /// Sent again alone, for no round.
    Alone,
}

/// What is known of a response that is not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Vouch {
    No,
    /// The client has read it: nobody waits for its answer to send the next. What it may still
    /// refuse is to be confirmed.
    Seen {
        new: bool,
    },
    /// The client has all of it, and its answer is held up by others.
    Known,
}

/// A response that the client has not answered.
#[derive(Debug)]
struct Flight {
    lane: Lane,
    table: u16,
    kind: Kind,
    origin: Origin,
    parcels: Vec<Parcel>,
    vouch: Vouch,
    sent: Instant,
}

/// An owner whose change is on its way.
#[derive(Debug)]
struct Busy {
    round: RoundId,
    /// It changed again: what follows builds upon this sequence number.
    next: Option<u64>,
}

/// What was not sent of an owner because the client refused something of it, or it changed again.
#[derive(Debug)]
struct HeldBack {
    from: u64,
    brought: Brought,
    unsent: Vec<Farewell>,
    /// The client has not asked yet for route configurations whose scopes it was sent.
    is_awaited: bool,
}

/// A route configuration that a client is expected to ask for.
#[derive(Debug)]
struct Awaited {
    round: RoundId,
    /// As it was then: an answer to what was sent before says nothing.
    changed: u64,
}

/// A resource that the client refused, as it was then.
#[derive(Debug)]
struct Refusal {
    changed: u64,
    message: String,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Delta {
    stream: StreamId,
    cache: Handle,
    limits: Limits,
    floor: Floor,
    /// Up to here the log of the cache was read.
    cursor: u64,
    subscriptions: Vec<Subscription>,
    /// Each a place of its own: a tree's nodes have room for several.
    rounds: BTreeMap<RoundId, Box<Round>>,
    last_round: RoundId,
    busy: HashMap<OwnerId, Busy>,
    /// Owners that were sent more than the log was read.
    ahead: HashMap<OwnerId, u64>,
    held_back: HashMap<OwnerId, HeldBack>,
    /// What owners had and the client may still need.
    stays: HashMap<OwnerId, Stay>,
    homecoming: Option<Homecoming>,
    arrears: Option<Arrears>,
    parting: Option<Parting>,
    refused: HashMap<Key, Refusal>,
    /// Route configurations that rounds expect to be asked for.
    awaited: HashMap<Key, Awaited>,
    warming: Warming,
    flights: BTreeMap<u64, Flight>,
    /// Flights that are vouched for.
    vouched: usize,
    last_nonce: u64,
    alone: VecDeque<(Lane, Parcel, Origin)>,
    withheld: BTreeMap<Lane, Withheld>,
    /// Names of nothing that it is subscribed to, the oldest first. (Some may be of something by
    /// now, or subscribed no more.)
    unknown: VecDeque<(Lane, Key)>,
    events: Vec<Event>,
    /// What is settled and was not told yet.
    settled: Vec<Event>,
    /// The client keeps what a guard kept from being taken away.
    keeps: bool,
    /// And whatever else is gone: it has seen more than is known here.
    keeps_all: bool,
    /// It has seen what is not known here yet, and is told nothing before it is.
    lag: Option<Lag>,
    /// A lane ended with something unanswered: until then nothing is told as settled.
    hushed_until: Option<Instant>,
    /// Types of which everything was asked for on a lane that ended.
    missing: BTreeSet<u16>,
    /// Types of which something was on its way on a lane that ended, and until when rounds wait for
    /// the client to say what it has.
    broken: BTreeMap<u16, Instant>,
    /// The sequence number last told as synced.
    synced: Option<u64>,
    /// When it last heard or said something.
    active: Instant,
}

impl Delta {
    pub(crate) fn new(stream: StreamId, cache: Arc<Cache>, limits: Limits, now: Instant) -> Self {
        let floor = cache.stand(false);
        Self {
            stream,
            cursor: floor.get(),
            cache: Handle::new(cache),
            limits,
            floor,
            subscriptions: Vec::new(),
            rounds: BTreeMap::new(),
            last_round: 0,
            busy: HashMap::new(),
            ahead: HashMap::new(),
            held_back: HashMap::new(),
            stays: HashMap::new(),
            homecoming: None,
            arrears: None,
            parting: None,
            refused: HashMap::new(),
            awaited: HashMap::new(),
            warming: Warming::default(),
            flights: BTreeMap::new(),
            vouched: 0,
            last_nonce: 0,
            alone: VecDeque::new(),
            withheld: BTreeMap::new(),
            unknown: VecDeque::new(),
            events: Vec::new(),
            settled: Vec::new(),
            keeps: false,
            keeps_all: false,
            lag: None,
            hushed_until: None,
            missing: BTreeSet::new(),
            broken: BTreeMap::new(),
            synced: None,
            active: now,
        }
    }

    /// Whether the client has too many responses to answer.
    fn is_full(&self) -> bool {
        self.flights.len() - self.vouched >= self.limits.in_flight
    }

    /// History that is needed no more is given up; a stream that needs what the cache gave up is
    /// ended, and says what it has when it comes back.
    fn settle_floor(&mut self, state: &State) -> Result<(), Status> {
        let needed =
            self.rounds.values().filter(|round| !round.is_sent()).filter_map(|round| round.from());
        let needed = needed.chain(self.arrears.iter().map(|arrears| arrears.since));
        self.floor.rise(needed.min().unwrap_or(self.cursor).min(self.cursor));
        if self.floor.get() < state.horizon() {
            return Err(Status::unavailable("too far behind: come back and say what you have"));
        }
        Ok(())
    }

    /// What was kept may go: the client is told when it comes back and says what it has.
    fn settle_guard(&self) -> Result<(), Status> {
        if self.keeps && self.cache.guarded() == Guard::default() {
            return Err(Status::unavailable(
                "what was kept may go: come back and say what you have",
            ));
        }
        Ok(())
    }

    /// Tells that nothing is outstanding, when that is so and news.
    fn tell_synced(&mut self, state: &State, now: Instant) {
        let idle = self.cursor == state.seq()
            && self.homecoming.is_none()
            && self.arrears.is_none()
            && self.rounds.is_empty()
            && self.flights.is_empty()
            && self.alone.is_empty()
            && !self.subscriptions.is_empty()
            && self.missing.is_empty()
            && self.subscriptions.iter().all(Subscription::is_answered);
        if !idle || self.synced == Some(self.cursor) || self.is_hushed(now) {
            return;
        }
        let patient = now < self.active + self.limits.patience;
        if self.synced.is_none() && patient && expects_more(state, self) {
            return;
        }
        self.synced = Some(self.cursor);
        self.events.push(Event::Synced { stream: self.stream, seq: self.cursor });
        self.fit();
    }

    /// Gives back memory that a change of everything took.
    fn fit(&mut self) {
        if self.busy.capacity().max(self.ahead.capacity()).max(self.awaited.capacity()) > USUAL {
            self.busy.shrink_to(USUAL);
            self.ahead.shrink_to(USUAL);
            self.awaited.shrink_to(USUAL);
            self.warming.fit();
        }
    }
}

impl Interest for Delta {
    fn eager(&self) -> bool {
        !self.cache.options().on_demand
    }

    fn wants_of(&self, table: u16) -> Option<impl Fn(u32) -> bool> {
        let asked = self.subscriptions.iter().any(|subscription| subscription.table == table);
        asked.then_some(move |slot| self.wants(Key { table, slot }))
    }
}

impl Talk for Delta {
    type Request = DeltaRequest;
    type Response = DeltaResponse;

    fn node(request: &mut DeltaRequest) -> Option<WireNode> {
        request.node.take()
    }

    fn type_url(request: &mut DeltaRequest) -> &mut String {
        &mut request.type_url
    }

    fn request(&mut self, lane: Lane, request: DeltaRequest, now: Instant) -> Result<(), Status> {
        self.active = now;
        self.take(lane, request, now)
    }

    fn withhold(&mut self, lane: Lane, request: DeltaRequest) -> Result<(), Status> {
        self.withheld.entry(lane).or_default().add(&request, self.limits.names)
    }

    fn hears(&mut self, now: Instant) {
        // It is not quiet, though nothing is heard of it.
        self.active = now;
        self.says_more(now);
    }

    fn left(&mut self, lane: Lane, now: Instant) {
        self.close(lane, now);
    }

    fn respond(&mut self, now: Instant) -> Result<Option<(Lane, DeltaResponse)>, Status> {
        let mut withheld = self.withheld.iter_mut();
        if let Some(answer) = withheld.find_map(|(lane, it)| Some((*lane, it.take()?))) {
            return Ok(Some(answer));
        }
        let cache = self.cache.clone();
        let state = cache.read();
        self.settle_floor(&state)?;
        self.settle_guard()?;
        if let Some(lag) = &self.lag {
            return lag.settle().map(|()| None);
        }
        self.come_home(&state, now);
        self.read_log(&state, now);
        let response = self.next(&state, now);
        self.settle_floor(&state)?;
        match response {
            Some(_) => self.active = now,
            None => {
                self.tell_settled(now);
                self.tell_synced(&state, now);
            }
        }
        Ok(response)
    }

    fn deadline(&self, now: Instant) -> Option<Instant> {
        let rounds = self.rounds.values().filter_map(|round| self.round_deadline(round));
        let sync = self.synced.is_none().then(|| self.active + self.limits.patience);
        let ends = self.hold_up_ends().into_iter().chain(self.hushed_until);
        let ends = ends.chain(self.homecoming_ends()).chain(self.broken.values().copied());
        let ends = ends.chain(self.warming.ends());
        rounds.chain(sync).chain(ends).filter(|moment| *moment > now).min()
    }

    fn at_rest(&self) -> bool {
        let is_quiet = self.flights.is_empty() && self.alone.is_empty();
        let is_told = self.homecoming.is_none() && self.arrears.is_none();
        is_quiet && self.rounds.is_empty() && is_told
    }

    fn events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    fn transfer(&mut self, stream: StreamId, cache: Arc<Cache>, now: Instant) -> bool {
        self.transferred(stream, cache, now)
    }
}

impl Drop for Delta {
    fn drop(&mut self) {
        for subscription in &self.subscriptions {
            self.cache.release(subscription.table, subscription.names.iter());
        }
    }
}

#[cfg(test)]
mod tests;
