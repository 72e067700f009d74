//! A second cache beside a first one, for clients that get changes before the others do.
//!
//! Both have the same sequence numbers, as long as every change of the one is a
//! [step](Cache::pass) of the other, and share their bytes.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use model::TypeUrl;

use super::content::Content;
use super::state::{NOBODY, OwnerId, State};
use super::table::Key;
use super::{Cache, Owner};

impl Cache {
    /// A cache with all that this one has, at the same sequence number; open and guarded like it.
    #[must_use]
    pub fn fork(&self) -> Self {
        let fork = Self { is_fork: true, ..Self::new(self.options) };
        *fork.write() = self.read().fork();
        fork.reached.store(self.reached(), Ordering::Release);
        fork.completed.store(self.completed(), Ordering::Release);
        fork.beat.send_replace(*self.beat.borrow());
        fork
    }

    /// Whether it was made by [`Cache::fork`].
    pub fn is_fork(&self) -> bool {
        self.is_fork
    }

    /// Nothing changes, but the sequence number rises by one. Nobody is woken.
    pub fn pass(&self) -> u64 {
        let mut state = self.write();
        state.seq += 1;
        state.log.push_back(NOBODY);
        state.bury();
        state.seq
    }

    /// Makes what `owner` has here what it has in `other`, and takes away what is `gone` there,
    /// whosever it is here; returns the sequence number, which rises by one. Bytes are shared;
    /// those that are the same already get the other's version, and are sent again only if they were
    /// another owner's.
    pub fn follow(&self, other: &Self, owner: &Owner, gone: &[(TypeUrl, Arc<str>)]) -> u64 {
        let seq = {
            let other = other.read();
            let mut state = self.write();
            let seq = state.follow(&other, owner, gone);
            state.bury();
            seq
        };
        self.beat(seq);
        seq
    }
}

impl State {
    fn fork(&self) -> Self {
        let mut fork = Self::at(self.seq);
        for key in self.keys() {
            let (slot, url) = (self.slot(key), &self.table(key.table).url);
            let Some(content) = &slot.content else { continue };
            let id = fork.owner_id(&self.owner(slot.owner));
            fork.adopt(id, url, &slot.name, content);
            fork.dates(id, self.owner_seq(slot.owner), self.owner_born(slot.owner));
        }
        fork
    }

    fn follow(&mut self, other: &Self, owner: &Owner, gone: &[(TypeUrl, Arc<str>)]) -> u64 {
        self.seq += 1;
        let id = self.owner_id(owner);
        let had = !self.owned(id).is_empty();
        let theirs = other.keys_of(owner);
        for key in self.owned(id).to_vec() {
            let (url, name) = (self.table(key.table).url.clone(), self.name(key).clone());
            if !other.there(&url, &name).is_some_and(|key| theirs.contains(&key)) {
                self.take(id, &url, &name);
            }
        }
        for (url, name) in gone {
            if other.there(url, name).is_none()
                && let Some(key) = self.there(url, name)
            {
                // Whoever had it: the change that takes it away is this owner's.
                self.own(id, key);
                self.take(id, url, name);
            }
        }
        for key in other.keys_of(owner) {
            let (slot, url) = (other.slot(*key), &other.table(key.table).url);
            if let Some(content) = &slot.content {
                self.adopt(id, url, &slot.name, content);
            }
        }
        self.enter(id, had);
        self.seq
    }

    /// Where something is.
    pub(super) fn there(&self, url: &TypeUrl, name: &str) -> Option<Key> {
        let key = self.find(self.table_of(url.as_str())?, name)?;
        self.slot(key).content.is_some().then_some(key)
    }

    /// Puts the other's content at its name.
    fn adopt(&mut self, id: OwnerId, url: &TypeUrl, name: &Arc<str>, content: &Content) {
        // A type that the other has room for, this one has room for.
        let Some(table) = self.make_table(url.as_str()) else { return };
        let key = self.place(table, name.clone());
        let is_taken = self.own(id, key);
        let content = content.clone().since(self.seq);
        let now = self.slot(key).content.as_ref().map(|now| now.version);
        match now {
            _ if is_taken => self.swap_in(id, key, content),
            Some(now) if now == content.version => {}
            Some(now) if now.hash == content.version.hash => {
                self.tables[key.table as usize].renew(key.slot, content);
            }
            _ => self.swap_in(id, key, content),
        }
    }
}

#[cfg(test)]
#[path = "fork_tests.rs"]
mod tests;
