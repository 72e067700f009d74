//! A set of small integers: what a stream knows of eighty thousand names fits in a few kilobytes.

/// A growing bit set.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Bits {
    words: Vec<u64>,
    count: usize,
}

impl Bits {
    /// Adds `at`; whether it was new.
    pub(crate) fn insert(&mut self, at: u32) -> bool {
        let (word, bit) = place(at);
        if word >= self.words.len() {
            self.words.resize(word + 1, 0);
        }
        let new = self.words[word] & bit == 0;
        self.words[word] |= bit;
        self.count += usize::from(new);
        new
    }

    /// Takes `at` away; whether it was there. An emptied set gives its memory back.
    pub(crate) fn remove(&mut self, at: u32) -> bool {
        let (word, bit) = place(at);
        let there = self.words.get(word).is_some_and(|w| w & bit != 0);
        if there {
            self.words[word] &= !bit;
            self.count -= 1;
            if self.count == 0 {
                self.words = Vec::new();
            }
        }
        there
    }

    /// Gives back memory that growing took and that is not needed.
    pub(crate) fn fit(&mut self) {
        self.words.shrink_to_fit();
    }

    pub(crate) fn contains(&self, at: u32) -> bool {
        let (word, bit) = place(at);
        self.words.get(word).is_some_and(|w| w & bit != 0)
    }

    pub(crate) fn len(&self) -> usize {
        self.count
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Its members, rising.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.words.iter().enumerate().flat_map(|(index, &word)| {
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
    fn a_set_that_fits_holds_no_more_than_it_needs() {
        let mut bits = Bits::default();
        (0..1_000).for_each(|at| _ = bits.insert(at * 64));
        bits.fit();
        assert_eq!((bits.words.capacity(), bits.len()), (1_000, 1_000));
    }

    #[test]
    fn an_emptied_set_holds_no_memory() {
        let mut bits = Bits::default();
        bits.insert(80_000);
        assert!(bits.remove(80_000) && bits.is_empty());
        assert_eq!(bits.words.capacity(), 0);
    }
}
