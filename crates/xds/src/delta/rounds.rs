//! The life of rounds: begun from the log, moved from step to step, ended.

use tokio::time::Instant;

use super::round::{Round, RoundId, Share};
use super::{Busy, Delta, HeldBack, Origin};
use crate::cache::{Key, OwnerId, State};
use crate::event::Event;
use crate::kind::Step;
use crate::metrics;

/// Rounds under way at once on a stream. What waits behind them waits in the cache's log.
const ROUNDS_MAX: usize = 64;
/// With more changes than this waiting, many owners share a round.
const BACKLOG: u64 = 32;
/// Owners that share a round.
const SHARES_MAX: usize = 256;

impl Delta {
    /// Begins rounds for what the log says has changed.
    pub(super) fn read_log(&mut self, state: &State, now: Instant) {
        let end = state.seq();
        while self.cursor < end && self.has_room() {
            let many = end - self.cursor > BACKLOG;
            let most = if many { SHARES_MAX } else { 1 };
            let id = self.last_round + 1;
            let mut shares = Vec::new();
            while self.cursor < end && shares.len() < most {
                self.cursor += 1;
                let owner = state.logged(self.cursor);
                shares.extend(owner.and_then(|owner| self.claim(state, owner, id)));
            }
            if !shares.is_empty() {
                self.begin(state, shares, now);
            }
        }
    }

    fn has_room(&self) -> bool {
        let under_way = self.rounds.values().filter(|round| !round.is_sent()).count();
        under_way < ROUNDS_MAX && self.flights.len() < self.limits.in_flight
    }

    /// One owner's share in the round `id` for the change at the cursor, unless another round has
    /// it already, or must end first.
    fn claim(&mut self, state: &State, owner: OwnerId, id: RoundId) -> Option<Share> {
        let at = self.cursor;
        if let Some(upto) = self.ahead.get(&owner).copied()
            && upto >= at
        {
            if upto == at {
                self.ahead.remove(&owner);
            }
            return None;
        }
        if let Some(busy) = self.busy.get_mut(&owner) {
            if busy.upto < at {
                busy.next.get_or_insert(at - 1);
            }
            return None;
        }
        Some(self.share(state, owner, at - 1, id))
    }

    fn share(&mut self, state: &State, owner: OwnerId, since: u64, round: RoundId) -> Share {
        let upto = state.owner_seq(owner);
        if upto > self.cursor {
            self.ahead.insert(owner, upto);
        }
        let from = self.held_back.get(&owner).map_or(since, |held| held.from.min(since));
        self.busy.insert(owner, Busy { round, upto, next: None });
        Share { owner, from, upto, refused: false, unsent: Vec::new() }
    }

    fn begin(&mut self, state: &State, shares: Vec<Share>, now: Instant) {
        self.last_round += 1;
        let id = self.last_round;
        let mut round = self.plan(state, id, shares);
        round.since = Some(now);
        self.rounds.insert(id, round);
    }

    /// What changed while the client was away: sent in order, once it has named all it has.
    pub(super) fn catch_up(&mut self, now: Instant) -> &mut Round {
        let gathering = |round: &Round| round.gather_until.is_some_and(|until| now < until);
        let known = self.rounds.iter().find(|(_, round)| gathering(round)).map(|(id, _)| *id);
        let id = known.unwrap_or_else(|| {
            self.last_round += 1;
            self.last_round
        });
        let round = self.rounds.entry(id).or_default();
        round.gather_until = Some(now + self.limits.gather);
        round
    }

    /// Moves every round as far as it goes.
    pub(super) fn advance(&mut self, state: &State, now: Instant) {
        let ids: Vec<RoundId> = self.rounds.keys().copied().collect();
        for id in ids {
            self.advance_one(state, id, now);
        }
    }

    fn advance_one(&mut self, state: &State, id: RoundId, now: Instant) {
        let patience = self.limits.patience;
        let Some(round) = self.rounds.get_mut(&id) else { return };
        if round.gather_until.is_some_and(|until| now < until) {
            return;
        }
        while !round.is_sent() && !round.is_loaded() {
            if round.waits() {
                if now < *round.since.get_or_insert(now) + patience {
                    return;
                }
                round.impatient = true;
                metrics::wait_timed_out();
            }
            round.at += 1;
            round.since = Some(now);
            if round.is_sent() {
                self.let_go(state, id, now);
                break;
            }
        }
        if self.rounds.get(&id).is_some_and(Round::is_done) {
            self.end(state, id);
        }
    }

