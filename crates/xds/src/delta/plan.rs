//! What of an owner a client must be sent, and in which step.

use super::Delta;
use super::round::{Due, Round, RoundId, Share};
use crate::cache::{Key, OwnerId, State};
use crate::kind::{Kind, Step};

impl Delta {
    /// Fills a round with what its owners' changes mean to this client.
    pub(super) fn plan(&mut self, state: &State, id: RoundId, shares: Vec<Share>) -> Round {
        let mut round = Round { fresh: true, upto: self.cursor, ..Round::default() };
        for share in &shares {
            self.plan_coming(state, share, &mut round);
            self.plan_going(state, share, &mut round);
            round.fresh &= state.owner_born(share.owner) > share.from;
            if let Some(held) = self.held_back.remove(&share.owner) {
                round.farewells.extend(held.unsent);
                round.fresh = false;
            }
        }
        round.shares = shares;
        // In the same flush a cluster goes before its endpoints.
        round.steps[Step::Clusters as usize].sort_by_key(|due| state.table(due.key.table).kind);
        self.await_routes(state, id, &mut round);
        round
    }

    fn plan_coming(&self, state: &State, share: &Share, round: &mut Round) {
        for key in state.owned(share.owner) {
            let step = Step::coming(state.table(key.table).kind);
            let changed = state.slot(*key).changed;
            // What was refused and is still the same is to be told again.
            let refused = self.refused.get(key).is_some_and(|refusal| refusal.changed == changed);
            if share.lacks(changed, step) || refused {
                let lanes = self.lanes_of(*key);
                round.steps[step as usize].extend(lanes.map(|lane| Due { lane, key: *key }));
            }
        }
    }

    fn plan_going(&self, state: &State, share: &Share, round: &mut Round) {
        for key in state.lost(share.owner) {
            let step = Step::going(state.table(key.table).kind);
            if share.lacks(state.slot(key).changed, step) {
                let dues = &mut round.steps[step as usize];
                let before = dues.len();
                dues.extend(self.lanes_of(key).map(|lane| Due { lane, key }));
                round.fresh &= dues.len() == before;
            }
        }
    }

    /// After new scopes the client asks for the route configurations they name: those of their
    /// owners that it does not watch yet.
    fn await_routes(&mut self, state: &State, id: RoundId, round: &mut Round) {
        if self.cache.options().on_demand {
            return;
        }
        let mut owners: Vec<OwnerId> = round.steps[Step::Scopes as usize]
            .iter()
            .map(|scope| state.slot(scope.key).owner)
            .collect();
        owners.sort_unstable();
        owners.dedup();
        for owner in owners {
            for route in state.owned(owner) {
                if state.table(route.table).kind == Kind::Route && !self.wants(*route) {
                    self.awaited.insert(*route, id);
                    round.awaiting += 1;
                }
            }
        }
    }

    /// The endpoints of its owner that a cluster may mean: those of the same name, and those that
    /// bear no cluster's name (the cluster calls its service otherwise).
    pub(super) fn own_endpoints(state: &State, cluster: Key) -> impl Iterator<Item = Key> {
        let slot = state.slot(cluster);
        let owned = state.owned(slot.owner).iter().copied();
        owned.filter(move |key| {
            let (is_endpoint, name) =
                (state.table(key.table).kind == Kind::Endpoint, state.name(*key));
            is_endpoint && (*name == slot.name || state.find(cluster.table, name).is_none())
        })
    }

    /// The endpoints that a client must get again when it gets this cluster: it keeps a changed
    /// cluster warming until they come.
    pub(super) fn endpoints_of(&self, state: &State, cluster: Key) -> Vec<Key> {
        let slot = state.slot(cluster);
        let mut due: Vec<Key> =
            Self::own_endpoints(state, cluster).filter(|key| self.wants(*key)).collect();
        let others = self.subscriptions.iter().filter(|s| s.kind == Kind::Endpoint);
        for subscription in others {
            let same = state.find(subscription.table, &slot.name);
            due.extend(same.filter(|key| subscription.wants(key.slot) && !due.contains(key)));
        }
        due
    }
}
