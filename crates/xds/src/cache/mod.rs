//! The resources of one group, whose they are, and the order in which they changed.

mod content;
mod cover;
mod excuse;
mod fork;
mod graves;
mod guard;
mod handovers;
mod lag;
mod recall;
mod renew;
mod state;
mod table;

use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use model::{Resource, TypeUrl};
use recall::Recalls;
use tokio::sync::watch;

pub(crate) use content::Content;
pub(crate) use graves::Floor;
pub use guard::Guard;
pub(crate) use lag::Lag;
use lag::Laggards;
pub(crate) use state::{NOBODY, OwnerId, State, View};
pub(crate) use table::{Key, Slot, any_fields};

use crate::bits::Bits;

/// Whose a resource is: an instance's id, or the platform's.
pub type Owner = Arc<str>;

/// How many changes are applied before readers get a turn.
const CHANGES_PER_TURN: usize = 256;

/// All that changes for one owner at once.
#[derive(Debug, Clone)]
pub struct Change {
    /// Whose.
    pub owner: Owner,
    /// New or changed resources. One that is here already with the same `Version::hash` keeps its
    /// version and is not sent again. One that another owner has changes hands, and is.
    pub set: Vec<Resource>,
    /// Resources that go. Those that are not this owner's (any more), or are also in `set`, stay.
    pub remove: Vec<(TypeUrl, Arc<str>)>,
}

/// How the clients of a cache behave.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Options {
    /// Clients ask for a scope's route configuration only when a request needs it: what was never
    /// asked for counts as settled.
    pub on_demand: bool,
}

/// One resource as views see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Whose it is.
    pub owner: Owner,
    /// The sequence number at which its content last changed.
    pub changed: u64,
    /// Itself.
    pub resource: Resource,
}

/// A place that somebody named.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) slot: u32,
    /// They had not before.
    pub(crate) is_new: bool,
    /// Nothing is there.
    pub(crate) is_empty: bool,
}

/// What wakes streams.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Beat {
    pub(crate) seq: u64,
    pub(crate) open: bool,
    pub(crate) guard: Guard,
}

/// The resources of one group. Shared by its streams.
#[derive(Debug, Default)]
pub struct Cache {
    state: RwLock<State>,
    beat: watch::Sender<Beat>,
    options: Options,
    /// See [`Cache::reach`].
    reached: AtomicU64,
    laggards: Laggards,
    /// See [`Cache::complete`].
    completed: AtomicU64,
    recalls: Recalls,
    /// See [`Cache::fork`].
    is_fork: bool,
}

/// A stream's own way to its cache. To clone it is to write only what belongs to the stream: a count
/// that thousands of streams share would go from core to core.
#[derive(Debug, Clone)]
#[expect(clippy::redundant_allocation, reason = "the outer count is the stream's own")]
pub(crate) struct Handle(Arc<Arc<Cache>>);

impl Handle {
    pub(crate) fn new(cache: Arc<Cache>) -> Self {
        Self(Arc::new(cache))
    }
}

impl Deref for Handle {
    type Target = Arc<Cache>;

    fn deref(&self) -> &Arc<Cache> {
        &self.0
    }
}

impl Cache {
    /// An empty cache, not yet open.
    pub fn new(options: Options) -> Self {
        Self { options, ..Self::default() }
    }

    /// Applies changes, each owner's atomically; returns the sequence number of the last.
    /// Sequence numbers rise by one with each change, whether or not it changed anything.
    pub fn apply(&self, changes: Vec<Change>) -> u64 {
        let mut changes = changes.into_iter().peekable();
        let mut seq = self.seq();
        while changes.peek().is_some() {
            let mut state = self.write();
            for change in changes.by_ref().take(CHANGES_PER_TURN) {
                seq = state.apply(change);
            }
            state.bury();
        }
        self.beat(seq);
        seq
    }

    fn beat(&self, seq: u64) {
        self.beat.send_if_modified(|beat| {
            let news = seq > beat.seq;
            beat.seq = beat.seq.max(seq);
            news
        });
    }

    /// From now on streams are answered: the cache holds what it should. Before, they wait, so
    /// that no proxy is ever emptied for want of data.
    pub fn open(&self) {
        self.beat.send_if_modified(|beat| !std::mem::replace(&mut beat.open, true));
    }

