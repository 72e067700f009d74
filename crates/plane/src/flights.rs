//! Changes on their way: which proxies each still waits for. Holds what is in flight and no
//! history.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use tokio::time::Instant;
use xds::{Owner, StreamId};

/// One owner's latest change, while not every ready proxy has it.
#[derive(Debug)]
pub(crate) struct Flight {
    owner: Owner,
    waiting: HashSet<StreamId>,
    have: usize,
    /// It lands only when a proxy has said that it took it.
    needs_witness: bool,
    /// Only canaries are given it.
    is_trial: bool,
    since: Instant,
}

impl Flight {
    /// Proxies that are still to acknowledge it.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = StreamId> {
        self.waiting.iter().copied()
    }

    /// Whether this proxy is still to acknowledge it.
    pub(crate) fn waits_for(&self, stream: StreamId) -> bool {
        self.waiting.contains(&stream)
    }

    /// How many proxies were seen to take it.
    pub(crate) fn have(&self) -> usize {
        self.have
    }

    fn has_landed(&self) -> bool {
        self.waiting.is_empty() && (self.have > 0 || !self.needs_witness)
    }
}

/// What a proxy is still to acknowledge.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Lack {
    /// How many changes.
    pub(crate) changes: usize,
    /// Since when the first of them is on its way.
    pub(crate) since: Option<Instant>,
}

impl Lack {
    fn count(&mut self, flight: &Flight) {
        self.changes += 1;
        self.since = Some(self.since.map_or(flight.since, |since| since.min(flight.since)));
    }
}

/// The flights of a group.
#[derive(Debug, Default)]
pub(crate) struct Flights {
    seqs: HashMap<Owner, u64>,
    flights: BTreeMap<u64, Flight>,
}

impl Flights {
    /// A change has left at `seq`, in place of an earlier one of this owner. A removal lands as
    /// soon as nobody is waited for; anything else needs one proxy that took it.
    pub(crate) fn depart(
        &mut self,
        owner: &Owner,
        seq: u64,
        waiting: HashSet<StreamId>,
        is_removal: bool,
    ) {
        self.cancel(owner);
        let needs_witness = !is_removal;
        let since = Instant::now();
        let (owner, have) = (owner.clone(), 0);
        let flight = Flight { owner, waiting, have, needs_witness, is_trial: false, since };
        if !flight.has_landed() {
            self.seqs.insert(flight.owner.clone(), seq);
            self.flights.insert(seq, flight);
        }
    }

    /// The same, to canaries only.
    pub(crate) fn try_first(&mut self, owner: &Owner, seq: u64, canaries: HashSet<StreamId>) {
        self.depart(owner, seq, canaries, false);
        if let Some(flight) = self.flights.get_mut(&seq) {
            flight.is_trial = true;
        }
    }

    /// A canary counts no more. What lands by that is told by [`Flights::landed`].
    pub(crate) fn dismiss(&mut self, stream: StreamId) {
        for flight in self.flights.values_mut().filter(|flight| flight.is_trial) {
            flight.waiting.remove(&stream);
        }
    }

    /// What has landed.
    pub(crate) fn landed(&mut self) -> Vec<Owner> {
        self.land_all(..)
    }

    /// The owner's change on its way, if any.
    pub(crate) fn of(&self, owner: &str) -> Option<&Flight> {
        self.flights.get(self.seqs.get(owner)?)
    }

    /// Who is still to acknowledge something of up to this sequence number.
    pub(crate) fn waiting_until(&self, seq: u64) -> BTreeSet<StreamId> {
        self.flights.range(..=seq).flat_map(|(_, flight)| flight.waiting.iter().copied()).collect()
    }

    /// Whose changes are on their way.
    pub(crate) fn owners(&self) -> impl Iterator<Item = &Owner> {
        self.seqs.keys()
    }

    /// How many changes are on their way.
    pub(crate) fn len(&self) -> usize {
        self.flights.len()
    }

    /// What each proxy is still to acknowledge.
    pub(crate) fn lacking(&self) -> HashMap<StreamId, Lack> {
        let mut lacking: HashMap<StreamId, Lack> = HashMap::new();
        for flight in self.flights.values() {
            for stream in flight.waiting() {
                lacking.entry(stream).or_default().count(flight);
            }
        }
        lacking
    }

    /// What one proxy is still to acknowledge.
    pub(crate) fn lacked_by(&self, stream: StreamId) -> Lack {
        let mut lack = Lack::default();
        let flights = self.flights.values().filter(|flight| flight.waiting.contains(&stream));
        flights.for_each(|flight| lack.count(flight));
        lack
    }

    /// Whose changes one proxy is still to acknowledge.
    pub(crate) fn waited_for(&self, stream: StreamId) -> impl Iterator<Item = &Owner> {
        let flights = self.flights.values().filter(move |it| it.waiting.contains(&stream));
        flights.map(|flight| &flight.owner)
    }

    /// A proxy has one owner's change; returns the owner if all have it now.
    pub(crate) fn settled(&mut self, stream: StreamId, owner: &Owner, seq: u64) -> Option<Owner> {
        let at = *self.seqs.get(owner).filter(|at| **at <= seq)?;
        let flight = self.flights.get_mut(&at)?;
        flight.have += usize::from(flight.waiting.remove(&stream));
        self.land(at)
    }

