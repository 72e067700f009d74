//! What a stream asked for of one type.

use std::sync::Arc;

use crate::bits::Bits;
use crate::kind::Kind;
use crate::lane::Lane;

/// A subscription: state of a few kilobytes, however many names there are.
#[derive(Debug)]
pub(super) struct Subscription {
    pub(super) lane: Lane,
    pub(super) table: u16,
    pub(super) kind: Kind,
    /// Everything of the type.
    pub(super) wildcard: bool,
    /// What was named. Held in the cache, so that places are not used for other names.
    pub(super) names: Bits,
    /// What must be sent at once, because it was asked for.
    pub(super) owed: Bits,
    /// Names to answer as removed, that are no longer subscribed.
    pub(super) farewells: Vec<Arc<str>>,
    /// An answer is due even if it is empty.
    pub(super) greet: bool,
    /// Answers without an acknowledgement.
    pub(super) in_flight: usize,
}

impl Subscription {
    pub(super) fn new(lane: Lane, table: u16, kind: Kind) -> Self {
        Self {
            lane,
            table,
            kind,
            wildcard: false,
            names: Bits::default(),
            owed: Bits::default(),
            farewells: Vec::new(),
            greet: false,
            in_flight: 0,
        }
    }

    pub(super) fn wants(&self, slot: u32) -> bool {
        self.wildcard || self.names.contains(slot)
    }

    /// Whether nothing that was asked for is unanswered.
    pub(super) fn is_answered(&self) -> bool {
        self.owed.is_empty() && !self.greet && self.farewells.is_empty() && self.in_flight == 0
    }
}
