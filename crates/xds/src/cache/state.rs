//! What a cache holds, behind its lock.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use model::{Resource, TypeUrl};

use super::content::Content;
use super::excuse::Excuses;
use super::graves::{Floor, Floors, Grave, What};
use super::handovers::Handovers;
use super::table::{Key, Slot, Table};
use super::{Change, Entry, Owner, Place};
use crate::bits::Bits;

/// For each change since they were asked last so many streams are asked what they still need.
const STREAMS_ASKED: usize = 32;
/// Types a cache knows. Clients may ask for any; more than this are refused.
const TYPES_MAX: usize = 64;
/// Changes and removals that are kept for streams that lag. A stream that lags more is closed, and
/// says what it has when it comes back.
const HISTORY_MAX: usize = 1_000_000;

/// Bytes of resources that went or were replaced, kept for state-of-the-world streams that are in
/// the middle of something: four times what 20,000 instances are.
const PAST_BYTES_MAX: usize = 512 << 20;

/// An owner, by a number that is never used again.
pub(crate) type OwnerId = u64;
/// The first owner is 1.
pub(crate) const NOBODY: OwnerId = 0;

#[derive(Debug)]
struct OwnerState {
    name: Owner,
    /// Its last change.
    seq: u64,
    /// When it last came to have anything.
    born: u64,
    keys: Vec<Key>,
    /// What it had, and some stream may not have heard of yet.
    gone: Vec<Key>,
}

/// A table as it was.
#[derive(Debug)]
pub(crate) struct View<'a> {
    table: &'a Table,
    at: u64,
    past: HashMap<u32, Option<&'a Content>>,
}

impl<'a> View<'a> {
    /// The places where something else was.
    pub(crate) fn past(&self) -> impl Iterator<Item = u32> {
        self.past.keys().copied()
    }

