//! What a client says: acknowledgements, refusals, and what it wants.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use model::Version;
use tokio::time::Instant;
use tonic::Status;

use super::Delta;
use super::round::{Due, Farewell};
use super::subscription::Subscription;
use crate::bits::Bits;
use crate::cache::{Key, Lag, State};
use crate::event::{Ahead, Event};
use crate::kind::{Kind, Step};
use crate::lane::Lane;
use crate::names::text;
use crate::wire::{DeltaRequest, Held};

impl Delta {
    pub(super) fn take(
        &mut self,
        lane: Lane,
        request: DeltaRequest,
        now: Instant,
    ) -> Result<(), Status> {
        if request.type_url.is_empty() {
            return Err(Status::invalid_argument("an ADS request needs a type_url"));
        }
        let table = self.cache.table(&request.type_url);
        let table = table.ok_or_else(|| Status::invalid_argument("too many types"))?;
        let cache = self.cache.clone();
        self.read_log(&cache.read(), now);
        if !request.response_nonce.is_empty() {
            let refusal = request.error_detail.as_ref();
            self.answered(&cache.read(), (lane, table), &request.response_nonce, refusal);
        }
        self.unsubscribe(lane, table, &request.unsubscribe)?;
        self.subscribe(lane, table, &request, now)?;
        let names: usize = self.subscriptions.iter().map(|s| s.names.len()).sum();
        if names > self.limits.names {
            return Err(Status::resource_exhausted("more names than a stream may ask for"));
        }
        Ok(())
    }

    fn unsubscribe(&mut self, lane: Lane, table: u16, names: &[Bytes]) -> Result<(), Status> {
        let cache = self.cache.clone();
        let Some(subscription) = self.subscription_mut(lane, table) else { return Ok(()) };
        let mut released = Vec::new();
        for name in names {
            let name = text(name)?;
            if name == "*" {
                subscription.wildcard = false;
                continue;
            }
            let state = cache.read();
            let Some(key) = state.find(table, name) else { continue };
            if !subscription.names.remove(key.slot) {
                continue;
            }
            released.push(key.slot);
            subscription.owed.remove(key.slot);
            // Under a wildcard the client must hear what it still gets of that name.
            if subscription.wildcard && state.slot(key).content.is_some() {
                subscription.owed.insert(key.slot);
            } else if subscription.wildcard {
                subscription.farewells.push(state.name(key).clone());
            }
        }
        if !subscription.wildcard {
            subscription.greet = false;
            let unnamed: Vec<u32> =
                subscription.owed.iter().filter(|at| !subscription.names.contains(*at)).collect();
            for at in unnamed {
                subscription.owed.remove(at);
            }
        }
        cache.release(table, released.into_iter());
        Ok(())
    }

    fn subscribe(
        &mut self,
        lane: Lane,
        table: u16,
        request: &DeltaRequest,
        now: Instant,
    ) -> Result<(), Status> {
        let cache = self.cache.clone();
        let first = self.subscription(lane, table).is_none();
        let kind = Kind::of(&request.type_url);
        if first {
            self.warming.began(lane);
            self.subscriptions.push(Subscription::new(lane, table, kind));
            // Whatever rounds send of a kind they send first to what comes first.
            self.subscriptions.sort_by_key(|it| (it.kind, it.table, it.lane));
        }
        let mut names = Vec::with_capacity(request.subscribe.len());
        for name in &request.subscribe {
            names.push(text(name)?);
        }
        let (held, kept) = match first {
            true => {
                self.held(&cache.read(), (lane, table), &request.initial_versions, &names, now)?
            }
            false => Default::default(),
        };
        let silent = first && names.is_empty() && kind.silence_is_all();
        let wildcard = silent || names.contains(&"*");
        names.retain(|name| *name != "*");
        if wildcard {
            self.missing.remove(&table);
        }
        let of = |it: &&mut Subscription| (it.lane, it.table) == (lane, table);
        let Some(subscription) = self.subscriptions.iter_mut().find(of) else { return Ok(()) };
        let mut named = Vec::new();
        let places = cache.hold(table, &names, &mut subscription.names);
        for ((at, new), name) in places.into_iter().zip(names) {
            self.warming.asked(lane, Key { table, slot: at });
            if new {
                named.push(at);
            }
            if !held.contains(at) && !kept.contains(name) {
                subscription.owed.insert(at);
            }
        }
        subscription.names.fit();
        if wildcard && !subscription.wildcard {
            subscription.wildcard = true;
            let state = cache.read();
            for at in state.table(table).living().filter(|at| !held.contains(*at)) {
                subscription.owed.insert(at);
            }
            subscription.greet =
                request.initial_versions.is_empty() && subscription.owed.is_empty();
        }
        self.note_unknown(lane, table, &named);
        Ok(())
    }