    /// What clients that come back from now on are not told to give up. Streams of those that kept
    /// something under a guard end when it is taken away: they come back, and are told.
    pub fn guard(&self, guard: Guard) {
        self.beat.send_if_modified(|beat| std::mem::replace(&mut beat.guard, guard) != guard);
    }

    /// Revisions have come so far: nothing higher was ever made here.
    pub fn reach(&self, revision: u64) {
        self.reached.fetch_max(revision, Ordering::AcqRel);
    }

    /// Everything up to this revision is here. What is later may not be here yet, though revisions
    /// have come further: it is being made, or others are given it first. Whoever has seen it waits.
    pub fn complete(&self, revision: u64) {
        let before = self.completed.fetch_max(revision, Ordering::AcqRel);
        if revision > before && self.laggards.any() {
            self.beat.send_modify(|_| {});
        }
    }

    pub(crate) fn completed(&self) -> u64 {
        self.completed.load(Ordering::Acquire)
    }

    pub(crate) fn reached(&self) -> u64 {
        self.reached.load(Ordering::Acquire)
    }

    pub(crate) fn guarded(&self) -> Guard {
        self.beat.borrow().guard
    }

    /// Whether [`Cache::open`] was called.
    pub fn is_open(&self) -> bool {
        self.beat.borrow().open
    }

    /// The sequence number of the last change; 0 before the first.
    pub fn seq(&self) -> u64 {
        self.read().seq()
    }

    /// How many resources there are.
    pub fn len(&self) -> usize {
        self.read().tables().map(|table| table.present()).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One resource.
    pub fn get(&self, type_url: &TypeUrl, name: &str) -> Option<Entry> {
        let state = self.read();
        let key = state.find(state.table_of(type_url.as_str())?, name)?;
        state.entry(key)
    }

    /// All resources, or one owner's, by type in the order of its first appearance and by name.
    pub fn dump(&self, owner: Option<&str>) -> Vec<Entry> {
        let state = self.read();
        let mut keys: Vec<Key> = match owner {
            Some(owner) => state.keys_of(owner).to_vec(),
            None => state.keys().collect(),
        };
        keys.sort_by(|a, b| (a.table, state.name(*a)).cmp(&(b.table, state.name(*b))));
        keys.into_iter().filter_map(|key| state.entry(key)).collect()
    }

    pub(crate) fn options(&self) -> Options {
        self.options
    }

    pub(crate) fn listen(&self) -> watch::Receiver<Beat> {
        self.beat.subscribe()
    }

    /// A stream's place in history, at the end of it: what happened after is kept until the
    /// stream has seen it. With its `past`, the stream may also ask how things were.
    pub(crate) fn stand(&self, past: bool) -> Floor {
        self.read().stand(past)
    }

    /// The table of a type, made on first mention; `None` when there are too many types.
    pub(crate) fn table(&self, type_url: &str) -> Option<u16> {
        let known = self.read().table_of(type_url);
        known.or_else(|| self.write().make_table(type_url))
    }

    /// The places of `names`, made for those that nobody has heard of, and counted as in use by
    /// the holder of `held`, whose bits they become.
    pub(crate) fn hold(&self, table: u16, names: &[&str], held: &mut Bits) -> Vec<Place> {
        let known: Vec<Option<Place>> = {
            let state = self.read();
            let places = state.find_all(table, names).into_iter();
            places.map(|at| Some(state.hold(Key { table, slot: at? }, held))).collect()
        };
        if known.iter().all(Option::is_some) {
            return known.into_iter().flatten().collect();
        }
        let mut state = self.write();
        let places = known.into_iter().zip(names);
        places
            .map(|(known, name)| {
                known.unwrap_or_else(|| {
                    let key = state.place(table, *name);
                    state.hold(key, held)
                })
            })
            .collect()
    }

    /// Gives places back that were held.
    pub(crate) fn release(&self, table: u16, places: impl Iterator<Item = u32>) {
        let idle: Vec<Key> = {
            let state = self.read();
            places.map(|slot| Key { table, slot }).filter(|key| state.release(*key)).collect()
        };
        if !idle.is_empty() {
            let mut state = self.write();
            idle.into_iter().for_each(|key| state.free(key));
        }
    }

    pub(crate) fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
