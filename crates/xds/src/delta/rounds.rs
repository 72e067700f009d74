//! The life of rounds: begun from the log, moved from step to step, ended.

use tokio::time::Instant;

use super::round::{Brought, EVERYTHING, Farewell, Fate, Round, RoundId, SHARES_MAX, Share};
use super::{Busy, Delta, HeldBack};
use crate::cache::{Key, OwnerId, State};
use crate::event::Event;
use crate::kind::Step;
use crate::metrics;

/// Rounds under way at once on a stream. What waits behind them waits in the cache's log.
const ROUNDS_MAX: usize = 64;
/// With more changes than this waiting, many owners share a round.
const BACKLOG: u64 = 32;

impl Delta {
    /// Begins rounds for what the log says has changed.
    pub(super) fn read_log(&mut self, state: &State, now: Instant) {
        if self.is_broken(now) {
            return;
        }
        let end = state.seq();
        while self.cursor < end
            && let room @ 1.. = self.room()
        {
            let many = end - self.cursor > BACKLOG;
            let most = if many { SHARES_MAX.min(room) } else { 1 };
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

    /// Of how many owners more something may be on its way.
    pub(super) fn room(&self) -> usize {
        let under_way = self.rounds.values().filter(|round| !round.is_sent());
        let (rounds, owners) = under_way
            .fold((0, 0), |(rounds, owners), round| (rounds + 1, owners + round.shares.len()));
        match rounds < ROUNDS_MAX && !self.is_full() {
            true => self.limits.owners.saturating_sub(owners),
            false => 0,
        }
    }

    /// One owner's share in the round `id` for the change at the cursor, unless that is claimed.
    fn claim(&mut self, state: &State, owner: OwnerId, id: RoundId) -> Option<Share> {
        let since = self.cursor - 1;
        (!self.is_claimed(owner)).then(|| self.share(state, owner, since, id))
    }

    /// Whether a round has an owner's change at the cursor already, or will have it; or the next round
    /// will, once one has ended.
    pub(super) fn is_claimed(&mut self, owner: OwnerId) -> bool {
        let at = self.cursor;
        if self.is_behind(owner) {
            return true;
        }
        if let Some(upto) = self.ahead.get(&owner).copied()
            && upto >= at
        {
            if upto == at {
                self.ahead.remove(&owner);
            }
            return true;
        }
        let busy = self.busy.get_mut(&owner);
        busy.map(|busy| busy.next.get_or_insert(at - 1)).is_some()
    }

    pub(super) fn share(
        &mut self,
        state: &State,
        owner: OwnerId,
        since: u64,
        round: RoundId,
    ) -> Share {
        let upto = state.owner_seq(owner);
        if upto > self.cursor {
            self.ahead.insert(owner, upto);
        }
        let held = self.held_back.get(&owner);
        let from = held.map_or(since, |held| held.from.min(since));
        // A lane that has come back may not have what was brought on the one before.
        let had = held.filter(|_| since != EVERYTHING).map(|held| held.brought);
        self.busy.insert(owner, Busy { round, next: None });
        Share {
            owner,
            name: state.owner(owner),
            from,
            is_whole: false,
            upto,
            had,
            fate: Fate::UnderWay,
            later: None,
            is_awaited: false,
            brought: None,
            unsent: Vec::new(),
        }
    }

    fn begin(&mut self, state: &State, mut shares: Vec<Share>, now: Instant) {
        self.last_round += 1;
        let id = self.last_round;
        shares.sort_unstable_by_key(|share| share.owner);
        let mut round = self.plan(state, id, shares, &[]);
        round.since = Some(now);
        self.rounds.insert(id, Box::new(round));
    }

    /// Begins and moves rounds as far as they go: until nothing more happens unless the client, the
    /// cache or the clock says something.
    pub(super) fn advance(&mut self, state: &State, now: Instant) {
        self.release_held_up(now);
        loop {
            let had_old_scopes = self.has_old_scopes();
            let mut next = 0;
            // A round that ends may begin another one, which comes after it.
            while let Some(id) = self.rounds.range(next..).next().map(|(id, _)| *id) {
                self.advance_one(state, id, now);
                next = id + 1;
            }
            let begun = self.last_round;
            self.catch_up(state, now);
            self.read_log(state, now);
            self.part(state, now);
            self.end_stays(state, now);
            // Rounds that came before in this turn waited for that.
            let goes_on = had_old_scopes && !self.has_old_scopes();
            if self.last_round == begun && !goes_on {
                return;
            }
        }
    }

    fn advance_one(&mut self, state: &State, id: RoundId, now: Instant) {
        if self.is_broken(now) {
            return;
        }
        let patience = self.limits.patience;
        let warming = self.is_warming(state, id, now);
        self.await_no_more(state, id);
        let Some(round) = self.rounds.get_mut(&id) else { return };
        round.warming = warming;
        if round.is_awaited() && round.since.is_none_or(|since| now >= since + patience) {
            round.awaiting = 0;
            self.awaited.retain(|_, awaited| awaited.round != id);
            metrics::wait_timed_out();
        }
        loop {
            let at = self.rounds.get(&id).map_or(Step::COUNT, |round| round.at);
            let is_early = at + 1 == Step::Gone as usize && self.has_old_scopes();
            let Some(round) = self.rounds.get_mut(&id) else { return };
            drop_doomed(state, round);
            if round.is_sent() || round.is_loaded() {
                break;
            }
            if round.waits() || is_early {
                if now < *round.since.get_or_insert(now) + patience {
                    return;
                }
                round.impatient = true;
                round.awaiting = 0;
                self.awaited.retain(|_, awaited| awaited.round != id);
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
            if round.at == Step::Gone as usize {
                self.keep_for_others(state, id);
            }
        }
        if self.rounds.get(&id).is_some_and(|round| round.is_done()) {
            self.end(state, id, now);
        }
    }

    /// Whether a client that came back still has scopes of which nobody knows whose they were: until
    /// it is told what became of them nothing goes that they may name.
    fn has_old_scopes(&self) -> bool {
        let goes = |it: &Farewell| it.step == Step::ScopesGone;
        self.rounds.values().any(|round| match round.shares.first() {
            Some(share) => share.is_whole && round.is_bringing_scopes(),
            None => {
                let is_before = round.at <= Step::ScopesGone as usize;
                round.unacked[Step::ScopesGone as usize] > 0
                    || (is_before && round.farewells.iter().any(goes))
            }
        })
    }

    /// What is gone, or is not asked for any more by a client that has its scopes, is not awaited.
    fn await_no_more(&mut self, state: &State, id: RoundId) {
        let Some(round) = self.rounds.get_mut(&id).filter(|round| round.awaiting > 0) else {
            return;
        };
        self.awaited.retain(|key, awaited| {
            let kept = awaited.round != id || state.slot(*key).content.is_some();
            round.awaiting -= u32::from(!kept);
            kept
        });
    }

    /// When a round wants to be looked at again.
    pub(super) fn round_deadline(&self, round: &Round) -> Option<Instant> {
        round
            .since
            .filter(|_| round.is_awaited() || (!round.is_sent() && round.waits()))
            .map(|since| since + self.limits.patience)
    }

    /// All of a round is sent: its owners' next changes need not wait for the acknowledgements.
    fn let_go(&mut self, state: &State, id: RoundId, now: Instant) {
        let Some(round) = self.rounds.get_mut(&id) else { return };
        let mut owners = Vec::with_capacity(round.shares.len());
        for share in &mut round.shares {
            owners.push(share.owner);
            if let Some(brought) = share.brought {
                let unsent = std::mem::take(&mut share.unsent);
                let from = if share.is_whole { EVERYTHING } else { share.from };
                self.held_back.insert(
                    share.owner,
                    HeldBack { from, brought, unsent, is_awaited: share.is_awaited },
                );
            }
        }
        for owner in owners {
            let next = self.busy.remove(&owner).and_then(|busy| busy.next);
            // What of it ended before it was all sent, or came meanwhile, a lane that came back lacks
            // still.
            if next.is_none() && !self.held_back.contains_key(&owner) {
                self.has_come(owner);
            }
            if let Some(since) = next {
                let share = self.share(state, owner, since, self.last_round + 1);
                self.begin(state, vec![share], now);
            }
        }
    }

    fn end(&mut self, state: &State, id: RoundId, now: Instant) {
        let Some(round) = self.rounds.remove(&id) else { return };
        self.warming.retain(|key| state.slot(key).content.is_some());
        if self.synced.is_none() {
            return;
        }
        for share in round.shares {
            let own = (share.fate == Fate::UnderWay).then_some(share.upto);
            let later = share.later.filter(|_| !self.refuses(state, share.owner));
            if let Some(seq) = own.max(later) {
                self.settle(id, share, seq);
            }
        }
        self.tell_settled(now);
    }

    /// An owner is settled, unless something of it that went in an earlier round is unanswered.
    fn settle(&mut self, id: RoundId, share: Share, seq: u64) {
        let mut earlier = self.rounds.range_mut(..id).rev();
        if let Some(before) = earlier.find_map(|(_, round)| round.share_mut(share.owner)) {
            before.later = before.later.max(Some(seq));
            return;
        }
        let (stream, owner) = (self.stream, share.name);
        self.settled.push(Event::Settled { stream, owner, seq });
    }

    /// Whether the client refuses something that the owner has.
    fn refuses(&self, state: &State, owner: OwnerId) -> bool {
        let is_refused = |key: &Key| {
            let refusal = self.refused.get(key);
            refusal.is_some_and(|refusal| refusal.changed == state.slot(*key).changed)
        };
        !self.refused.is_empty() && state.owned(owner).iter().any(is_refused)
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
                    share.unsent.push(Farewell { lane, table, name, owner, step, upto: None });
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
