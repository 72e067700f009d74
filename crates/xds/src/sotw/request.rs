//! What a client says: the whole of what it wants of a type, and what it makes of a response.

use tonic::Status;

use super::StateOfTheWorld;
use super::subscription::{Due, Subscription};
use crate::bits::Bits;
use crate::cache::{Key, Lag};
use crate::kind::Kind;
use crate::lane::Lane;
use crate::metrics;
use crate::names::text;
use crate::wire::StateRequest;
use model::Version;

impl StateOfTheWorld {
    pub(super) fn take(&mut self, lane: Lane, request: &StateRequest) -> Result<(), Status> {
        if request.type_url.is_empty() {
            return Err(Status::invalid_argument("an ADS request needs a type_url"));
        }
        let table = self.cache.table(&request.type_url);
        let table = table.ok_or_else(|| Status::invalid_argument("too many types"))?;
        let known = self.subscriptions.iter().position(|s| (s.lane, s.table) == (lane, table));
        let at = match known {
            Some(at) if self.is_stale(at, request) => return Ok(()),
            Some(at) => {
                self.answered(at, request);
                at
            }
            None => self.begin(lane, table, Kind::of(&request.type_url)),
        };
        self.subscribe(at, request)?;
        if known.is_none() {
            self.wait_for_more(table, &request.version);
            self.resume(at, &request.version);
        }
        let names: usize = self.subscriptions.iter().map(|s| s.names.len()).sum();
        if names > self.limits.names {
            return Err(Status::resource_exhausted("more names than a stream may ask for"));
        }
        Ok(())
    }

    /// A request that answers an earlier response than the last is out of date in all it says.
    fn is_stale(&self, at: usize, request: &StateRequest) -> bool {
        let nonce = u64::from_str_radix(&request.response_nonce, 16);
        let current = self.subscriptions[at].nonce;
        !request.response_nonce.is_empty() && nonce != Ok(current)
    }

    fn begin(&mut self, lane: Lane, table: u16, kind: Kind) -> usize {
        self.warming.began(lane);
        self.subscriptions.push(Subscription::new(lane, table, kind));
        self.subscriptions.sort_by_key(|it| (it.kind, it.table, it.lane));
        let new = |it: &Subscription| (it.lane, it.table) == (lane, table);
        self.subscriptions.iter().position(new).unwrap_or_default()
    }

    fn answered(&mut self, at: usize, request: &StateRequest) {
        let subscription = &mut self.subscriptions[at];
        if request.response_nonce.is_empty() {
            return;
        }
        let Some(unanswered) = subscription.unanswered.take() else { return };
        match &request.error_detail {
            None => {
                metrics::acknowledged(&request.type_url);
                if subscription.kind.full_state() {
                    subscription.accept(&unanswered);
                }
                let (lane, shared) = (subscription.lane, subscription.names.len() > 1);
                for parcel in &unanswered.parcels {
                    self.warming.taken(lane, shared, parcel.key);
                }
            }
            Some(status) => {
                metrics::refused(&request.type_url);
                let cache = self.cache.clone();
                self.refuse(&cache.read(), at, unanswered, &status.message);
            }
        }
    }

    fn subscribe(&mut self, at: usize, request: &StateRequest) -> Result<(), Status> {
        // Whoever acknowledges names all that it wants, each time.
        let said = request.names.trace();
        if self.subscriptions[at].said == Some(said) {
            return Ok(());
        }
        let mut names = Vec::with_capacity(request.names.len());
        for name in request.names.iter() {
            names.push(text(name)?);
        }
        let cache = self.cache.clone();
        let subscription = &mut self.subscriptions[at];
        let full = subscription.kind.full_state();
        let silent =
            names.is_empty() && !subscription.explicit && subscription.kind.silence_is_all();
        let wildcard = silent || names.contains(&"*");
        subscription.explicit |= !names.is_empty();
        names.retain(|name| *name != "*");
        let table = subscription.table;
        let mut named = Bits::default();
        let mut added = Vec::new();
        let lane = subscription.lane;
        for place in cache.hold(table, &names, &mut subscription.names) {
            self.warming.asked(lane, Key { table, slot: place.slot });
            named.insert(place.slot);
            added.extend(place.is_new.then_some(place.slot));
        }
        let unknown = self.limits.unknown_names;
        let forgotten = subscription.forget_unknown(&cache.read(), &mut added, unknown);
        // What was forgotten and is named again is answered again.
        subscription.said = forgotten.is_empty().then_some(said);
        subscription.forgot = !forgotten.is_empty();
        cache.release(table, forgotten.into_iter());
        let left: Vec<u32> =
            subscription.names.iter().filter(|place| !named.contains(*place)).collect();
        for place in &left {
            subscription.names.remove(*place);
            subscription.asked.remove(*place);
        }
        cache.read().table(table).share(&mut subscription.names);
        let narrower = !left.is_empty() || (subscription.wildcard && !wildcard);
        subscription.owes_version |= narrower && !full;
        cache.release(table, left.into_iter());
        let wider = wildcard && !subscription.wildcard;
        if wildcard {
            self.missing.remove(&table);
        }
        subscription.wildcard = wildcard;
        if let Some(base) = subscription.base.filter(|_| full && narrower) {
            // What it wants no more is no news.
            subscription.digest = Some(subscription.whole(&cache.read(), base, None).digest);
        }
        if full && (wider || !added.is_empty()) {
            subscription.due = Some(Due::Anyway);
        } else if !full {
            added.into_iter().for_each(|place| _ = subscription.asked.insert(place));
            if wider {
                let state = cache.read();
                let living = state.table(table).living();
                living.for_each(|place| _ = subscription.asked.insert(place));
                subscription.due = Some(Due::Anyway);
            }
        }
        Ok(())
    }

    /// A client that has seen what is newer than all that is here waits until as much is known.
    fn wait_for_more(&mut self, table: u16, version: &str) {
        let state = self.cache.read();
        let table = state.table(table);
        let newest = table.version_of(table.digest());
        let seen = Version::parse(version).filter(|seen| seen.is_after(newest));
        drop(state);
        self.lag = Lag::with(self.lag.take(), &self.cache, seen);
    }

    /// A client that comes back and has everything, as it is now, gets nothing.
    fn resume(&mut self, at: usize, version: &str) {
        let held = Version::parse(version).map(|version| version.hash);
        let cache = self.cache.clone();
        let state = cache.read();
        if !self.subscriptions[at].kind.full_state() {
            return self.resume_named(&state, at, held);
        }
        let subscription = &mut self.subscriptions[at];
        let table = state.table(subscription.table);
        let same = subscription.names.is_empty() && held == Some(table.digest());
        if subscription.wildcard && same {
            subscription.due = None;
            subscription.digest = held;
            subscription.stand_at(state.seq().min(self.cursor));
        }
    }
}
