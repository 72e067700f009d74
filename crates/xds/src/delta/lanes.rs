//! What belongs to a lane, and what happens when one ends.

use tokio::time::Instant;

use super::round::{EVERYTHING, Fate, RoundId};
use super::subscription::Subscription;
use super::{Delta, Flight, Origin, Parcel};
use crate::cache::{Key, OwnerId, State};
use crate::lane::Lane;

impl Delta {
    pub(super) fn subscription(&self, lane: Lane, table: u16) -> Option<&Subscription> {
        self.subscriptions.iter().find(|it| it.table == table && it.lane == lane)
    }

    pub(super) fn subscription_mut(&mut self, lane: Lane, table: u16) -> Option<&mut Subscription> {
        self.subscriptions.iter_mut().find(|it| it.table == table && it.lane == lane)
    }

    /// The lanes on which a resource is wanted.
    pub(super) fn lanes_of(&self, key: Key) -> impl Iterator<Item = Lane> {
        let of_table = self.subscriptions.iter().filter(move |it| it.table == key.table);
        of_table.filter(move |it| it.wants(key.slot)).map(|it| it.lane)
    }

    pub(super) fn wants(&self, key: Key) -> bool {
        self.lanes_of(key).next().is_some()
    }

    pub(super) fn wants_on(&self, lane: Lane, key: Key) -> bool {
        self.subscription(lane, key.table).is_some_and(|it| it.wants(key.slot))
    }

    /// Whether the client has asked for it by its name.
    pub(super) fn is_named(&self, key: Key) -> bool {
        let mut of_table = self.subscriptions.iter().filter(|it| it.table == key.table);
        of_table.any(|it| it.names.contains(key.slot))
    }

    /// Whether it was asked for and is not sent yet.
    pub(super) fn is_owed(&self, key: Key) -> bool {
        let mut of_table = self.subscriptions.iter().filter(|it| it.table == key.table);
        of_table.any(|it| it.owed.contains(key.slot))
    }

    /// A resource is to be sent again on every lane where it is wanted.
    pub(super) fn owe(&mut self, key: Key) {
        let of_table = self.subscriptions.iter_mut().filter(|it| it.table == key.table);
        of_table.filter(|it| it.wants(key.slot)).for_each(|it| _ = it.owed.insert(key.slot));
    }

    /// Whether the client has not taken the endpoints of a round's clusters yet.
    pub(super) fn is_warming(&self, state: &State, id: RoundId, now: Instant) -> bool {
        let Some(round) = self.rounds.get(&id) else { return false };
        self.warming.awaits(|key| round.share(state.slot(key).owner).is_some(), now)
    }

    /// Whether a lane has just ended with something unanswered. It may be the first of all of a
    /// connection's, so what seems to be acknowledged then proves nothing.
    pub(super) fn is_hushed(&self, now: Instant) -> bool {
        self.hushed_until.is_some_and(|until| now < until)
    }

    /// Tells what is settled, unless that may not be so.
    pub(super) fn tell_settled(&mut self, now: Instant) {
        if self.missing.is_empty() && !self.is_hushed(now) {
            self.events.append(&mut self.settled);
        }
    }

    /// Whether a client that has not answered this should have it, and does not ask for it elsewhere.
    fn is_doubtful(&self, parcel: Parcel) -> bool {
        let cache = self.cache.clone();
        let is_there = cache.read().slot(parcel.key).content.is_some();
        is_there && !self.wants(parcel.key)
    }

    /// Whether a lane has just ended with something on its way, and the client has not come back to
    /// say whether it has it: what leans on that is not sent.
    pub(super) fn is_broken(&self, now: Instant) -> bool {
        self.is_coming_home() || self.broken.values().any(|until| now < *until)
    }

    /// Whether what the client named on a lane that ended is there, and not asked for elsewhere.
    fn is_missed(&self, gone: &Subscription) -> bool {
        let cache = self.cache.clone();
        let state = cache.read();
        let keys = gone.names.iter().map(|slot| Key { table: gone.table, slot });
        let mut there = keys.filter(|key| state.slot(*key).content.is_some());
        there.any(|key| !self.wants(key))
    }

