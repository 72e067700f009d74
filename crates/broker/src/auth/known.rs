//! Who came in before, so that not each request asks the store: a bounded memory that a revocation
//! empties at once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::{AccessHash, CredentialId, Millis, Principal};
use store::Held;

use crate::principal::{Entered, How};

/// Credentials that are remembered: some 1 MiB.
const KNOWN_MAX: usize = 4_096;

/// Somebody who came in.
pub(super) struct Entry {
    /// Who, and how.
    pub(super) entered: Entered,
    /// When it is to be looked up again.
    pub(super) until: Option<Millis>,
    /// The credential of the store, and when it was last noted as used.
    pub(super) used: Option<(CredentialId, Option<Millis>)>,
}

impl Entry {
    /// Of a credential that lives.
    pub(super) fn of(held: Held) -> Self {
        let Held { credential, secret_until } = held;
        let until = [credential.expires_at, secret_until].into_iter().flatten().min();
        let name = String::from(credential.name);
        let who = Arc::new(Principal { credential: name, role: credential.role });
        let used = Some((credential.id, credential.last_used_at));
        Self { entered: Entered { who, how: How::Credential, until }, until, used }
    }
}

/// What is remembered, and under which number of takings-away.
#[derive(Default)]
struct Memory {
    taken: u64,
    entries: HashMap<AccessHash, Entry>,
}

/// A memory of who came in.
#[derive(Default)]
pub(super) struct Known(Mutex<Memory>);

impl Known {
    /// The memory, empty if something was taken away since.
    fn at(&self, taken: u64) -> MutexGuard<'_, Memory> {
        let mut memory = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if memory.taken < taken {
            memory.entries.clear();
            memory.taken = taken;
        }
        memory
    }

    /// Who this is, if that is known and holds.
    pub(super) fn get(&self, key: &AccessHash, taken: u64, now: Millis) -> Option<Entered> {
        let mut memory = self.at(taken);
        let entry = memory.entries.get(key)?;
        if entry.until.is_some_and(|until| now >= until) {
            memory.entries.remove(key);
            return None;
        }
        Some(entry.entered.clone())
    }

    /// Remembers what was looked up when so much was taken away; if more was meanwhile, it is not
    /// worth remembering.
    pub(super) fn keep(&self, key: AccessHash, entry: Entry, taken: u64) {
        let mut memory = self.at(taken);
        if memory.taken != taken {
            return;
        }
        // Any goes: it is looked up once more.
        if memory.entries.len() >= KNOWN_MAX
            && let Some(other) = memory.entries.keys().next().copied()
        {
            memory.entries.remove(&other);
        }
        memory.entries.insert(key, entry);
    }

    /// The credential whose use is to be noted now, as it was not for so long.
    pub(super) fn to_note(
        &self,
        key: &AccessHash,
        now: Millis,
        pause: Millis,
    ) -> Option<CredentialId> {
        let mut memory = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (id, noted) = memory.entries.get_mut(key)?.used.as_mut()?;
        if noted.is_some_and(|noted| now < noted.saturating_add(pause)) {
            return None;
        }
        *noted = Some(now);
        Some(id.clone())
    }
}

#[cfg(test)]
mod tests {
    use model::Role;

    use super::*;

    fn entry(until: Option<Millis>) -> Entry {
        let who = Arc::new(Principal { credential: "ann".to_owned(), role: Role::Operator });
        Entry { entered: Entered { who, how: How::Credential, until }, until, used: None }
    }

    fn key(number: u32) -> AccessHash {
        let mut bytes = [0; 32];
        bytes[..4].copy_from_slice(&number.to_be_bytes());
        AccessHash(bytes)
    }

    #[test]
    fn what_was_read_before_a_revocation_is_worth_nothing_after_it() {
        let known = Known::default();
        known.keep(key(1), entry(None), 0);
        assert!(known.get(&key(1), 0, 0).is_some());
        assert!(known.get(&key(1), 1, 0).is_none(), "something was taken away");
        known.keep(key(1), entry(None), 0);
        assert!(known.get(&key(1), 1, 0).is_none(), "it was read before that");
        known.keep(key(1), entry(None), 1);
        assert!(known.get(&key(1), 1, 0).is_some());
    }

    #[test]
    fn an_end_is_an_end_and_memory_is_bounded() {
        let known = Known::default();
        known.keep(key(1), entry(Some(10)), 0);
        assert!(known.get(&key(1), 0, 9).is_some());
        assert!(known.get(&key(1), 0, 10).is_none());
        for number in 0..u32::try_from(KNOWN_MAX).unwrap() + 10 {
            known.keep(key(number), entry(None), 0);
        }
        assert_eq!(known.0.lock().unwrap().entries.len(), KNOWN_MAX);
    }
}
