//! A name goes from owner to owner, and its former owner has something no longer that the client
//! needs until it is told.
//!
//! Owners do not wait for each other, so the former owner's round may be at what goes before that of
//! the new owner has brought the name. What goes then stays behind, and the round ends without it: it
//! goes when the client has been told of all names that were taken. So nobody waits for anybody,
//! whoever takes what from whom. While the client refuses what comes before the name, it routes to what
//! the former owner had, and keeps that.

use std::collections::HashSet;
use std::sync::Arc;

use tokio::time::Instant;

use super::Delta;
use super::round::{Farewell, Fate, Round, RoundId};
use crate::cache::{Key, OwnerId, State};
use crate::kind::Step;

/// What is gone of an owner and stays with the client.
#[derive(Debug)]
pub(super) struct Stay {
    /// Names of which the client may not have been told yet that they are another's.
    until: Vec<Taken>,
    pub(super) gone: Vec<Farewell>,
}

/// A name that an owner had. (Its place in the cache may be another name's by now.)
#[derive(Debug)]
struct Taken {
    table: u16,
    name: Arc<str>,
    /// Whose it was when it was last looked for.
    by: OwnerId,
}

impl Delta {
    /// A round comes to what goes: what its owners had beside names that others have now, and of
    /// which the client is not told yet, stays.
    pub(super) fn keep_for_others(&mut self, state: &State, id: RoundId) {
        let Some(round) = self.rounds.get(&id) else { return };
        let under_way = round.shares.iter().filter(|share| share.fate == Fate::UnderWay);
        let stays = under_way.map(|share| (share.owner, self.untold(state, share.owner)));
        let stays: Vec<_> = stays.filter(|(_, until)| !until.is_empty()).collect();
        let Some(round) = self.rounds.get_mut(&id) else { return };
        for (owner, until) in stays {
            let gone = round.take_gone(state, owner);
            if !gone.is_empty() {
                self.stays.insert(owner, Stay { until, gone });
            }
        }
    }

    /// What nobody needs any more goes.
    pub(super) fn end_stays(&mut self, state: &State, now: Instant) {
        if self.stays.is_empty() || self.is_broken(now) {
            return;
        }
        let mut stays = std::mem::take(&mut self.stays);
        for stay in stays.values_mut() {
            stay.until.retain_mut(|taken| self.is_untold_by_name(state, taken));
        }
        let over = stays.extract_if(|_, stay| stay.until.is_empty());
        let mut gone: Vec<Farewell> = over.flat_map(|(_, stay)| stay.gone).collect();
        gone.retain(|farewell| self.may_have(state, farewell));
        gone.iter_mut().for_each(|farewell| farewell.upto = Some(state.seq()));
        self.stays = stays;
        if !gone.is_empty() {
            self.begin_farewells(gone, now);
        }
    }

    /// What an owner had goes with its next change: that may need it again, or names be its own again.
    pub(super) fn take_stay(&mut self, state: &State, owner: OwnerId) -> Vec<Farewell> {
        let mut gone = self.stays.remove(&owner).map(|stay| stay.gone).unwrap_or_default();
        gone.retain(|farewell| self.may_have(state, farewell));
        gone
    }

    /// Whether the client has not let go of it by itself.
    fn may_have(&self, state: &State, farewell: &Farewell) -> bool {
        let Some(of) = self.subscription(farewell.lane, farewell.table) else { return false };
        let key = state.find(farewell.table, &farewell.name);
        of.wildcard || key.is_some_and(|key| of.names.contains(key.slot))
    }

    /// What of an owner's names is another's by now, while the client may have what this owner said.
    fn untold(&self, state: &State, owner: OwnerId) -> Vec<Taken> {
        let untold = state.lost_to_others(owner).filter(|key| self.is_untold(state, *key));
        let taken = |key: Key| {
            let slot = state.slot(key);
            Taken { table: key.table, name: slot.name.clone(), by: slot.owner }
        };
        untold.map(taken).collect()
    }

    fn is_untold_by_name(&self, state: &State, taken: &mut Taken) -> bool {
        match state.find(taken.table, &taken.name) {
            Some(key) => {
                taken.by = state.slot(key).owner;
                self.is_untold(state, key)
            }
            // It is gone, and others know it.
            None => {
                let by = taken.by;
                self.busy.contains_key(&by)
                    || self.held_back.contains_key(&by)
                    || self.is_behind(by)
            }
        }
    }

    /// Whether the client does not have yet what a place has.
    pub(super) fn is_untold(&self, state: &State, key: Key) -> bool {
        let (slot, kind) = (state.slot(key), state.table(key.table).kind);
        let (owner, changed) = (slot.owner, slot.changed);
        let step = match slot.content {
            Some(_) => Step::coming(kind),
            None => Step::going(kind),
        };
        if self.is_behind(owner) {
            return true;
        }
        if let Some(busy) = self.busy.get(&owner) {
            let Some(round) = self.rounds.get(&busy.round) else { return true };
            let Some(share) = round.share(owner) else { return true };
            let is_past = share.fate == Fate::UnderWay && round.at > step as usize;
            let is_lacking = share.is_whole || share.lacks(changed, step);
            return changed > share.upto || (is_lacking && !is_past);
        }
        if let Some(held) = self.held_back.get(&owner) {
            let had = changed <= held.brought.upto && (step as usize) < held.brought.step;
            return changed > held.from && !had;
        }
        changed > self.cursor && self.ahead.get(&owner).is_none_or(|upto| *upto < changed)
    }
}

impl Round {
    /// Takes out what goes of an owner when nothing names it any more.
    fn take_gone(&mut self, state: &State, owner: OwnerId) -> Vec<Farewell> {
        let mut gone = Vec::new();
        for step in [Step::Gone, Step::Orphans] {
            let is_gone = |key: Key| {
                let slot = state.slot(key);
                slot.owner == owner && slot.content.is_none()
            };
            for due in self.steps[step as usize].extract_if(.., |due| is_gone(due.key)) {
                let (name, table) = (state.name(due.key).clone(), due.key.table);
                gone.push(Farewell { lane: due.lane, table, name, owner, step, upto: None });
            }
            let is_its = |it: &mut Farewell| it.owner == owner && it.step == step;
            gone.extend(self.farewells.extract_if(.., is_its));
        }
        let mut known = HashSet::new();
        gone.retain(|it| known.insert((it.lane, it.table, it.name.clone())));
        gone
    }
}