    /// Of whom something of a round was on its way on a lane, or about to be.
    fn lost_on(&self, lane: Lane, ended: &[Flight]) -> Vec<(RoundId, OwnerId)> {
        let cache = self.cache.clone();
        let state = cache.read();
        let owner = |key: Key| state.slot(key).owner;
        // That what was named is gone, who has left it need not hear: that is how a client lets go.
        let mut here = self.subscriptions.iter().filter(|it| it.lane == lane);
        let has_all = here.any(|it| it.wildcard);
        let matters = |key: Key| has_all || state.slot(key).content.is_some();
        let mut lost = Vec::new();
        for flight in ended {
            let Origin::Round(id, _) = flight.origin else { continue };
            let is_going = has_all && flight.parcels.is_empty();
            let shares = self.rounds.get(&id).filter(|_| is_going);
            let all = shares.into_iter().flat_map(|round| &round.shares);
            lost.extend(all.map(|share| (id, share.owner)));
            let keys = flight.parcels.iter().map(|parcel| parcel.key);
            lost.extend(keys.filter(|key| matters(*key)).map(|key| (id, owner(key))));
        }
        for (of, parcel, origin) in &self.alone {
            if let Origin::Round(id, _) = origin
                && *of == lane
            {
                lost.push((*id, owner(parcel.key)));
            }
        }
        for (id, round) in &self.rounds {
            let dues = round.steps.iter().flatten().filter(|due| due.lane == lane);
            let keys = dues.map(|due| due.key).filter(|key| matters(*key));
            lost.extend(keys.map(|key| (*id, owner(key))));
        }
        lost
    }

    /// What follows of these owners builds upon nothing.
    fn start_over(&mut self, lost: Vec<(RoundId, OwnerId)>) {
        let cache = self.cache.clone();
        let state = cache.read();
        for (id, owner) in lost {
            let Some(busy) = self.busy.get_mut(&owner).filter(|busy| busy.round == id) else {
                continue;
            };
            busy.next = Some(EVERYTHING);
            self.doom(&state, id, owner, Fate::Superseded);
        }
    }

    /// A lane has ended: what was asked for on it is not wanted there any more.
    pub(super) fn close(&mut self, lane: Lane, now: Instant) {
        self.withheld.remove(&lane);
        self.forget_home(lane);
        let ended = self.flights.extract_if(.., |_, flight| flight.lane == lane);
        let ended: Vec<Flight> = ended.map(|(_, flight)| flight).collect();
        let lost = self.lost_on(lane, &ended);
        for flight in &ended {
            self.landed(flight.lane, flight.origin, flight.table, flight.vouch);
        }
        for gone in self.subscriptions.extract_if(.., |it| it.lane == lane).collect::<Vec<_>>() {
            let comes_back = gone.kind.never_ends() && gone.wildcard;
            let patience = if comes_back { self.limits.patience } else { self.limits.gather };
            if gone.wildcard || !lost.is_empty() || self.is_missed(&gone) {
                self.broken.insert(gone.table, now + patience);
            }
            let names = gone.names.iter().map(|slot| Key { table: gone.table, slot });
            names.for_each(|key| self.warming.left(key, now));
            self.cache.release(gone.table, gone.names.iter());
            let is_left = self.subscriptions.iter().any(|it| it.table == gone.table && it.wildcard);
            if gone.kind.never_ends() && gone.wildcard && !is_left {
                self.missing.insert(gone.table);
            }
        }
        let unanswered = ended.iter().flat_map(|flight| &flight.parcels);
        if unanswered.into_iter().any(|parcel| self.is_doubtful(*parcel)) {
            self.hushed_until = Some(now + self.limits.gather);
        }
        for round in self.rounds.values_mut() {
            round.farewells.retain(|farewell| farewell.lane != lane);
            round.steps.iter_mut().for_each(|dues| dues.retain(|due| due.lane != lane));
            let unsent = round.shares.iter_mut().map(|share| &mut share.unsent);
            unsent.for_each(|unsent| unsent.retain(|farewell| farewell.lane != lane));
        }
        self.start_over(lost);
        for held in self.held_back.values_mut() {
            held.unsent.retain(|farewell| farewell.lane != lane);
        }
        for stay in self.stays.values_mut() {
            stay.gone.retain(|farewell| farewell.lane != lane);
        }
    }
}
