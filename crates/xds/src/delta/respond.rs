//! What the stream says next.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant;

use super::round::{Due, Fate, RoundId};
use super::subscription::Subscription;
use super::{Busy, Delta, Flight, Origin, Parcel, Vouch};
use crate::absent::blank;
use crate::cache::{Content, Key, OwnerId, Slot, State};
use crate::kind::{Kind, Step};
use crate::lane::Lane;
use crate::metrics;
use crate::wire::{DeltaResponse, ResourceError};

/// Resources in one response.
const RESOURCES_MAX: usize = 512;
/// Bytes of resources in one response; a single larger resource goes alone.
const BYTES_MAX: usize = 1 << 20;
/// Answers of one type without an acknowledgement: enough to keep a client busy.
const ANSWERS_MAX: usize = 4;

/// A response in the making: of one type, either resources or removals. (A refusal of both
/// together could not be taken apart.)
#[derive(Debug, Default)]
struct Draft {
    parcels: Vec<Parcel>,
    resources: Vec<Bytes>,
    removed: Vec<String>,
    /// Why names that were named are names of nothing.
    errors: Vec<ResourceError>,
    bytes: usize,
}

impl Draft {
    fn add(&mut self, key: Key, changed: u64, content: &Content) {
        let resource = content.resource();
        self.bytes += resource.len();
        self.resources.push(resource);
        self.parcels.push(Parcel { key, changed, seen: false });
    }

    /// Answers a name that does not exist. A client takes no notice when a route configuration is
    /// removed, so it is given one that has nothing in it.
    fn add_absent(&mut self, kind: Kind, type_url: &str, name: &Arc<str>) {
        let content = blank(kind, type_url, name).filter(|_| kind == Kind::Route);
        match content {
            Some(content) => self.resources.push(content.resource()),
            None => self.removed.push(name.to_string()),
        }
    }

    /// What is owed on a subscription, as much as fits.
    /// That endpoints are gone is not told while their owner's change is `under_way`: until then a
    /// cluster may be in use that a client on streams of single types has just begun to warm.
    fn answer(
        state: &State,
        subscription: &mut Subscription,
        under_way: &HashMap<OwnerId, Busy>,
    ) -> Self {
        let mut draft = Self::default();
        let (table, kind) = (subscription.table, subscription.kind);
        let url = state.table(table).url.as_str();
        for name in subscription.farewells.drain(..) {
            let key = state.find(table, &name);
            // Asked for again meanwhile: it is answered as what it is now.
            if key.is_some_and(|key| subscription.owed.contains(key.slot)) {
                continue;
            }
            draft.add_absent(kind, url, &name);
            if let Some(key) = key.filter(|_| kind != Kind::Route) {
                draft.errors.push(state.absence(key));
            }
        }
        let mut sent = Vec::new();
        for at in subscription.owed.iter() {
            let slot = state.table(table).slot(at);
            let absent = slot.content.is_none() && kind != Kind::Route;
            if absent && kind == Kind::Endpoint && under_way.contains_key(&slot.owner) {
                continue;
            }
            let pure = if absent { draft.resources.is_empty() } else { draft.removed.is_empty() };
            if draft.is_full() || !pure {
                break;
            }
            match &slot.content {
                Some(content) => draft.add(Key { table, slot: at }, slot.changed, content),
                None if subscription.names.contains(at) => {
                    draft.add_absent(kind, url, &slot.name);
                    if absent {
                        draft.errors.push(state.absence(Key { table, slot: at }));
                    }
                }
                None => {}
            }
            sent.push(at);
        }
        for at in sent {
            subscription.owed.remove(at);
        }
        draft
    }

    fn is_full(&self) -> bool {
        self.resources.len() + self.removed.len() >= RESOURCES_MAX || self.bytes >= BYTES_MAX
    }

    fn is_empty(&self) -> bool {
        self.resources.is_empty() && self.removed.is_empty()
    }
}

impl Delta {
    /// The next response: what was refused first, then changes, then answers.
    pub(super) fn next(&mut self, state: &State, now: Instant) -> Option<(Lane, DeltaResponse)> {
        loop {
            self.advance(state, now);
            if self.is_full() {
                return None;
            }
            let any_alone = !self.alone.is_empty();
            if let Some(response) = self.next_alone(state, now) {
                return Some(response);
            }
            if any_alone {
                // None of them is sent any more: rounds that waited for them go on.
                continue;
            }
            let mut rounds = self.rounds.iter();
            let Some(id) = rounds.find(|(_, round)| round.is_loaded()).map(|(id, _)| *id) else {
                break;
            };
            if let Some(response) = self.next_of_round(state, id, now) {
                return Some(response);
            }
        }
        self.next_answer(state, now)
    }

