//! The life of rounds: begun from the log, moved from step to step, ended.

use tokio::time::Instant;

use super::round::{Brought, Farewell, Fate, Round, RoundId, Share};
use super::{Busy, Delta, HeldBack};
use crate::cache::{OwnerId, State};
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
        under_way < ROUNDS_MAX && !self.is_full()
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
            busy.next.get_or_insert(at - 1);
            return None;
        }
        Some(self.share(state, owner, at - 1, id))
    }

    fn share(&mut self, state: &State, owner: OwnerId, since: u64, round: RoundId) -> Share {
        let upto = state.owner_seq(owner);
        if upto > self.cursor {
            self.ahead.insert(owner, upto);
        }
        let held = self.held_back.get(&owner);
        let from = held.map_or(since, |held| held.from.min(since));
        let had = held.map(|held| held.brought);
        self.busy.insert(owner, Busy { round, next: None });
        Share { owner, from, upto, had, fate: Fate::UnderWay, brought: None, unsent: Vec::new() }
    }

    fn begin(&mut self, state: &State, mut shares: Vec<Share>, now: Instant) {
        self.last_round += 1;
        let id = self.last_round;
        shares.sort_unstable_by_key(|share| share.owner);
        let mut round = self.plan(state, id, shares);
        round.since = Some(now);
        self.rounds.insert(id, round);
    }

    /// What changed while the client was away: sent in order, once it has named all it has.
    pub(super) fn catch_up(&mut self, now: Instant) -> &mut Round {
        let gathering = |round: &Round| round.gather_until.is_some();
        let known = self.rounds.iter().find(|(_, round)| gathering(round)).map(|(id, _)| *id);
        let id = known.unwrap_or_else(|| {
            self.last_round += 1;
            self.last_round
        });
        let round = self.rounds.entry(id).or_default();
        round.gather_until = Some(now + self.limits.gather);
        round.upto = self.cursor;
        round
    }

    /// Begins and moves rounds as far as they go: until nothing more happens unless the client, the
    /// cache or the clock says something.
    pub(super) fn advance(&mut self, state: &State, now: Instant) {
        self.release_held_up(now);
        loop {
            let mut next = 0;
            // A round that ends may begin another one, which comes after it.
            while let Some(id) = self.rounds.range(next..).next().map(|(id, _)| *id) {
                self.advance_one(state, id, now);
                next = id + 1;
            }
            let begun = self.last_round;
            self.read_log(state, now);
            if self.last_round == begun {
                return;
            }
        }
    }

    fn advance_one(&mut self, state: &State, id: RoundId, now: Instant) {
        let patience = self.limits.patience;
        let warming = self.is_warming(state, id, now);
        let Some(round) = self.rounds.get_mut(&id) else { return };
        round.warming = warming;
        if round.gather_until.is_some_and(|until| now < until) {
            return;
        }
        round.gather_until = None;
        loop {
            drop_doomed(state, round);
            if round.is_sent() || round.is_loaded() {
                break;
            }
            if round.waits() {
                if now < *round.since.get_or_insert(now) + patience {
                    return;
                }
                round.impatient = true;
                let is_its = |key| round.share(state.slot(key).owner).is_some();
                self.warming.retain(|key| !is_its(key));
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
            self.end(state, id, now);
        }
    }

    /// When a round wants to be looked at again.
    pub(super) fn round_deadline(&self, round: &Round) -> Option<Instant> {
        if round.is_sent() {
            return None;
        }
        let waiting = round.since.filter(|_| round.waits()).map(|s| s + self.limits.patience);
        round.gather_until.or(waiting)
    }

    /// All of a round is sent: its owners' next changes need not wait for the acknowledgements.
    fn let_go(&mut self, state: &State, id: RoundId, now: Instant) {
        let Some(round) = self.rounds.get_mut(&id) else { return };
        let mut owners = Vec::with_capacity(round.shares.len());
        for share in &mut round.shares {
            owners.push(share.owner);
            if let Some(brought) = share.brought {
                let unsent = std::mem::take(&mut share.unsent);
                let held = HeldBack { from: share.from, brought, unsent };
                self.held_back.insert(share.owner, held);
            }
        }
        for owner in owners {
            let next = self.busy.remove(&owner).and_then(|busy| busy.next);
            if let Some(since) = next {
                let share = self.share(state, owner, since, self.last_round + 1);
                self.begin(state, vec![share], now);
            }
        }
    }

    fn end(&mut self, state: &State, id: RoundId, now: Instant) {
        let Some(round) = self.rounds.remove(&id) else { return };
        self.warming.retain(|key| state.slot(key).content.is_some());
        if round.awaiting > 0 {
            self.awaited.retain(|_, round| *round != id);
        }
        if self.synced.is_none() {
            return;
        }
        for share in round.shares.iter().filter(|share| share.fate == Fate::UnderWay) {
            let owner = state.owner(share.owner);
            self.settled.push(Event::Settled { stream: self.stream, owner, seq: share.upto });
        }
        self.tell_settled(now);
    }
}

/// Takes what is left of doomed owners out of the current step, and remembers its removals and how
/// far they came.
fn drop_doomed(state: &State, round: &mut Round) {
    let doomed = |share: &Share| share.fate != Fate::UnderWay;
    if round.is_sent() || !round.shares.iter().any(doomed) {
        return;
    }
    let at = round.at;
    for share in round.shares.iter_mut().filter(|share| doomed(share)) {
        share.brought.get_or_insert(Brought { upto: share.upto, step: at + 1 });
    }
    for due in std::mem::take(&mut round.steps[at]) {
        let slot = state.slot(due.key);
        match round.share_mut(slot.owner) {
            Some(share) if doomed(share) => {
                if Step::ALL[at].is_going() && slot.content.is_none() {
                    let (lane, table, step) = (due.lane, due.key.table, Step::ALL[at]);
                    let (name, owner) = (slot.name.clone(), slot.owner);
                    share.unsent.push(Farewell { lane, table, name, owner, step });
                }
                if let Some(brought) = &mut share.brought {
                    brought.step = brought.step.min(at);
                }
            }
            _ => round.steps[at].push(due),
        }
    }
    for farewell in std::mem::take(&mut round.farewells) {
        match round.share_mut(farewell.owner) {
            Some(share) if doomed(share) && farewell.step as usize == at => {
                share.unsent.push(farewell);
            }
            _ => round.farewells.push(farewell),
        }
    }
}
