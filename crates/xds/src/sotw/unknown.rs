//! Names of nothing: a stream remembers so many.

use super::subscription::Subscription;
use crate::cache::{Key, State};
use crate::metrics;

impl Subscription {
    /// Of too many names of nothing those that were just added are not remembered; which they are.
    /// (The client names them again with its next request, and may then find room.)
    pub(super) fn forget_unknown(
        &mut self,
        state: &State,
        added: &mut Vec<u32>,
        most: usize,
    ) -> Vec<u32> {
        if added.is_empty() || self.names.len() <= most {
            return Vec::new();
        }
        let table = self.table;
        let is_unknown = |at: &u32| state.slot(Key { table, slot: *at }).content.is_none();
        let mut excess = self.names.iter().filter(is_unknown).count().saturating_sub(most);
        let mut forgotten = Vec::new();
        added.retain(|at| {
            let forget = excess > 0 && is_unknown(at);
            if forget {
                excess -= 1;
                forgotten.push(*at);
            }
            !forget
        });
        for at in &forgotten {
            self.names.remove(*at);
        }
        metrics::forgotten(state.table(table).url.as_str(), forgotten.len());
        forgotten
    }
}