    /// When a round wants to be looked at again.
    pub(super) fn round_deadline(&self, round: &Round) -> Option<Instant> {
        if round.is_sent() {
            return None;
        }
        let waiting = round.since.filter(|_| round.waits()).map(|s| s + self.limits.patience);
        round.gather_until.filter(|_| round.at == 0).max(waiting)
    }

    /// All of a round is sent: its owners' next changes need not wait for the acknowledgements.
    fn let_go(&mut self, state: &State, id: RoundId, now: Instant) {
        let Some(round) = self.rounds.get_mut(&id) else { return };
        let mut held = Vec::new();
        for share in round.shares.iter_mut().filter(|share| share.refused) {
            let unsent = std::mem::take(&mut share.unsent);
            held.push((share.owner, HeldBack { from: share.from, unsent }));
        }
        self.held_back.extend(held);
        let owners: Vec<OwnerId> = round.shares.iter().map(|share| share.owner).collect();
        for owner in owners {
            let next = self.busy.remove(&owner).and_then(|busy| busy.next);
            if let Some(since) = next {
                let share = self.share(state, owner, since, self.last_round + 1);
                self.begin(state, vec![share], now);
            }
        }
    }

    fn end(&mut self, state: &State, id: RoundId) {
        let Some(round) = self.rounds.remove(&id) else { return };
        if round.awaiting > 0 {
            self.awaited.retain(|_, round| *round != id);
        }
        if self.synced.is_none() {
            return;
        }
        for share in round.shares.iter().filter(|share| !share.refused) {
            let owner = state.owner(share.owner);
            self.events.push(Event::Settled { stream: self.stream, owner, seq: share.upto });
        }
    }

    /// A response was acknowledged, or came to nothing.
    pub(super) fn acknowledge(
        &mut self,
        origin: Origin,
        table: u16,
        keys: impl Iterator<Item = Key>,
    ) {
        match origin {
            Origin::Round(id, step) => {
                if let Some(round) = self.rounds.get_mut(&id) {
                    round.unacked[step as usize] = round.unacked[step as usize].saturating_sub(1);
                }
            }
            Origin::Answer => {
                if let Some(subscription) = self.subscription_mut(table) {
                    subscription.in_flight = subscription.in_flight.saturating_sub(1);
                }
            }
            Origin::Alone => {}
        }
        for key in keys {
            self.arrived(key);
        }
    }

    /// A route configuration that a round awaits was answered and heard of.
    fn arrived(&mut self, key: Key) -> Option<RoundId> {
        let id = self.awaited.remove(&key)?;
        if let Some(round) = self.rounds.get_mut(&id) {
            round.awaiting = round.awaiting.saturating_sub(1);
        }
        Some(id)
    }

    /// The client refused something of an owner: what would follow is not sent.
    pub(super) fn mark_refused(&mut self, owner: OwnerId, key: Key, origin: Origin) {
        let by_origin = match origin {
            Origin::Round(id, _) => Some(id),
            _ => None,
        };
        let awaiting = self.arrived(key);
        let busy = self.busy.get(&owner).map(|busy| busy.round);
        for id in [by_origin, awaiting, busy].into_iter().flatten() {
            if let Some(share) = self.rounds.get_mut(&id).and_then(|r| r.share_mut(owner)) {
                share.refused = true;
            }
        }
    }

    /// Skips what is left of refused owners in the current step, and remembers its removals.
    pub(super) fn drop_refused(state: &State, round: &mut Round) {
        if !round.shares.iter().any(|share| share.refused) || round.is_sent() {
            return;
        }
        let at = round.at;
        let going = Step::ALL[at].is_going();
        let keys = std::mem::take(&mut round.steps[at]);
        for key in keys {
            let slot = state.slot(key);
            if !round.is_refused(slot.owner) {
                round.steps[at].push(key);
            } else if going && let Some(share) = round.share_mut(slot.owner) {
                let (table, name, owner) = (key.table, slot.name.clone(), slot.owner);
                let step = Step::going(state.table(table).kind);
                share.unsent.push(super::Farewell { table, name, owner, step });
            }
        }
        let farewells = std::mem::take(&mut round.farewells);
        for farewell in farewells {
            match round.share_mut(farewell.owner) {
                Some(share) if share.refused && farewell.step as usize == at => {
                    share.unsent.push(farewell);
                }
                _ => round.farewells.push(farewell),
            }
        }
    }
}
