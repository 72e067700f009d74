//! One state-of-the-world client, without its sockets. (Of its lanes, see `delta`.)
//!
//! Listeners, clusters and scopes are sent whole each time; of other types what changed. There is
//! one unanswered response of a type at most. Changes are told in *passes* over the types, in the
//! order of steps that delta knows: clusters (with those that go still there) and endpoints, unknown
//! types, listeners, route configurations, scopes, and clusters again without those that went.
//! (Route configurations go before scopes, so that a host that moves is known where it arrives.)
//! A pass is of one moment: what changes while it is under way waits for the next.
//!
//! When a response of full state is refused, the culprit is found by sending what changed in
//! halves, on top of what the client has acknowledged. It then keeps its last good version of the
//! culprit, and of whatever else its owner changed.

mod blame;
mod cover;
mod full;
mod lanes;
mod pass;
mod request;
mod respond;
mod subscription;
mod transfer;
mod unknown;

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use tokio::time::Instant;
use tonic::Status;

use crate::cache::{Cache, Floor, Handle, Key, Lag, Owner, OwnerId, State};
use crate::event::{Event, StreamId};
use crate::expect::{Interest, expects_more};
use crate::lane::Lane;
use crate::limits::Limits;
use crate::many::Trace;
use crate::stream::Talk;
use crate::warming::Warming;
use crate::wire::{StateRequest, StateResponse, WireNode};
use pass::Pass;
use subscription::Subscription;

/// See the module.
#[derive(Debug)]
pub(crate) struct StateOfTheWorld {
    stream: StreamId,
    cache: Handle,
    limits: Limits,
    floor: Floor,
    /// Up to here passes have told what changed, or are about to.
    cursor: u64,
    subscriptions: Vec<Subscription>,
    pass: Option<Pass>,
    /// Owners of whom something was refused, and who have not changed since.
    quarantined: HashSet<OwnerId>,
    /// Owners whose changes are told as soon as nothing is unanswered.
    unsettled: Vec<(Owner, u64)>,
    warming: Warming,
    last_nonce: u64,
    /// The client has seen what is not known here yet, and is told nothing before it is.
    lag: Option<Lag>,
    events: Vec<Event>,
    /// A lane ended with something unanswered: until then nothing is told as settled.
    hushed_until: Option<Instant>,
    /// Types of which everything was asked for on a lane that ended.
    missing: BTreeSet<u16>,
    synced: Option<u64>,
    active: Instant,
}

impl StateOfTheWorld {
    pub(crate) fn new(stream: StreamId, cache: Arc<Cache>, limits: Limits, now: Instant) -> Self {
        let floor = cache.stand(true);
        Self {
            stream,
            cursor: floor.get(),
            cache: Handle::new(cache),
            limits,
            floor,
            subscriptions: Vec::new(),
            pass: None,
            quarantined: HashSet::new(),
            unsettled: Vec::new(),
            warming: Warming::default(),
            last_nonce: 0,
            lag: None,
            events: Vec::new(),
            hushed_until: None,
            missing: BTreeSet::new(),
            synced: None,
            active: now,
        }
    }

    fn is_quiet(&self) -> bool {
        self.pass.is_none() && self.subscriptions.iter().all(Subscription::is_quiet)
    }

    /// History that is needed no more is given up; a stream that needs what the cache gave up is
    /// ended, and comes back for everything.
    fn settle_floor(&mut self, state: &State) -> Result<(), Status> {
        let (cursor, idle) = (self.cursor, self.pass.is_none());
        for subscription in &mut self.subscriptions {
            // With nothing to be said, the client has the state as of now.
            if idle && subscription.is_quiet() && subscription.base.is_some() {
                subscription.stand_at(cursor);
            }
        }
        let bases = self.subscriptions.iter().filter_map(|subscription| subscription.base);
        let pass = self.pass.as_ref().map(|pass| pass.from);
        self.floor.rise(bases.chain(pass).min().unwrap_or(cursor).min(cursor));
        if self.floor.get() < state.horizon() {
            return Err(Status::unavailable("too far behind: come back for everything"));
        }
        Ok(())
    }

