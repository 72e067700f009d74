//! What belongs to a lane, and what happens when one ends.

use tokio::time::Instant;

use super::round::RoundId;
use super::subscription::Subscription;
use super::{Delta, Flight, Parcel};
use crate::cache::{Key, State};
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

    /// A lane has ended: what was asked for on it is not wanted there any more.
    pub(super) fn close(&mut self, lane: Lane, now: Instant) {
        self.withheld.remove(&lane);
        self.forget_home(lane);
        let ended = self.flights.extract_if(.., |_, flight| flight.lane == lane);
        let ended: Vec<Flight> = ended.map(|(_, flight)| flight).collect();
        for flight in &ended {
            self.landed(flight.lane, flight.origin, flight.table, flight.vouch);
        }
        for gone in self.subscriptions.extract_if(.., |it| it.lane == lane).collect::<Vec<_>>() {
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
        }
        for held in self.held_back.values_mut() {
            held.unsent.retain(|farewell| farewell.lane != lane);
        }
    }
}
