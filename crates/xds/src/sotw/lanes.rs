//! What belongs to a lane, and what happens when one ends.

use tokio::time::Instant;

use super::StateOfTheWorld;
use super::subscription::Subscription;
use crate::cache::Key;
use crate::lane::Lane;

impl StateOfTheWorld {
    pub(super) fn wants(&self, key: Key) -> bool {
        let mut of_table = self.subscriptions.iter().filter(|it| it.table == key.table);
        of_table.any(|it| it.wants(key.slot))
    }

    /// Whether a lane has just ended with something unanswered. It may be the first of all of a
    /// connection's, so what seems to be acknowledged then proves nothing.
    pub(super) fn is_hushed(&self, now: Instant) -> bool {
        self.hushed_until.is_some_and(|until| now < until)
    }

    /// Whether a client has not answered what it should have, and does not ask for elsewhere.
    fn is_doubtful(&self, gone: &Subscription) -> bool {
        let Some(unanswered) = &gone.unanswered else { return false };
        let state = self.cache.read();
        let doubtful = |key: Key| state.slot(key).content.is_some() && !self.wants(key);
        gone.kind.full_state() || unanswered.parcels.iter().any(|parcel| doubtful(parcel.key))
    }

    /// A lane has ended: what was asked for on it is not wanted there any more.
    pub(super) fn close(&mut self, lane: Lane, now: Instant) {
        for gone in self.subscriptions.extract_if(.., |it| it.lane == lane).collect::<Vec<_>>() {
            self.cache.release(gone.table, gone.names.iter());
            if self.is_doubtful(&gone) {
                self.hushed_until = Some(now + self.limits.gather);
            }
            let is_left = self.subscriptions.iter().any(|it| it.table == gone.table && it.wildcard);
            if gone.kind.never_ends() && gone.wildcard && !is_left {
                self.missing.insert(gone.table);
            }
        }
    }
}
