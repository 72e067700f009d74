//! The chain of the audit log: what each entry's hash covers.
//!
//! An entry's hash covers the hash before it, its place, its time, its writer and its text. Whoever
//! changes one must change all after it, and the last of them is known elsewhere.

use std::fmt;

use model::Millis;
use sha2::{Digest, Sha256};

/// A hash of the chain; before the first entry it is all zeros.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Hash(pub [u8; 32]);

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An entry as its hash sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link<'a> {
    /// Its place: 1, 2, 3.
    pub seq: u64,
    /// When it was written.
    pub at: Millis,
    /// Who wrote it.
    pub writer: &'a str,
    /// The entry as JSON, byte for byte as it is stored.
    pub text: &'a str,
}

impl Link<'_> {
    /// SHA-256 of: the hash before (32 bytes), `seq` and `at` (8 bytes each, big-endian), the length
    /// of `writer` in bytes (8 bytes, big-endian), `writer`, `text`.
    pub fn hash(&self, previous: &Hash) -> Hash {
        let mut digest = Sha256::new();
        digest.update(previous.0);
        digest.update(self.seq.to_be_bytes());
        digest.update(self.at.to_be_bytes());
        digest.update((self.writer.len() as u64).to_be_bytes());
        digest.update(self.writer);
        digest.update(self.text);
        Hash(digest.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINK: Link<'_> = Link { seq: 1, at: 2, writer: "ab", text: "{}" };

    #[test]
    fn the_hash_is_the_one_that_the_reference_tells() {
        // printf '%064d%016d%016d%016d' 0 1 2 2 | xxd -r -p ; printf 'ab{}'; … | sha256sum
        let expected = "4af07717a7770cb674b4f656fce65de900aab94adb4f1099c60f142c4273b74a";
        assert_eq!(LINK.hash(&Hash::default()).to_string(), expected);
    }

    #[test]
    fn each_part_counts() {
        let hash = LINK.hash(&Hash::default());
        for (other, previous) in [
            (LINK, hash),
            (Link { seq: 2, ..LINK }, Hash::default()),
            (Link { at: 3, ..LINK }, Hash::default()),
            (Link { writer: "a", text: "b{}", ..LINK }, Hash::default()),
            (Link { writer: "ac", ..LINK }, Hash::default()),
            (Link { text: "{ }", ..LINK }, Hash::default()),
        ] {
            assert_ne!(other.hash(&previous), hash, "{other:?}");
        }
    }
}
