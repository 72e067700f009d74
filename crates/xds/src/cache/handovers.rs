//! Places that went from owner to owner.
//!
//! A client that has not been told yet that a name is another's may need what its former owner had
//! beside it. A client may be told long after the change was made (it refuses something of the new
//! owner), so this is remembered for as long as there are the place and the former owner.

use std::collections::{BTreeSet, HashMap};

use super::state::{OwnerId, State};
use super::table::Key;

/// See the module. Pairs of a place and a former owner, found from either.
#[derive(Debug, Default)]
pub(super) struct Handovers {
    lost: HashMap<OwnerId, BTreeSet<Key>>,
    former: HashMap<Key, BTreeSet<OwnerId>>,
}

impl Handovers {
    /// An owner has a place no longer, since another has it.
    pub(super) fn note(&mut self, from: OwnerId, key: Key) {
        self.lost.entry(from).or_default().insert(key);
        self.former.entry(key).or_default().insert(from);
    }

    /// A place is free for another name.
    pub(super) fn forget_place(&mut self, key: Key) {
        for owner in self.former.remove(&key).into_iter().flatten() {
            remove_from(&mut self.lost, owner, &key);
        }
    }

    /// An owner is gone, and every stream knows it.
    pub(super) fn forget_owner(&mut self, owner: OwnerId) {
        for key in self.lost.remove(&owner).into_iter().flatten() {
            remove_from(&mut self.former, key, &owner);
        }
    }
}

fn remove_from<K: Eq + std::hash::Hash, V: Ord>(
    all: &mut HashMap<K, BTreeSet<V>>,
    key: K,
    value: &V,
) {
    if let Some(values) = all.get_mut(&key) {
        values.remove(value);
        if values.is_empty() {
            all.remove(&key);
        }
    }
}

impl State {
    /// Places that an owner has lost to another, be they its own again or not.
    pub(crate) fn lost_to_others(&self, owner: OwnerId) -> impl Iterator<Item = Key> + '_ {
        self.handovers.lost.get(&owner).into_iter().flatten().copied()
    }

    /// Whether an owner has anything that was another's.
    pub(crate) fn has_from_others(&self, owner: OwnerId) -> bool {
        let is_from_another = |key: &Key| self.handovers.former.contains_key(key);
        !self.handovers.former.is_empty() && self.owned(owner).iter().any(is_from_another)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACES: [Key; 2] = [Key { table: 0, slot: 1 }, Key { table: 0, slot: 2 }];

    #[test]
    fn what_is_forgotten_leaves_nothing() {
        let mut handovers = Handovers::default();
        for (owner, key) in [(1, PLACES[0]), (1, PLACES[1]), (2, PLACES[0])] {
            handovers.note(owner, key);
            handovers.note(owner, key);
        }
        assert_eq!((handovers.lost.len(), handovers.former.len()), (2, 2));
        handovers.forget_owner(1);
        assert_eq!((handovers.lost.len(), handovers.former.len()), (1, 1));
        handovers.forget_place(PLACES[0]);
        assert!(handovers.lost.is_empty() && handovers.former.is_empty());
    }
}