    /// A proxy has everything up to `seq`, but for what it `refuses` and, if it is no canary,
    /// what is on trial. At its first time it is counted where it was not waited for, and waited
    /// for where it lags.
    pub(crate) fn synced(
        &mut self,
        stream: StreamId,
        seq: u64,
        is_first: bool,
        is_canary: bool,
        refuses: &BTreeSet<Owner>,
    ) -> Vec<Owner> {
        let is_given = |flight: &Flight| is_canary || !flight.is_trial;
        for (_, flight) in self.flights.range_mut(..=seq) {
            if is_given(flight) && !refuses.contains(&flight.owner) {
                let counts = flight.waiting.remove(&stream) || is_first;
                flight.have += usize::from(counts);
            }
        }
        if is_first {
            for (_, flight) in self.flights.range_mut(seq + 1..).filter(|(_, it)| is_given(it)) {
                flight.waiting.insert(stream);
            }
        }
        self.land_all(..=seq)
    }

    /// A proxy is not waited for by this owner's change: it refused it.
    pub(crate) fn excuse(&mut self, stream: StreamId, owner: &Owner) -> Option<Owner> {
        let at = *self.seqs.get(owner)?;
        self.flights.get_mut(&at)?.waiting.remove(&stream);
        self.land(at)
    }

    /// A proxy is waited for no more: it is gone, or holds nobody up.
    pub(crate) fn leave(&mut self, stream: StreamId) -> Vec<Owner> {
        for flight in self.flights.values_mut() {
            flight.waiting.remove(&stream);
        }
        self.land_all(..)
    }

    /// Nobody waits for the owner's change any more.
    pub(crate) fn cancel(&mut self, owner: &Owner) {
        if let Some(seq) = self.seqs.remove(owner) {
            self.flights.remove(&seq);
        }
    }

    fn land(&mut self, seq: u64) -> Option<Owner> {
        if !self.flights.get(&seq)?.has_landed() {
            return None;
        }
        let owner = self.flights.remove(&seq)?.owner;
        self.seqs.remove(&owner);
        Some(owner)
    }

    fn land_all(&mut self, range: impl std::ops::RangeBounds<u64>) -> Vec<Owner> {
        let landed = self.flights.range(range).filter(|(_, flight)| flight.has_landed());
        let landed: Vec<u64> = landed.map(|(seq, _)| *seq).collect();
        landed.into_iter().filter_map(|seq| self.land(seq)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: StreamId = StreamId(1);
    const TWO: StreamId = StreamId(2);

    fn owner(name: &str) -> Owner {
        name.into()
    }

    fn flights(waiting: &[StreamId]) -> Flights {
        let mut flights = Flights::default();
        flights.depart(&owner("a"), 7, waiting.iter().copied().collect(), false);
        flights
    }

    fn nothing() -> BTreeSet<Owner> {
        BTreeSet::new()
    }

    #[test]
    fn a_change_lands_when_the_last_proxy_has_it() {
        let mut flights = flights(&[ONE, TWO]);
        assert_eq!(flights.settled(ONE, &owner("a"), 6), None, "an earlier one is no proof");
        assert_eq!(flights.settled(ONE, &owner("a"), 7), None);
        assert_eq!(flights.settled(ONE, &owner("a"), 7), None, "twice is once");
        assert_eq!(flights.synced(TWO, 9, false, false, &nothing()), [owner("a")]);
        assert!(flights.of("a").is_none());
        assert_eq!(flights.len(), 0);
    }

    #[test]
    fn a_proxy_that_goes_holds_nobody_up_but_is_no_witness() {
        let mut one = flights(&[ONE]);
        assert_eq!(one.leave(ONE), Vec::<Owner>::new());
        assert!(one.of("a").is_some(), "nobody has ever taken it");
        assert_eq!(one.synced(TWO, 7, true, false, &nothing()), [owner("a")]);

        let mut two = flights(&[ONE, TWO]);
        two.settled(ONE, &owner("a"), 7);
        assert_eq!(two.leave(TWO), [owner("a")]);
    }

    #[test]
    fn a_proxy_that_joins_is_waited_for_by_what_it_has_not() {
        let mut flights = flights(&[]);
        flights.depart(&owner("b"), 8, HashSet::new(), false);
        assert_eq!(flights.synced(ONE, 7, true, false, &nothing()), [owner("a")]);
        let lacking: Vec<_> =
            flights.lacking().into_iter().map(|(stream, lack)| (stream, lack.changes)).collect();
        assert_eq!(lacking, [(ONE, 1)]);
        assert_eq!(flights.synced(ONE, 8, false, false, &nothing()), [owner("b")]);
    }

    #[test]
    fn what_a_proxy_refuses_it_does_not_have() {
        let mut flights = flights(&[ONE]);
        let refuses = BTreeSet::from([owner("a")]);
        assert_eq!(flights.synced(ONE, 9, false, false, &refuses), Vec::<Owner>::new());
        assert_eq!(flights.excuse(ONE, &owner("a")), None);
        assert!(flights.of("a").is_some());
    }

    #[test]
    fn what_is_on_trial_concerns_canaries_only() {
        let mut flights = Flights::default();
        flights.try_first(&owner("a"), 7, HashSet::from([ONE]));
        assert_eq!(flights.synced(TWO, 8, true, false, &nothing()), Vec::<Owner>::new());
        flights.dismiss(ONE);
        assert_eq!(flights.landed(), Vec::<Owner>::new(), "nobody has taken it");
        assert_eq!(flights.settled(ONE, &owner("a"), 7), None, "its word counts no more");
        assert_eq!(flights.synced(TWO, 8, true, true, &nothing()), [owner("a")]);
    }

    #[test]
    fn a_removal_needs_no_witness() {
        let mut flights = flights(&[ONE]);
        flights.depart(&owner("a"), 8, HashSet::from([ONE]), true);
        assert_eq!(flights.leave(ONE), [owner("a")]);
        flights.depart(&owner("a"), 9, HashSet::new(), true);
        assert!(flights.of("a").is_none());
    }
}
