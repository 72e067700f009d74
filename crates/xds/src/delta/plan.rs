//! What of an owner a client must be sent, and in which step.

use std::collections::HashSet;
use std::collections::hash_map::Entry;

use super::homecoming::{Lacking, lacks};
use super::round::{Due, Farewell, Fate, Round, RoundId, Share};
use super::{Awaited, Delta};
use crate::cache::{Key, OwnerId, State};
use crate::kind::{Kind, Step};

impl Delta {
    /// Fills a round with what its owners' changes mean to this client, and with what it is `lacking`.
    pub(super) fn plan(
        &mut self,
        state: &State,
        id: RoundId,
        shares: Vec<Share>,
        lacking: &[Lacking],
    ) -> Round {
        let mut round = Round { fresh: true, ..Round::default() };
        let mut awaited = Vec::new();
        for share in &shares {
            self.plan_coming(state, share, lacking, &mut round);
            self.plan_going(state, share, lacking, &mut round);
            // A name that was another's is live.
            round.fresh &= state.owner_born(share.owner) > share.from;
            round.fresh &= !state.has_from_others(share.owner);
            let mut late = self.take_stay(state, share.owner);
            round.fresh &= late.is_empty();
            if let Some(held) = self.held_back.remove(&share.owner) {
                late.extend(held.unsent);
                awaited.extend(held.is_awaited.then_some(share.owner));
                round.fresh = false;
            }
            // What comes again and goes again later is the next round's.
            let upto = Some(share.upto);
            round.farewells.extend(late.into_iter().map(|it| Farewell { upto, ..it }));
        }
        round.shares = shares;
        // Whoever watches a route configuration routes to it.
        round.fresh &= round.steps[Step::Routes as usize].is_empty();
        // In the same flush a cluster goes before its endpoints.
        round.steps[Step::Clusters as usize].sort_by_key(|due| state.table(due.key.table).kind);
        self.await_routes(state, id, awaited, &mut round);
        self.await_answers(state, id, &mut round);
        round
    }

    fn plan_coming(&self, state: &State, share: &Share, lacking: &[Lacking], round: &mut Round) {
        for key in state.owned(share.owner) {
            let step = Step::coming(state.table(key.table).kind);
            let changed = state.slot(*key).changed;
            // What was refused and is still the same is to be told again.
            let refused = self.refused.get(key).is_some_and(|refusal| refusal.changed == changed);
            let dues = self.lanes_of(*key).map(|lane| Due { lane, key: *key });
            let lacks = |due: &Due| refused || lacks(lacking, share, step, *due, changed);
            round.steps[step as usize].extend(dues.filter(lacks));
        }
    }

    fn plan_going(&self, state: &State, share: &Share, lacking: &[Lacking], round: &mut Round) {
        for key in state.lost(share.owner) {
            let step = Step::going(state.table(key.table).kind);
            let changed = state.slot(key).changed;
            let going = &mut round.steps[step as usize];
            let before = going.len();
            let dues = self.lanes_of(key).map(|lane| Due { lane, key });
            going.extend(dues.filter(|due| lacks(lacking, share, step, *due, changed)));
            round.fresh &= going.len() == before;
        }
    }

    /// After new scopes the client asks for the route configurations they name: those of their
    /// owners that it does not watch yet. `owners`: of whom it was sent scopes already.
    fn await_routes(
        &mut self,
        state: &State,
        id: RoundId,
        mut owners: Vec<OwnerId>,
        round: &mut Round,
    ) {
        if self.cache.options().on_demand {
            return;
        }
        let scopes = round.steps[Step::Scopes as usize].iter();
        owners.extend(scopes.map(|scope| state.slot(scope.key).owner));
        owners.sort_unstable();
        owners.dedup();
        for owner in owners {
            for route in state.owned(owner) {
                if state.table(route.table).kind == Kind::Route && !self.wants(*route) {
                    self.await_key(state, *route, id, round);
                }
            }
        }
    }

    /// Nothing of an owner is settled before the client has answered what it asked for of it.
    fn await_answers(&mut self, state: &State, id: RoundId, round: &mut Round) {
        let answers = self.flights.values().filter(|flight| !flight.is_of_round());
        let unanswered: HashSet<Key> =
            answers.flat_map(|flight| flight.parcels.iter().map(|parcel| parcel.key)).collect();
        if unanswered.is_empty() && self.subscriptions.iter().all(|it| it.owed.is_empty()) {
            return;
        }
        let owners: Vec<OwnerId> = round.shares.iter().map(|share| share.owner).collect();
        for key in owners.into_iter().flat_map(|owner| state.owned(owner)) {
            if unanswered.contains(key) || self.is_owed(*key) {
                self.await_key(state, *key, id, round);
            }
        }
    }

    fn await_key(&mut self, state: &State, key: Key, id: RoundId, round: &mut Round) {
        if let Entry::Vacant(awaited) = self.awaited.entry(key) {
            awaited.insert(Awaited { round: id, changed: state.slot(key).changed });
            round.awaiting += 1;
        }
    }

    /// The client does not ask for something any more. If it is a route configuration and scopes that
    /// name it are on their way again, it will ask anew.
    pub(super) fn asked_no_more(&mut self, state: &State, key: Key) {
        if self.wants(key) {
            return;
        }
        if let Some(awaited) = self.awaited.remove(&key)
            && let Some(round) = self.rounds.get_mut(&awaited.round)
        {
            round.awaiting = round.awaiting.saturating_sub(1);
        }
        let slot = state.slot(key);
        let is_route = state.table(key.table).kind == Kind::Route && slot.content.is_some();
        if !is_route || self.cache.options().on_demand {
            return;
        }
        let names_it = |share: &Share| {
            let mut scopes = state
                .owned(slot.owner)
                .iter()
                .filter(|it| state.table(it.table).kind == Kind::Scope);
            share.fate == Fate::UnderWay && scopes.any(|it| share.brings(state.slot(*it).changed))
        };
        let brings = |round: &Round| round.share(slot.owner).is_some_and(names_it);
        let coming =
            self.rounds.iter_mut().rev().find(|(_, it)| it.is_bringing_scopes() && brings(it));
        if let Some((id, round)) = coming {
            self.awaited.insert(key, Awaited { round: *id, changed: slot.changed });
            round.awaiting += 1;
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
