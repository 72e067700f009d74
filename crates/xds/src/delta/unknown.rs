//! Names of nothing: a stream remembers so many, and answers the rest without remembering them.

use super::Delta;
use crate::cache::{Key, State};
use crate::lane::Lane;
use crate::metrics;

impl Delta {
    /// Takes down names of nothing that were just asked for. Of too many the oldest are
    /// forgotten: what comes there later is not told, until the client asks again or comes back.
    pub(super) fn note_unknown(&mut self, lane: Lane, table: u16, unknown: &[u32]) {
        if unknown.is_empty() {
            return;
        }
        let cache = self.cache.clone();
        let forgotten = {
            let state = cache.read();
            let unknown = unknown.iter().map(|at| Key { table, slot: *at });
            self.unknown.extend(unknown.map(|key| (lane, key)));
            self.forget_unknown(&state)
        };
        for key in forgotten {
            cache.release(key.table, std::iter::once(key.slot));
        }
    }

    fn forget_unknown(&mut self, state: &State) -> Vec<Key> {
        let most = self.limits.unknown_names;
        if self.unknown.len() <= most {
            return Vec::new();
        }
        let mut unknown = std::mem::take(&mut self.unknown);
        unknown.retain(|(lane, key)| {
            let named =
                self.subscription(*lane, key.table).is_some_and(|s| s.names.contains(key.slot));
            named && state.slot(*key).content.is_none()
        });
        let excess = unknown.len().saturating_sub(most);
        let forgotten: Vec<(Lane, Key)> = unknown.drain(..excess).collect();
        self.unknown = unknown;
        for (lane, key) in &forgotten {
            metrics::forgotten(state.table(key.table).url.as_str(), 1);
            let Some(subscription) = self.subscription_mut(*lane, key.table) else { continue };
            subscription.names.remove(key.slot);
            if subscription.owed.remove(key.slot) {
                subscription.farewells.push(state.name(*key).clone());
            }
        }
        forgotten.into_iter().map(|(_, key)| key).collect()
    }
}