    fn next_alone(&mut self, state: &State, now: Instant) -> Option<(Lane, DeltaResponse)> {
        while let Some((lane, parcel, origin)) = self.alone.pop_front() {
            let slot = state.slot(parcel.key);
            // What changed since, or is wanted no more, is somebody else's business.
            let same = slot.changed == parcel.changed;
            if let Origin::Round(id, _) = origin
                && !same
            {
                self.doom(state, id, slot.owner, Fate::Superseded);
            }
            let same = same && self.wants_on(lane, parcel.key);
            let Some(content) = slot.content.as_ref().filter(|_| same) else {
                self.landed(lane, origin, parcel.key.table, Vouch::No);
                continue;
            };
            let mut draft = Draft::default();
            draft.add(parcel.key, parcel.changed, content);
            return Some(self.post(state, (lane, parcel.key.table), draft, origin, now));
        }
        None
    }

    fn next_of_round(
        &mut self,
        state: &State,
        id: RoundId,
        now: Instant,
    ) -> Option<(Lane, DeltaResponse)> {
        let round = self.rounds.get_mut(&id)?;
        let step = Step::ALL[round.at];
        let dues = &mut round.steps[step as usize];
        let at = match dues.first() {
            Some(due) => (due.lane, due.key.table),
            None => {
                let farewell = round.farewells.iter().find(|f| f.step == step)?;
                (farewell.lane, farewell.table)
            }
        };
        let (now_sent, later): (Vec<Due>, Vec<Due>) =
            std::mem::take(dues).into_iter().partition(|due| (due.lane, due.key.table) == at);
        *dues = later;
        let keys = now_sent.into_iter().map(|due| due.key).collect();
        let (draft, left) = match step.is_going() {
            true => self.draft_going(state, id, at, keys),
            false => self.draft_coming(state, id, at.0, keys),
        };
        let round = self.rounds.get_mut(&id)?;
        let left = left.into_iter().map(|key| Due { lane: at.0, key });
        round.steps[step as usize].splice(0..0, left);
        if draft.is_empty() {
            return None;
        }
        round.since = Some(now);
        round.unacked[step as usize] += 1;
        Some(self.post(state, at, draft, Origin::Round(id, step), now))
    }

    /// Resources of a round, and what is left for the next response. What the client refused
    /// before, unchanged, is not sent again but reported again.
    fn draft_coming(
        &mut self,
        state: &State,
        id: RoundId,
        lane: Lane,
        keys: Vec<Key>,
    ) -> (Draft, Vec<Key>) {
        let mut draft = Draft::default();
        let mut keys = keys.into_iter();
        while !draft.is_full()
            && let Some(key) = keys.next()
        {
            let slot = state.slot(key);
            if !self.rounds.get(&id).is_some_and(|r| r.covers(slot.owner, slot.changed)) {
                self.doom(state, id, slot.owner, Fate::Superseded);
                continue;
            }
            let wanted = self.wants_on(lane, key);
            let Some(content) = slot.content.as_ref().filter(|_| wanted) else { continue };
            let refused = self.refused.get(&key).filter(|refusal| refusal.changed == slot.changed);
            if let Some(message) = refused.map(|refusal| refusal.message.clone()) {
                let parcel = Parcel { key, changed: slot.changed, seen: false };
                self.report_refusal(state, key, message);
                self.doom_refused(state, parcel, Origin::Round(id, Step::Clusters));
                continue;
            }
            draft.add(key, slot.changed, content);
        }
        (draft, keys.collect())
    }

