//! One change on its way to one client: steps, each acknowledged before the next.

use std::sync::Arc;

use tokio::time::Instant;

use crate::cache::{Key, Owner, OwnerId};
use crate::kind::Step;
use crate::lane::Lane;

/// Builds upon nothing.
pub(super) const EVERYTHING: u64 = 0;

/// Owners that share a round.
pub(super) const SHARES_MAX: usize = 256;

/// A round's number on its stream.
pub(super) type RoundId = u64;

/// What has become of an owner's part in a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    UnderWay,
    /// The client refused something of it: what comes later is not sent.
    Refused,
    /// The owner changed again before all was sent. What is newer may lean on what is not sent
    /// yet, so the rest goes in another round, from the first step.
    Superseded,
}

/// One owner's part in a round.
#[derive(Debug)]
pub(super) struct Share {
    pub(super) owner: OwnerId,
    /// The cache may have forgotten an owner who is gone before the client has acknowledged that.
    pub(super) name: Owner,
    /// The client has what the owner had at this sequence number.
    pub(super) from: u64,
    /// That is not so: it came back, and what it lacked is in the round. If that does not end well,
    /// what follows builds upon nothing.
    pub(super) is_whole: bool,
    /// The round brings it to this one.
    pub(super) upto: u64,
    /// What an earlier round that did not end well has brought already.
    pub(super) had: Option<Brought>,
    pub(super) fate: Fate,
    /// Rounds of the owner that began later and ended sooner brought it to this.
    pub(super) later: Option<u64>,
    /// It ended while the client had not asked for its route configurations.
    pub(super) is_awaited: bool,
    /// What this round has brought, when it does not end well.
    pub(super) brought: Option<Brought>,
    /// Removals that were not sent because of that.
    pub(super) unsent: Vec<Farewell>,
}

/// The steps before `step`, of what had changed at `upto` or before.
#[derive(Debug, Clone, Copy)]
pub(super) struct Brought {
    pub(super) upto: u64,
    pub(super) step: usize,
}

impl Share {
    /// Whether the client is known not to have had what was `born` then.
    pub(super) fn knows_new(&self, born: u64) -> bool {
        self.from != EVERYTHING && self.had.is_none() && born > self.from
    }

    /// Whether it was made of what changed then.
    pub(super) fn brings(&self, changed: u64) -> bool {
        (self.from < changed || self.is_whole) && changed <= self.upto
    }

    /// Whether the client lacks what changed at `changed` and goes in `step`.
    pub(super) fn lacks(&self, changed: u64, step: Step) -> bool {
        let had = self.had.is_some_and(|had| changed <= had.upto && (step as usize) < had.step);
        changed > self.from && !had
    }
}

/// A resource to be sent, or to be told as removed, on a lane.
#[derive(Debug, Clone, Copy)]
pub(super) struct Due {
    pub(super) lane: Lane,
    pub(super) key: Key,
}

/// A name to be removed of which the cache may know nothing any more.
#[derive(Debug, Clone)]
pub(super) struct Farewell {
    pub(super) lane: Lane,
    pub(super) table: u16,
    pub(super) name: Arc<str>,
    pub(super) owner: OwnerId,
    pub(super) step: Step,
    /// What changed later is its owner's business. None: it is that owner's.
    pub(super) upto: Option<u64>,
}

/// One owner's change; or those of many, when many are waiting or the client was away.
#[derive(Debug, Default)]
pub(super) struct Round {
    /// By owner.
    pub(super) shares: Vec<Share>,
    /// Nothing of these owners is live at the client: no step need wait for another.
    pub(super) fresh: bool,
    pub(super) steps: [Vec<Due>; Step::COUNT],
    pub(super) farewells: Vec<Farewell>,
    /// The step it is at; [`Step::COUNT`] when all is sent.
    pub(super) at: usize,
    pub(super) unacked: [u32; Step::COUNT],
    /// Responses whose effect was seen, while their acknowledgement is held up.
    pub(super) unconfirmed: u32,
    /// Route configurations that the client is expected to ask for.
    pub(super) awaiting: u32,
    /// The client does not use a cluster that it has acknowledged: it waits for its endpoints.
    pub(super) warming: bool,
    /// When the step it is at was last spoken of.
    pub(super) since: Option<Instant>,
    /// It has waited long enough for what it is awaiting.
    pub(super) impatient: bool,
}

impl Round {
    /// Whether all is sent.
    pub(super) fn is_sent(&self) -> bool {
        self.at == Step::COUNT
    }

    /// Whether its current step has something to send.
    pub(super) fn is_loaded(&self) -> bool {
        !self.is_sent()
            && (!self.steps[self.at].is_empty()
                || self.farewells.iter().any(|farewell| farewell.step as usize == self.at))
    }

    /// Whether its current step waits for the client.
    pub(super) fn waits(&self) -> bool {
        let unacked = !self.fresh && self.unacked[self.at] > 0;
        let warming = !self.fresh && self.at == Step::Clusters as usize && self.warming;
        unacked || warming || (self.at == Step::Scopes as usize && self.awaiting > 0)
    }

    /// Whether the client has yet to take its scopes.
    pub(super) fn is_bringing_scopes(&self) -> bool {
        self.at <= Step::Scopes as usize || self.unacked[Step::Scopes as usize] > 0
    }

    /// Whether all is sent, and something is still to be asked for.
    pub(super) fn is_awaited(&self) -> bool {
        self.is_sent() && self.awaiting > 0
    }

    /// Whether nothing is outstanding.
    pub(super) fn is_done(&self) -> bool {
        self.is_sent()
            && self.unconfirmed == 0
            && self.unacked.iter().all(|count| *count == 0)
            && self.awaiting == 0
            && (!self.warming || self.impatient)
    }

    pub(super) fn share(&self, owner: OwnerId) -> Option<&Share> {
        let at = self.shares.binary_search_by_key(&owner, |share| share.owner).ok()?;
        self.shares.get(at)
    }

    pub(super) fn share_mut(&mut self, owner: OwnerId) -> Option<&mut Share> {
        let at = self.shares.binary_search_by_key(&owner, |share| share.owner).ok()?;
        self.shares.get_mut(at)
    }

    /// Ends an owner's part; the first fate counts.
    pub(super) fn doom(&mut self, owner: OwnerId, fate: Fate) {
        if let Some(share) = self.share_mut(owner)
            && share.fate == Fate::UnderWay
        {
            share.fate = fate;
        }
    }

    /// Whether the content that came with `changed` belongs to this round.
    pub(super) fn covers(&self, owner: OwnerId, changed: u64) -> bool {
        self.share(owner).is_some_and(|share| changed <= share.upto)
    }

    /// The lowest sequence number that it builds upon.
    pub(super) fn from(&self) -> Option<u64> {
        self.shares.iter().map(|share| share.from).min()
    }
}
