//! The chain of the audit log: what each entry's hash covers.
//!
//! An entry's hash covers the hash before it, its place, its time, its writer and its text. Whoever
//! changes one must change all after it, and the last of them is known elsewhere.

use std::fmt;
use std::str::FromStr;

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use model::Millis;
use sha2::{Digest, Sha256};

use crate::{AuditHead, AuditRecord};

/// The action of an entry with which another store goes on with a log.
pub const RESTORE: &str = "platform.restore";

/// A hash of the chain; before the first entry it is all zeros.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Hash(pub [u8; 32]);

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Text that is not what it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is not `SEQ:HASH`, a number and 64 hexadecimal digits, as the log stream tells a head")]
pub struct NotAHead;

impl FromStr for Hash {
    type Err = NotAHead;

    fn from_str(text: &str) -> Result<Self, NotAHead> {
        let bytes = HEXLOWER_PERMISSIVE.decode(text.as_bytes()).map_err(|_| NotAHead)?;
        Ok(Self(bytes.try_into().map_err(|_| NotAHead)?))
    }
}

impl FromStr for AuditHead {
    type Err = NotAHead;

    fn from_str(text: &str) -> Result<Self, NotAHead> {
        let (seq, hash) = text.split_once(':').ok_or(NotAHead)?;
        Ok(Self { seq: seq.parse().map_err(|_| NotAHead)?, hash: hash.parse()? })
    }
}

impl fmt::Display for AuditHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.seq, self.hash)
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

/// Why a log is not what was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// The place after the last good entry is another's.
    #[error("entry {expected} is missing: after entry {} comes entry {found}", .expected - 1)]
    Missing {
        /// Which should come.
        expected: u64,
        /// Which comes.
        found: u64,
    },
    /// An entry does not have the hash that its content, and the entry before, give.
    #[error(
        "entry {seq} is not what was written: with the entries before it its hash is {computed}, \
         and it says {said}"
    )]
    Changed {
        /// Which.
        seq: u64,
        /// What the content gives.
        computed: Hash,
        /// What stands there.
        said: Hash,
    },
    /// An entry names another writer than the one before, and is no restore.
    #[error(
        "entry {seq} was written by another store ({writer}) than the entry before, and is no \
         restore"
    )]
    Stranger {
        /// Which.
        seq: u64,
        /// By whom.
        writer: String,
    },
    /// A head that was told names another entry.
    #[error(
        "entry {seq} is another one than was told: its hash is {found}, and the head says {told}. \
         The log was written anew since{}", hint(*.restored)
    )]
    Rewritten {
        /// Which.
        seq: u64,
        /// Its hash here.
        found: Hash,
        /// The hash that was told.
        told: Hash,
        /// The first restore at or before that place, which would explain it.
        restored: Option<u64>,
    },
    /// A head that was told is beyond the end.
    #[error(
        "the log ends at entry {last}, and entry {told} was told: what came after the end was cut \
         off{}", hint(*.restored)
    )]
    Cut {
        /// Where it ends.
        last: u64,
        /// The head that was told.
        told: u64,
        /// The last restore, which would explain it.
        restored: Option<u64>,
    },
}

fn hint(restored: Option<u64>) -> String {
    restored.map_or(String::new(), |seq| {
        format!(
            ", unless that head is of the state that the restore of entry {seq} replaced: then \
             verify the state that was moved aside"
        )
    })
}

/// Follows a log from its first entry, and stops at the first that is not what was written.
#[derive(Debug, Default)]
pub struct Check {
    last: AuditHead,
    writer: Option<String>,
    restored: Option<u64>,
    heads: Vec<AuditHead>,
}

impl Check {
    /// A check that also looks for these heads, which were told while the log was written.
    pub fn new(heads: Vec<AuditHead>) -> Self {
        Self { heads, ..Self::default() }
    }

    /// The next entry.
    ///
    /// # Errors
    /// It is not what was written; nothing after it can be trusted.
    pub fn next(&mut self, record: &AuditRecord) -> Result<(), Broken> {
        let AuditRecord { seq, hash, writer, .. } = record;
        let expected = self.last.seq + 1;
        if *seq != expected {
            return Err(Broken::Missing { expected, found: *seq });
        }
        let computed = record.link().hash(&self.last.hash);
        if computed != *hash {
            return Err(Broken::Changed { seq: *seq, computed, said: *hash });
        }
        let is_restore = record.entry().is_ok_and(|entry| entry.action == RESTORE);
        let is_strange = self.writer.as_ref().is_some_and(|known| known != writer);
        if is_strange && !is_restore {
            return Err(Broken::Stranger { seq: *seq, writer: writer.clone() });
        }
        if is_restore {
            self.restored = Some(*seq);
        }
        if let Some(told) = self.heads.iter().find(|head| head.seq == *seq && head.hash != *hash) {
            let (told, restored) = (told.hash, self.restored);
            return Err(Broken::Rewritten { seq: *seq, found: *hash, told, restored });
        }
        self.writer = Some(writer.clone());
        self.last = AuditHead { seq: *seq, hash: *hash };
        Ok(())
    }

    /// There is no next entry; the head of the log.
    ///
    /// # Errors
    /// A head that was told is beyond it.
    pub fn end(self) -> Result<AuditHead, Broken> {
        let last = self.last.seq;
        match self.heads.iter().map(|head| head.seq).filter(|seq| *seq > last).min() {
            Some(told) => Err(Broken::Cut { last, told, restored: self.restored }),
            None => Ok(self.last),
        }
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
