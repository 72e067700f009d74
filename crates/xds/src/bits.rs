//! A set of small integers: what a stream knows of eighty thousand names fits in a few kilobytes.

use std::collections::VecDeque;
use std::sync::Arc;

/// A smaller set is not worth sharing.
const SHARED_WORDS: usize = 32;

/// A growing bit set, which may share its memory with others that are the same.
#[derive(Debug, Default, Clone)]
pub(crate) struct Bits {
    own: Vec<u64>,
    /// In place of its own.
    shared: Option<Arc<[u64]>>,
    count: usize,
}

impl PartialEq for Bits {
    fn eq(&self, other: &Self) -> bool {
        let is_one = match (&self.shared, &other.shared) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            _ => false,
        };
        is_one || (self.count == other.count && self.words() == other.words())
    }
}

impl Bits {
    /// Adds `at`; whether it was new.
    pub(crate) fn insert(&mut self, at: u32) -> bool {
        if self.contains(at) {
            return false;
        }
        let (word, bit) = place(at);
        let words = self.words_mut();
        if word >= words.len() {
            words.resize(word + 1, 0);
        }
        words[word] |= bit;
        self.count += 1;
        true
    }

    /// Takes `at` away; whether it was there. An emptied set gives its memory back.
    pub(crate) fn remove(&mut self, at: u32) -> bool {
        let there = self.contains(at);
        if there && self.count == 1 {
            *self = Self::default();
        } else if there {
            let (word, bit) = place(at);
            self.words_mut()[word] &= !bit;
            self.count -= 1;
        }
        there
    }

    /// Gives back memory that it does not need. Where one of `known` is the same, theirs is shared; who
    /// is none of them becomes one, in the place of the oldest.
    pub(crate) fn share(&mut self, known: &mut VecDeque<Self>, most: usize) {
        if self.own.len() < SHARED_WORDS {
            self.own.shrink_to_fit();
            return;
        }
        if let Some(same) = known.iter().find(|it| **it == *self) {
            *self = same.clone();
            return;
        }
        self.shared = Some(std::mem::take(&mut self.own).into());
        known.truncate(most.saturating_sub(1));
        known.push_front(self.clone());
    }

    pub(crate) fn contains(&self, at: u32) -> bool {
        let (word, bit) = place(at);
        self.words().get(word).is_some_and(|w| w & bit != 0)
    }

    fn words(&self) -> &[u64] {
        self.shared.as_deref().unwrap_or(&self.own)
    }

    /// To be changed: what is shared is copied first.
    fn words_mut(&mut self) -> &mut Vec<u64> {
        if let Some(shared) = self.shared.take() {
            self.own = shared.to_vec();
        }
        &mut self.own
    }

    pub(crate) fn len(&self) -> usize {
        self.count
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Its members, rising.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.words().iter().enumerate().flat_map(|(index, &word)| {
            let mut rest = word;
            std::iter::from_fn(move || {
                let bit = (rest != 0).then(|| rest.trailing_zeros())?;
                rest &= rest - 1;
                Some(index as u32 * 64 + bit)
            })
        })
    }
}

fn place(at: u32) -> (usize, u64) {
    ((at / 64) as usize, 1 << (at % 64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_set() {
        let mut bits = Bits::default();
        for at in [0, 63, 64, 9_000, 64] {
            bits.insert(at);
        }
        assert_eq!(bits.iter().collect::<Vec<_>>(), [0, 63, 64, 9_000]);
        assert!(bits.remove(64) && !bits.remove(64) && !bits.remove(100_000));
        assert_eq!((bits.len(), bits.contains(63), bits.contains(64)), (3, true, false));
        assert!(!bits.insert(0));
    }

    #[test]
    fn sets_that_are_the_same_are_one_until_one_of_them_changes() {
        let mut known = VecDeque::new();
        let set = |more: u32| {
            let mut bits = Bits::default();
            (0..1_000).chain([more]).for_each(|at| _ = bits.insert(at * 64));
            bits
        };
        let place = |bits: &Bits| bits.words().as_ptr();
        let mut all = [set(5_000), set(5_000), set(6_000), set(5_000)];
        all.iter_mut().for_each(|bits| bits.share(&mut known, 2));
        assert_eq!(place(&all[0]), place(&all[1]));
        assert_eq!(place(&all[0]), place(&all[3]));
        assert_ne!(place(&all[0]), place(&all[2]));
        assert!(all[0] == all[1] && all[0] != all[2] && all[0] == set(5_000));
        // What is there already changes nothing.
        assert!(!all[1].insert(64) && !all[1].remove(65));
        assert_eq!(place(&all[0]), place(&all[1]));
        assert!(all[1].insert(65) && all[3].remove(64));
        assert_eq!((all[0].len(), all[1].len(), all[3].len()), (1_001, 1_002, 1_000));
        assert_eq!((all[0].contains(65), all[0].contains(64)), (false, true));
        assert!(all[0] == set(5_000));
        for more in 0..10 {
            set(7_000 + more).share(&mut known, 2);
        }
        assert_eq!(known.len(), 2, "the oldest are forgotten");
    }

    #[test]
    fn a_small_set_holds_no_more_than_it_needs() {
        let mut bits = Bits::default();
        (0..20).for_each(|at| _ = bits.insert(at * 64));
        let mut known = VecDeque::new();
        bits.share(&mut known, 4);
        assert_eq!((bits.own.capacity(), bits.len(), known.len()), (20, 20, 0));
    }

    #[test]
    fn an_emptied_set_holds_no_memory() {
        let mut bits = Bits::default();
        bits.insert(80_000);
        assert!(bits.remove(80_000) && bits.is_empty());
        assert_eq!(bits.own.capacity(), 0);
    }
}