    /// The name of a place, by now.
    pub(crate) fn name(&self, at: u32) -> &'a Arc<str> {
        &self.table.slot(at).name
    }

    /// What was at a place.
    pub(crate) fn of(&self, at: u32) -> Option<&'a Content> {
        let slot = self.table.slot(at);
        match slot.changed <= self.at {
            true => slot.content.as_ref(),
            false => self.past.get(&at).copied().flatten(),
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct State {
    pub(super) seq: u64,
    pub(super) tables: Vec<Table>,
    owners: HashMap<OwnerId, OwnerState>,
    owner_index: HashMap<Owner, OwnerId>,
    last_owner: OwnerId,
    /// Whose each of the last changes was; the last is that of `seq`.
    pub(super) log: VecDeque<OwnerId>,
    graves: VecDeque<Grave>,
    past_bytes: usize,
    floors: Floors,
    pub(super) handovers: Handovers,
    pub(super) excuses: Excuses,
}

impl State {
    /// Empty, and without history.
    pub(super) fn at(seq: u64) -> Self {
        Self { seq, ..Self::default() }
    }

    pub(crate) fn seq(&self) -> u64 {
        self.seq
    }

    /// History is whole after this sequence number.
    pub(crate) fn horizon(&self) -> u64 {
        self.seq - self.log.len() as u64
    }

    pub(crate) fn stand(&self, past: bool) -> Floor {
        self.floors.add(self.seq, past)
    }

    pub(crate) fn tables(&self) -> impl Iterator<Item = &Table> {
        self.tables.iter()
    }

    pub(crate) fn table(&self, table: u16) -> &Table {
        &self.tables[table as usize]
    }

    pub(crate) fn table_of(&self, type_url: &str) -> Option<u16> {
        self.tables.iter().position(|table| table.url.as_str() == type_url).map(|at| at as u16)
    }

    pub(super) fn make_table(&mut self, type_url: &str) -> Option<u16> {
        if let Some(table) = self.table_of(type_url) {
            return Some(table);
        }
        (self.tables.len() < TYPES_MAX).then(|| {
            self.tables.push(Table::new(type_url));
            (self.tables.len() - 1) as u16
        })
    }

    pub(crate) fn find(&self, table: u16, name: &str) -> Option<Key> {
        self.table(table).find(name).map(|slot| Key { table, slot })
    }

    /// Where each of many names is.
    pub(crate) fn find_all(&self, table: u16, names: &[&str]) -> Vec<Option<u32>> {
        self.table(table).find_all(names)
    }

    pub(crate) fn slot(&self, key: Key) -> &Slot {
        self.table(key.table).slot(key.slot)
    }

    pub(crate) fn name(&self, key: Key) -> &Arc<str> {
        &self.slot(key).name
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = Key> + '_ {
        let tables = self.tables.iter().enumerate();
        tables
            .flat_map(|(at, table)| table.living().map(move |slot| Key { table: at as u16, slot }))
    }

    pub(super) fn keys_of(&self, owner: &str) -> &[Key] {
        self.owner_index.get(owner).map_or(&[], |id| self.owned(*id))
    }

    pub(crate) fn entry(&self, key: Key) -> Option<Entry> {
        let slot = self.slot(key);
        let content = slot.content.as_ref()?;
        Some(Entry {
            owner: self.owner(slot.owner),
            changed: slot.changed,
            resource: Resource {
                type_url: self.table(key.table).url.clone(),
                name: slot.name.clone(),
                version: content.version,
                body: content.body(),
            },
        })
    }

    /// Whose change it was; `None` before the horizon, and if nothing changed.
    pub(crate) fn logged(&self, seq: u64) -> Option<OwnerId> {
        let at = seq.checked_sub(self.horizon() + 1)?;
        self.log.get(at as usize).copied().filter(|owner| *owner != NOBODY)
    }

    pub(crate) fn owner(&self, id: OwnerId) -> Owner {
        self.owners.get(&id).map_or_else(|| "".into(), |owner| owner.name.clone())
    }

    /// The sequence number of the owner's last change.
    pub(crate) fn owner_seq(&self, id: OwnerId) -> u64 {
        self.owners.get(&id).map_or(0, |owner| owner.seq)
    }

    /// When the owner last came to have anything.
    pub(crate) fn owner_born(&self, id: OwnerId) -> u64 {
        self.owners.get(&id).map_or(0, |owner| owner.born)
    }

    /// What an owner has.
    pub(crate) fn owned(&self, id: OwnerId) -> &[Key] {
        self.owners.get(&id).map_or(&[], |owner| &owner.keys)
    }

    /// What an owner had and has not now, as far as some stream may not have heard of it.
    pub(crate) fn lost(&self, id: OwnerId) -> Vec<Key> {
        let gone = self.owners.get(&id).map_or(&[][..], |owner| &owner.gone);
        let lost = |key: &Key| {
            let slot = self.slot(*key);
            slot.content.is_none() && slot.owner == id
        };
        let mut keys: Vec<Key> = gone.iter().copied().filter(lost).collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    /// For a stream that stands with its past: what a table was at a sequence number that is not before the horizon.
    pub(crate) fn view(&self, table: u16, at: u64) -> View<'_> {
        let mut past = HashMap::new();
        let begin = self.graves.partition_point(|grave| grave.seq <= at);
        for grave in self.graves.range(begin..) {
            let (key, old) = match &grave.what {
                What::Removed(key, Some(old)) | What::Replaced(key, old) => (key, old),
                _ => continue,
            };
            if key.table == table {
                past.entry(key.slot).or_insert((old.changed <= at).then_some(old));
            }
        }
        View { table: self.table(table), at, past }
    }

    pub(super) fn place(&mut self, table: u16, name: impl AsRef<str> + Into<Arc<str>>) -> Key {
        Key { table, slot: self.tables[table as usize].place(name) }
    }

    pub(super) fn hold(&self, key: Key, held: &mut Bits) -> Place {
        let slot = self.slot(key);
        let is_new = held.insert(key.slot);
        if is_new {
            slot.holders.fetch_add(1, Ordering::AcqRel);
        }
        Place { slot: key.slot, is_new, is_empty: slot.content.is_none() }
    }

    /// Gives a held place back; whether it was the last holder of nothing.
    pub(super) fn release(&self, key: Key) -> bool {
        let slot = self.slot(key);
        slot.holders.fetch_sub(1, Ordering::AcqRel) == 1 && slot.content.is_none()
    }

    pub(super) fn free(&mut self, key: Key) {
        if self.tables[key.table as usize].free(key.slot) {
            self.handovers.forget_place(key);
        }
    }

    pub(super) fn apply(&mut self, change: Change) -> u64 {
        self.seq += 1;
        let id = self.owner_id(&change.owner);
        let kept: HashSet<(TypeUrl, Arc<str>)> = if change.remove.is_empty() {
            HashSet::new()
        } else {
            change.set.iter().map(|r| (r.type_url.clone(), r.name.clone())).collect()
        };
        if !change.set.is_empty() {
            self.excuses.end(&change.owner);
        }
        let had = !self.owned(id).is_empty();
        for gone in change.remove.iter().filter(|gone| !kept.contains(gone)) {
            self.take(id, &gone.0, &gone.1);
        }
        for resource in &change.set {
            self.put(id, resource);
        }
        self.enter(id, had);
        self.seq
    }

    /// Enters an owner's change into the log. `had`: it had something before.
    pub(super) fn enter(&mut self, id: OwnerId, had: bool) {
        self.log.push_back(id);
        let seq = self.seq;
        if let Some(owner) = self.owners.get_mut(&id) {
            owner.seq = seq;
            if !had {
                owner.born = seq;
            }
            if owner.keys.is_empty() {
                self.dig(id, What::Owner);
            }
        }
    }

    /// Dates an owner's last change, and when it came.
    pub(super) fn dates(&mut self, id: OwnerId, seq: u64, born: u64) {
        if let Some(owner) = self.owners.get_mut(&id) {
            (owner.seq, owner.born) = (seq, born);
        }
    }

    pub(super) fn owner_known(&self, name: &str) -> Option<OwnerId> {
        self.owner_index.get(name).copied()
    }

    pub(super) fn owner_id(&mut self, name: &Owner) -> OwnerId {
        if let Some(id) = self.owner_index.get(name) {
            return *id;
        }
        self.last_owner += 1;
        let id = self.last_owner;
        let owner =
            OwnerState { name: name.clone(), seq: 0, born: 0, keys: Vec::new(), gone: Vec::new() };
        self.owners.insert(id, owner);
        self.owner_index.insert(name.clone(), id);
        id
    }

    fn put(&mut self, id: OwnerId, resource: &Resource) {
        let Some(table) = self.make_table(resource.type_url.as_str()) else {
            tracing::error!(type_url = %resource.type_url, "more types than a cache may have");
            return;
        };
        let key = self.place(table, resource.name.clone());
        let is_taken = self.own(id, key);
        let now = self.slot(key).content.as_ref();
        let same = now.filter(|now| now.version.hash == resource.version.hash);
        let content = match same {
            Some(_) if !is_taken => return,
            // Whoever had it may not have brought it to all: of the new owner it is new.
            Some(same) => same.clone().since(self.seq),
            None => Content::new(resource, self.seq),
        };
        self.swap_in(id, key, content);
    }

    pub(super) fn swap_in(&mut self, id: OwnerId, key: Key, content: Content) {
        let table = &mut self.tables[key.table as usize];
        let old = table.swap(key.slot, Some(content), self.seq);
        if let Some(old) = old.filter(|_| self.floors.want_past()) {
            self.dig(id, What::Replaced(key, old));
        }
    }

    /// Gives a place to an owner, taking it from whoever had something there; whether anybody had.
    pub(super) fn own(&mut self, id: OwnerId, key: Key) -> bool {
        let slot = self.slot(key);
        let (present, from) = (slot.content.is_some(), slot.owner);
        if present && from == id {
            return false;
        }
        if present && let Some(owner) = self.owners.get_mut(&from) {
            owner.keys.retain(|own| *own != key);
        }
        if from != id && self.owners.contains_key(&from) {
            self.handovers.note(from, key);
        }
        self.tables[key.table as usize].slot_mut(key.slot).owner = id;
        if let Some(owner) = self.owners.get_mut(&id) {
            owner.keys.push(key);
        }
        present
    }

    pub(super) fn take(&mut self, id: OwnerId, type_url: &TypeUrl, name: &str) {
        let table = self.table_of(type_url.as_str());
        let Some(key) = table.and_then(|table| self.find(table, name)) else { return };
        if self.slot(key).owner != id || self.slot(key).content.is_none() {
            return;
        }
        let seq = self.seq;
        let table = &mut self.tables[key.table as usize];
        let Some(old) = table.swap(key.slot, None, seq) else { return };
        let old = self.floors.want_past().then_some(old);
        table.slot_mut(key.slot).buried += 1;
        if let Some(owner) = self.owners.get_mut(&id) {
            owner.keys.retain(|own| *own != key);
            owner.gone.push(key);
        }
        self.dig(id, What::Removed(key, old));
    }

    /// Forgets what every stream has heard of. All streams are asked once in so many changes that it
    /// makes no difference to the cost of one.
    pub(super) fn bury(&mut self) {
        if self.log.len() < self.floors.len() / STREAMS_ASKED {
            return;
        }
        let lowest = self.floors.lowest(self.seq);
        while !self.log.is_empty() && (self.horizon() < lowest || self.has_too_much_past()) {
            self.log.pop_front();
            let until = self.horizon();
            while self.graves.front().is_some_and(|grave| grave.seq <= until) {
                if let Some(grave) = self.graves.pop_front() {
                    self.past_bytes -= grave.bytes();
                    self.forget(grave);
                }
            }
        }
    }

    fn has_too_much_past(&self) -> bool {
        self.log.len().max(self.graves.len()) > HISTORY_MAX || self.past_bytes > PAST_BYTES_MAX
    }

    fn dig(&mut self, owner: OwnerId, what: What) {
        let grave = Grave { seq: self.seq, owner, what };
        self.past_bytes += grave.bytes();
        self.graves.push_back(grave);
    }

    fn forget(&mut self, grave: Grave) {
        if let What::Removed(key, _) = grave.what {
            self.tables[key.table as usize].slot_mut(key.slot).buried -= 1;
            self.free(key);
            if let Some(owner) = self.owners.get_mut(&grave.owner) {
                let mut once = true;
                owner.gone.retain(|gone| *gone != key || !std::mem::take(&mut once));
            }
        }
        let idle = |owner: &OwnerState| {
            owner.keys.is_empty() && owner.gone.is_empty() && owner.seq <= grave.seq
        };
        if self.owners.get(&grave.owner).is_some_and(idle)
            && let Some(owner) = self.owners.remove(&grave.owner)
        {
            self.owner_index.remove(&owner.name);
            self.handovers.forget_owner(grave.owner);
        }
    }
}
