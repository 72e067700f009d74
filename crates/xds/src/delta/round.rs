//! One change on its way to one client: steps, each acknowledged before the next.

use std::sync::Arc;

use tokio::time::Instant;

use crate::cache::{Key, OwnerId};
use crate::kind::Step;

/// A round's number on its stream.
pub(super) type RoundId = u64;

/// One owner's part in a round.
#[derive(Debug)]
pub(super) struct Share {
    pub(super) owner: OwnerId,
    /// The client has what the owner had at this sequence number.
    pub(super) from: u64,
    /// The round brings it to this one.
    pub(super) upto: u64,
    /// The client refused something of it: what comes later in the round is not sent.
    pub(super) refused: bool,
    /// Removals that were not sent because of that.
    pub(super) unsent: Vec<Farewell>,
}

/// A name to be removed of which the cache may know nothing any more.
#[derive(Debug, Clone)]
pub(super) struct Farewell {
    pub(super) table: u16,
    pub(super) name: Arc<str>,
    pub(super) owner: OwnerId,
    pub(super) step: Step,
}

/// One owner's change; or those of many, when many are waiting; or what changed while the client
/// was away.
#[derive(Debug, Default)]
pub(super) struct Round {
    pub(super) shares: Vec<Share>,
    /// Nothing of these owners is live at the client: no step need wait for another.
    pub(super) fresh: bool,
    pub(super) steps: [Vec<Key>; Step::COUNT],
    pub(super) farewells: Vec<Farewell>,
    /// The step it is at; [`Step::COUNT`] when all is sent.
    pub(super) at: usize,
    pub(super) unacked: [u32; Step::COUNT],
    /// Route configurations that the client is expected to ask for.
    pub(super) awaiting: u32,
    /// Nothing is sent before.
    pub(super) gather_until: Option<Instant>,
    /// When the step it is at was last heard or spoken of.
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
        unacked || (self.at == Step::Scopes as usize && self.awaiting > 0)
    }

    /// Whether nothing is outstanding.
    pub(super) fn is_done(&self) -> bool {
        self.is_sent()
            && self.unacked.iter().all(|count| *count == 0)
            && (self.awaiting == 0 || self.impatient)
    }

    pub(super) fn share_mut(&mut self, owner: OwnerId) -> Option<&mut Share> {
        self.shares.iter_mut().find(|share| share.owner == owner)
    }

    pub(super) fn is_refused(&self, owner: OwnerId) -> bool {
        self.shares.iter().any(|share| share.owner == owner && share.refused)
    }

    /// The lowest sequence number that it builds upon.
    pub(super) fn from(&self) -> Option<u64> {
        self.shares.iter().map(|share| share.from).min()
    }
}
