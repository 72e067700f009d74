//! A pass: what changed between two moments, told type by type.

use std::collections::HashMap;

use tokio::time::Instant;

use super::StateOfTheWorld;
use super::subscription::{Due, Subscription};
use crate::bits::Bits;
use crate::cache::{Key, OwnerId, State};
use crate::kind::{Kind, Step};
use crate::metrics;

/// See the module.
#[derive(Debug)]
pub(super) struct Pass {
    pub(super) from: u64,
    pub(super) upto: u64,
    /// Who changed, and what the client will have of them.
    owners: HashMap<OwnerId, u64>,
    at: usize,
    /// What the step has to say is laid out.
    begun: bool,
    /// When the step last said something.
    pub(super) since: Instant,
}

impl Pass {
    /// Whether this owner changed.
    pub(super) fn is_about(&self, owner: OwnerId) -> bool {
        self.owners.contains_key(&owner)
    }

    /// Who changed.
    pub(super) fn owners(&self) -> impl Iterator<Item = OwnerId> {
        self.owners.keys().copied()
    }

    /// Until when clusters that went are kept: until nothing names them.
    pub(super) fn keeps(&self) -> u64 {
        match self.at < Step::Gone as usize {
            true => self.from,
            false => self.upto,
        }
    }
}

impl Subscription {
    /// What is not full state is told if it changed, or was kept from the client before.
    fn lay_out(&mut self, slot: u32, changed: bool, held: bool) {
        let due = (changed && !self.told.contains(slot)) || self.withheld.contains(slot);
        if !due || !self.wants(slot) {
            return;
        }
        if held {
            self.withheld.insert(slot);
        } else {
            self.withheld.remove(slot);
            self.moved.insert(slot);
            self.laid = true;
        }
    }
}

/// Whether a step speaks of a kind.
fn speaks_of(step: Step, kind: Kind) -> bool {
    match step {
        Step::Gone => kind == Kind::Cluster,
        // Of what has nothing blank to put in its place, nothing is said.
        Step::Orphans => matches!(kind, Kind::Endpoint | Kind::Route | Kind::Other),
        Step::ScopesGone | Step::ListenersGone => false,
        coming => Step::coming(kind) == coming,
    }
}

impl StateOfTheWorld {
    /// Moves on; whether there may be something to say then.
    pub(super) fn advance(&mut self, state: &State, now: Instant) -> bool {
        let Some(pass) = &mut self.pass else { return self.begin_pass(state, now) };
        let Some(step) = Step::ALL.get(pass.at).copied() else {
            self.end_pass(state, now);
            return true;
        };
        if !pass.begun {
            pass.begun = true;
            pass.since = now;
            self.lay_out(state, step);
            return true;
        }
        let since = pass.since;
        let waits = self.subscriptions.iter().any(|s| s.laid && !s.is_quiet())
            || (step == Step::Scopes && self.awaits_routes(state))
            || (step == Step::Clusters && self.is_warming(state, now));
        if waits && now < since + self.limits.patience {
            return false;
        }
        if waits {
            metrics::wait_timed_out();
            self.warming.retain(|_| false);
        }
        if let Some(pass) = &mut self.pass {
            pass.at += 1;
            pass.begun = false;
        }
        true
    }

    fn begin_pass(&mut self, state: &State, now: Instant) -> bool {
        let (from, upto) = (self.cursor, state.seq());
        if from == upto {
            return false;
        }
        self.cursor = upto;
        self.pass =
            Some(Pass { from, upto, owners: HashMap::new(), at: 0, begun: false, since: now });
        let mut owners: HashMap<OwnerId, u64> = HashMap::new();
        for owner in (from + 1..=upto).filter_map(|seq| state.logged(seq)) {
            owners.entry(owner).or_insert_with(|| state.owner_seq(owner));
        }
        let held: Vec<OwnerId> =
            owners.keys().filter(|owner| self.quarantined.remove(owner)).copied().collect();
        for owner in held {
            if self.release(state, owner, upto) {
                self.quarantine(state, owner);
            }
        }
        if let Some(pass) = &mut self.pass {
            pass.owners = owners;
        }
        true
    }

    /// Lays out what a step has to say.
    fn lay_out(&mut self, state: &State, step: Step) {
        let Some(pass) = &self.pass else { return };
        for subscription in &mut self.subscriptions {
            subscription.laid = false;
            if !speaks_of(step, subscription.kind) {
                continue;
            }
            if subscription.kind.full_state() {
                subscription.due = subscription.due.or(Some(Due::IfNew));
                subscription.laid = true;
                continue;
            }
            for owner in pass.owners.keys() {
                let lost = if step == Step::Orphans { state.lost(*owner) } else { Vec::new() };
                let keys = if step == Step::Orphans { &lost } else { state.owned(*owner) };
                let held = self.quarantined.contains(owner);
                let table = subscription.table;
                for key in keys.iter().filter(|key| key.table == table) {
                    subscription.lay_out(key.slot, state.slot(*key).changed > pass.from, held);
                }
            }
        }
    }

    /// Whether new scopes name route configurations that the client has not asked for yet.
    fn awaits_routes(&self, state: &State) -> bool {
        let Some(pass) = &self.pass else { return false };
        if self.cache.options().on_demand {
            return false;
        }
        let kind = |key: &Key| state.table(key.table).kind;
        pass.owners.keys().any(|owner| {
            let owned = state.owned(*owner);
            let scoped = owned.iter().any(|key| {
                kind(key) == Kind::Scope && state.slot(*key).changed > pass.from && self.wants(*key)
            });
            let unwatched = |key: &Key| kind(key) == Kind::Route && !self.wants(*key);
            scoped && !self.quarantined.contains(owner) && owned.iter().any(unwatched)
        })
    }

    /// Whether the client has not taken the endpoints of the clusters that changed yet.
    fn is_warming(&self, state: &State, now: Instant) -> bool {
        let Some(pass) = &self.pass else { return false };
        self.warming.awaits(|key| pass.is_about(state.slot(key).owner), now)
    }

    fn end_pass(&mut self, state: &State, now: Instant) {
        let Some(pass) = self.pass.take() else { return };
        self.subscriptions.iter_mut().for_each(|it| it.told = Bits::default());
        self.warming.retain(|key| state.slot(key).content.is_some());
        let owners = pass.owners.into_iter().filter(|(owner, _)| !self.quarantined.contains(owner));
        // By name: once the pass is over the cache may forget an owner who is gone.
        self.unsettled.extend(owners.map(|(owner, seq)| (state.owner(owner), seq)));
        self.unsettled.sort_unstable_by_key(|(_, seq)| *seq);
        self.settle(now);
    }
}
