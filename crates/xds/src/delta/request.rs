//! What a client says: acknowledgements, refusals, and what it wants.

use std::collections::BTreeSet;

use tokio::time::Instant;
use tonic::Status;

use super::Delta;
use super::homecoming::Lacking;
use super::resume::Holding;
use super::round::Farewell;
use super::subscription::Subscription;
use crate::bits::Bits;
use crate::cache::{Key, NOBODY};
use crate::kind::{Kind, Step};
use crate::lane::Lane;
use crate::many::Many;
use crate::names::text;
use crate::wire::DeltaRequest;

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
        let state = cache.read();
        self.read_log(&state, now);
        if !request.response_nonce.is_empty() {
            let refusal = request.error_detail.as_ref();
            self.answered(&state, (lane, table), &request.response_nonce, refusal);
        }
        drop(state);
        let says_more = !(request.subscribe.is_empty() && request.unsubscribe.is_empty());
        if !says_more && self.subscription(lane, table).is_some() {
            return Ok(());
        }
        self.unsubscribe(lane, table, &request.unsubscribe)?;
        self.subscribe(lane, table, &request, now)?;
        let names: usize = self.subscriptions.iter().map(|s| s.names.len()).sum();
        if names > self.limits.names {
            return Err(Status::resource_exhausted("more names than a stream may ask for"));
        }
        Ok(())
    }

    fn unsubscribe(&mut self, lane: Lane, table: u16, names: &Many<4>) -> Result<(), Status> {
        let cache = self.cache.clone();
        let Some(subscription) = self.subscription_mut(lane, table) else { return Ok(()) };
        let mut released = Vec::new();
        for name in names.iter() {
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
        for slot in &released {
            self.asked_no_more(&cache.read(), Key { table, slot: *slot });
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
        let is_back = first && (self.is_coming_home() || !request.initial_versions.is_empty());
        let kind = Kind::of(&request.type_url);
        if first {
            self.begin_subscription(lane, table, kind);
        }
        let mut names = Vec::with_capacity(request.subscribe.len());
        for name in request.subscribe.iter() {
            names.push(text(name)?);
        }
        let at = cache.seq();
        let Holding { same, kept, gone } = match first {
            true => self.holding(&cache.read(), table, &request.initial_versions)?,
            false => Holding::default(),
        };
        if first {
            self.broken.remove(&table);
        }
        let silent = first && names.is_empty() && kind.silence_is_all();
        let wildcard = silent || names.contains(&"*");
        names.retain(|name| *name != "*");
        if wildcard {
            self.missing.remove(&table);
        }
        let of = |it: &&mut Subscription| (it.lane, it.table) == (lane, table);
        let Some(subscription) = self.subscriptions.iter_mut().find(of) else { return Ok(()) };
        let mut unknown = Vec::new();
        let mut lacking = Bits::default();
        let places = cache.hold(table, &names, &mut subscription.names);
        for (place, name) in places.into_iter().zip(names) {
            let slot = place.slot;
            if place.is_new && place.is_empty {
                unknown.push(slot);
            }
            if same.contains(slot) {
                // It has come on a lane that ended before the client could say so.
                self.warming.taken(lane, false, Key { table, slot });
            }
            if same.contains(slot) || kept.contains(name) || gone.contains(name) {
                continue;
            }
            self.warming.asked(lane, Key { table, slot });
            match is_back && !place.is_empty {
                true => lacking.insert(slot),
                false => subscription.owed.insert(slot),
            };
        }
        cache.read().table(table).share(&mut subscription.names);
        if wildcard && !subscription.wildcard {
            subscription.wildcard = true;
            let state = cache.read();
            let due = if is_back { &mut lacking } else { &mut subscription.owed };
            for slot in state.table(table).living().filter(|slot| !same.contains(*slot)) {
                due.insert(slot);
            }
            let is_silent = due.is_empty() && request.initial_versions.is_empty();
            subscription.greet = is_silent && subscription.owed.is_empty();
        }
        if is_back {
            let gone = farewells((lane, table), kind, at, gone);
            self.said(Lacking::new((lane, table), at, lacking), gone, now);
        }
        self.note_unknown(lane, table, &unknown);
        Ok(())
    }

    fn begin_subscription(&mut self, lane: Lane, table: u16, kind: Kind) {
        self.warming.began(lane);
        self.subscriptions.push(Subscription::new(lane, table, kind));
        // Whatever rounds send of a kind they send first to what comes first.
        self.subscriptions.sort_by_key(|it| (it.kind, it.table, it.lane));
    }
}

/// What a client has of a type that is not here any more `at` this moment.
fn farewells(
    (lane, table): (Lane, u16),
    kind: Kind,
    at: u64,
    names: BTreeSet<&str>,
) -> Vec<Farewell> {
    let (owner, step, upto) = (NOBODY, Step::going(kind), Some(at));
    let farewell = |name: &str| Farewell { lane, table, name: name.into(), owner, step, upto };
    names.into_iter().map(farewell).collect()
}