    /// What a client that comes back holds already: the places of those that are here. What
    /// changed or vanished meanwhile goes to the catch-up round, to be sent in order. (What
    /// vanished and is named is answered as any name that does not exist.) And what it keeps,
    /// although it vanished, because of the cache's guard.
    fn held<'a>(
        &mut self,
        state: &State,
        (lane, table): (Lane, u16),
        versions: &'a [Held],
        named: &[&str],
        now: Instant,
    ) -> Result<(Bits, BTreeSet<&'a str>), Status> {
        let (guard, reached) = (self.cache.guarded(), self.cache.reached());
        let mut held = Bits::default();
        let mut changed = Vec::new();
        let mut vanished: BTreeMap<&str, Option<Version>> = BTreeMap::new();
        let mut ahead = Vec::new();
        for entry in versions {
            let name = text(&entry.name)?;
            let version = std::str::from_utf8(&entry.version).ok().and_then(Version::parse);
            self.keeps_all |= guard.is_beyond(version, reached);
            let key = state.find(table, name);
            let Some((key, content)) =
                key.and_then(|key| Some((key, state.slot(key).content.as_ref()?)))
            else {
                vanished.insert(name, version);
                self.lag = Lag::with(self.lag.take(), &self.cache, version);
                continue;
            };
            held.insert(key.slot);
            if version.is_none_or(|version| version.hash != content.version.hash) {
                changed.push(key);
                let newer = version.filter(|it| it.is_after(content.version));
                self.lag = Lag::with(self.lag.take(), &self.cache, newer);
                if guard.is_lost(version) || guard.is_beyond(version, reached) {
                    ahead.push(self.ahead(state, table, name, version, false));
                }
            }
        }
        let keeps = |version| self.keeps_all || guard.is_lost(version);
        let (kept, gone): (BTreeMap<_, _>, BTreeMap<_, _>) =
            vanished.into_iter().partition(|(_, version)| keeps(*version));
        self.keeps |= !kept.is_empty();
        ahead.extend(kept.iter().map(|(name, v)| self.ahead(state, table, name, *v, true)));
        if !ahead.is_empty() {
            self.events.push(Event::Ahead { stream: self.stream, resources: ahead });
        }
        let gone: Vec<&str> = gone.into_keys().filter(|name| !named.contains(name)).collect();
        if !changed.is_empty() || !gone.is_empty() {
            let kind = state.table(table).kind;
            let changed = changed.into_iter().map(|key| Due { lane, key });
            let step = Step::going(kind);
            let round = self.catch_up(now);
            round.steps[Step::coming(kind) as usize].extend(changed);
            let gone = gone.into_iter().map(Arc::from);
            round.farewells.extend(gone.map(|name| Farewell { lane, table, name, owner: 0, step }));
        }
        Ok((held, kept.into_keys().collect()))
    }

    fn ahead(
        &self,
        state: &State,
        table: u16,
        name: &str,
        version: Option<Version>,
        kept: bool,
    ) -> Ahead {
        let type_url = state.table(table).url.clone();
        Ahead { type_url, name: name.into(), version, kept }
    }
}