    /// Tells whose changes the client has, when nothing is unanswered.
    fn settle(&mut self, now: Instant) {
        if self.subscriptions.iter().any(Subscription::awaits_answer) {
            return;
        }
        if !self.missing.is_empty() || self.is_hushed(now) {
            return;
        }
        for (owner, seq) in std::mem::take(&mut self.unsettled) {
            if self.synced.is_some() {
                self.events.push(Event::Settled { stream: self.stream, owner, seq });
            }
        }
    }

    /// Tells that nothing is outstanding, when that is so and news.
    fn tell_synced(&mut self, state: &State, now: Instant) {
        let whole = self.missing.is_empty() && !self.subscriptions.is_empty();
        let idle = self.is_quiet() && self.cursor == state.seq() && whole;
        if !idle || self.synced == Some(self.cursor) || self.is_hushed(now) {
            return;
        }
        let patient = now < self.active + self.limits.patience;
        if self.synced.is_none() && patient && expects_more(state, self) {
            return;
        }
        self.synced = Some(self.cursor);
        self.events.push(Event::Synced { stream: self.stream, seq: self.cursor });
    }
}

impl Interest for StateOfTheWorld {
    fn eager(&self) -> bool {
        !self.cache.options().on_demand
    }

    fn wants_of(&self, table: u16) -> Option<impl Fn(u32) -> bool> {
        let asked = self.subscriptions.iter().any(|subscription| subscription.table == table);
        asked.then_some(move |slot| self.wants(Key { table, slot }))
    }
}

impl Talk for StateOfTheWorld {
    type Request = StateRequest;
    type Response = StateResponse;

    fn node(request: &mut StateRequest) -> Option<WireNode> {
        request.node.take()
    }

    fn type_url(request: &mut StateRequest) -> &mut String {
        &mut request.type_url
    }

    fn knows(&self, bytes: &[u8]) -> Option<Trace> {
        self.subscriptions.iter().filter_map(|it| it.said).find(|said| said.begins(bytes))
    }

    fn request(&mut self, lane: Lane, request: StateRequest, now: Instant) -> Result<(), Status> {
        self.active = now;
        self.take(lane, &request)
    }

    /// This protocol has no answer for what does not exist.
    fn withhold(&mut self, _lane: Lane, _request: StateRequest) -> Result<(), Status> {
        Ok(())
    }

    fn left(&mut self, lane: Lane, now: Instant) {
        self.close(lane, now);
    }

    fn respond(&mut self, now: Instant) -> Result<Option<(Lane, StateResponse)>, Status> {
        let cache = self.cache.clone();
        let state = cache.read();
        self.settle_floor(&state)?;
        if let Some(lag) = &self.lag {
            return lag.settle().map(|()| None);
        }
        let response = self.next(&state, now);
        self.settle_floor(&state)?;
        if response.is_some() {
            self.active = now;
            return Ok(response);
        }
        self.settle(now);
        self.tell_synced(&state, now);
        Ok(self.restate(&state, now))
    }

    fn hears(&mut self, now: Instant) {
        // It is not quiet, though nothing is heard of it.
        self.active = now;
    }

    fn deadline(&self, now: Instant) -> Option<Instant> {
        let patience = self.limits.patience;
        let pass = self.pass.as_ref().map(|pass| pass.since + patience);
        let sync = self.synced.is_none().then(|| self.active + patience);
        let answers = self.subscriptions.iter().filter(|s| s.is_loaded());
        let late = answers.filter_map(|s| Some(s.unanswered.as_ref()?.since + patience));
        late.chain(pass)
            .chain(sync)
            .chain(self.hushed_until)
            .chain(self.warming.ends())
            .filter(|moment| *moment > now)
            .min()
    }

    fn at_rest(&self) -> bool {
        self.is_quiet()
    }

    fn events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    fn transfer(&mut self, stream: StreamId, cache: Arc<Cache>, now: Instant) -> bool {
        self.transferred(stream, cache, now)
    }
}

impl Drop for StateOfTheWorld {
    fn drop(&mut self) {
        for subscription in &self.subscriptions {
            self.cache.release(subscription.table, subscription.names.iter());
        }
    }
}