    /// Removals of a round: what is still absent and still wanted.
    fn draft_going(
        &mut self,
        state: &State,
        id: RoundId,
        (lane, table): (Lane, u16),
        keys: Vec<Key>,
    ) -> (Draft, Vec<Key>) {
        let mut draft = Draft::default();
        let mut told = HashSet::new();
        let mut keys = keys.into_iter();
        let (kind, url) = (state.table(table).kind, state.table(table).url.as_str());
        while !draft.is_full()
            && let Some(key) = keys.next()
        {
            let slot = state.slot(key);
            // It has come again, and maybe gone again: what went before it may be there, too.
            if !self.rounds.get(&id).is_some_and(|r| r.covers(slot.owner, slot.changed)) {
                self.doom(state, id, slot.owner, Fate::Superseded);
                continue;
            }
            if slot.content.is_none() && self.wants_on(lane, key) {
                told.insert(slot.name.clone());
                draft.add_absent(kind, url, state.name(key));
                if kind != Kind::Route && self.is_named(key) {
                    draft.errors.push(state.absence(key));
                }
            }
        }
        let (mut back, mut gone) = (Vec::new(), Vec::new());
        let Some(round) = self.rounds.get_mut(&id) else { return (draft, keys.collect()) };
        let at = round.at;
        round.farewells.retain(|farewell| {
            let here = (farewell.lane, farewell.table) == (lane, table);
            let now = here && farewell.step as usize == at && !draft.is_full();
            let key = state.find(table, &farewell.name);
            let slot = key.map(|key| state.slot(key));
            let again = |slot: &&Slot| farewell.upto.is_some_and(|upto| slot.changed > upto);
            match slot.filter(|slot| slot.content.is_some() || again(slot)) {
                Some(slot) if now => back.push((slot.owner, slot.changed)),
                // What went again before an earlier removal was sent is in both.
                None if now && told.insert(farewell.name.clone()) => {
                    draft.add_absent(kind, url, &farewell.name);
                    gone.extend(key);
                }
                _ => {}
            }
            !now
        });
        for key in gone.into_iter().filter(|key| kind != Kind::Route && self.is_named(*key)) {
            draft.errors.push(state.absence(key));
        }
        for (owner, changed) in back {
            let busy = self.busy.get(&owner).and_then(|busy| self.rounds.get(&busy.round));
            let is_due = state.owner_seq(owner) > self.cursor || busy.is_some();
            if is_due && !busy.is_some_and(|round| round.covers(owner, changed)) {
                self.is_back(state, owner);
            }
        }
        (draft, keys.collect())
    }

    fn next_answer(&mut self, state: &State, now: Instant) -> Option<(Lane, DeltaResponse)> {
        if self.is_coming_home() {
            return None;
        }
        for at in 0..self.subscriptions.len() {
            let subscription = &mut self.subscriptions[at];
            if subscription.in_flight >= ANSWERS_MAX {
                continue;
            }
            let draft = Draft::answer(state, subscription, &self.busy);
            if !draft.is_empty() || std::mem::take(&mut subscription.greet) {
                subscription.in_flight += 1;
                subscription.greet = false;
                let at = (subscription.lane, subscription.table);
                return Some(self.post(state, at, draft, Origin::Answer, now));
            }
        }
        None
    }

    /// Sends a draft: it is in flight from now on, what it holds is not owed any more, and
    /// endpoints follow their clusters in the same flush.
    fn post(
        &mut self,
        state: &State,
        (lane, table): (Lane, u16),
        draft: Draft,
        origin: Origin,
        now: Instant,
    ) -> (Lane, DeltaResponse) {
        let kind = state.table(table).kind;
        for parcel in &draft.parcels {
            self.refused.remove(&parcel.key);
            if let Some(subscription) = self.subscription_mut(lane, table) {
                subscription.owed.remove(parcel.key.slot);
            }
            if kind == Kind::Cluster {
                let endpoints = Self::own_endpoints(state, parcel.key);
                self.warming.sent(lane, endpoints, now);
                for due in self.endpoints_of(state, parcel.key) {
                    self.owe(due);
                }
            }
        }
        self.last_nonce += 1;
        let nonce = self.last_nonce;
        let url = state.table(table).url.as_str();
        metrics::responded(url, draft.bytes);
        let vouch = Vouch::No;
        let flight = Flight { lane, table, kind, origin, parcels: draft.parcels, vouch, sent: now };
        self.flights.insert(nonce, flight);
        let response = DeltaResponse {
            system_version: state.seq().to_string(),
            resources: draft.resources,
            type_url: url.to_owned(),
            nonce: format!("{nonce:x}"),
            removed: draft.removed,
            errors: draft.errors,
        };
        (lane, response)
    }
}
