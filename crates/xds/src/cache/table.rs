//! The resources of one type: a dense place for each name that exists, existed or is awaited.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{BufMut, Bytes, BytesMut};
use hashbrown::HashTable;
use model::{TypeUrl, Version};
use prost::encoding::{WireType, encode_key, encode_varint};

use super::content::Content;
use super::cover::Covers;
use super::state::OwnerId;
use crate::bits::Bits;
use crate::kind::Kind;

/// Names that are looked for together.
const TOGETHER: usize = 32;
/// Sets of names that are remembered to be shared: clients of a group name the same, but for what is
/// coming or going.
const SETS: usize = 4;

/// Where a name is. A place is used again once nothing exists there, nobody awaits it, and no
/// stream has yet to hear that it went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) table: u16,
    pub(crate) slot: u32,
}

/// What is at a place.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) name: Arc<str>,
    /// `None` when it is only awaited, or went.
    pub(crate) content: Option<Content>,
    pub(crate) owner: OwnerId,
    /// When its content last changed, came or went.
    pub(crate) changed: u64,
    /// When it last came.
    pub(crate) born: u64,
    /// How many streams named it.
    pub(super) holders: AtomicU32,
    /// How many of its removals some stream may have yet to hear of.
    pub(super) buried: u32,
}

impl Slot {
    /// Whether something was here before that some stream may have yet to hear went.
    pub(crate) fn is_back(&self) -> bool {
        self.buried > 0
    }
}

/// Where a name is, and a part of the name's hash, so that other names need not be looked at.
#[derive(Debug, Clone, Copy)]
struct Entry {
    mark: u32,
    at: u32,
}

fn mark(hash: u64) -> u32 {
    hash as u32
}

/// All of one type.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) url: TypeUrl,
    pub(crate) kind: Kind,
    index: HashTable<Entry>,
    hasher: RandomState,
    slots: Vec<Slot>,
    free: Vec<u32>,
    present: usize,
    /// When anything here last changed.
    pub(crate) changed: u64,
    digest: u64,
    newest: (u64, u64),
    /// What [`Table::whole`] made last, and of which change.
    whole: Mutex<(u64, Bytes)>,
    pub(super) covers: Covers,
    /// Sets of names that streams share.
    sets: Mutex<VecDeque<Bits>>,
}

impl Table {
    pub(super) fn new(url: &str) -> Self {
        Self {
            url: TypeUrl::new(url),
            kind: Kind::of(url),
            index: HashTable::new(),
            hasher: RandomState::new(),
            slots: Vec::new(),
            free: Vec::new(),
            present: 0,
            changed: 0,
            digest: 0,
            newest: (0, 0),
            whole: Mutex::default(),
            covers: Covers::default(),
            sets: Mutex::default(),
        }
    }

    /// How many resources there are.
    pub(crate) fn present(&self) -> usize {
        self.present
    }

    pub(crate) fn find(&self, name: &str) -> Option<u32> {
        self.find_hashed(self.hasher.hash_one(name), name)
    }

    fn find_hashed(&self, hash: u64, name: &str) -> Option<u32> {
        let is_it = |it: &Entry| it.mark == mark(hash) && *self.slot(it.at).name == *name;
        self.index.find(hash, is_it).map(|it| it.at)
    }

    /// Where each of many names is. Where that is, is in no cache when there are many: it is gone
    /// through them step by step, so that the memory for some is fetched while others are worked on.
    pub(crate) fn find_all(&self, names: &[&str]) -> Vec<Option<u32>> {
        let mut found = Vec::with_capacity(names.len());
        for names in names.chunks(TOGETHER) {
            let mut hashes = [0; TOGETHER];
            let mut places = [None; TOGETHER];
            let mut texts = [""; TOGETHER];
            for (hash, name) in hashes.iter_mut().zip(names) {
                *hash = self.hasher.hash_one(*name);
            }
            for (place, hash) in places.iter_mut().zip(hashes).take(names.len()) {
                *place = self.index.find(hash, |it| it.mark == mark(hash)).map(|it| it.at);
            }
            for (text, place) in texts.iter_mut().zip(places) {
                *text = place.map_or("", |at| &*self.slot(at).name);
            }
            let all = places.into_iter().zip(texts).zip(hashes).zip(names);
            found.extend(all.map(|(((place, text), hash), name)| match text == *name {
                true => place,
                // Nothing, or another of the same mark.
                false => place.and_then(|_| self.find_hashed(hash, name)),
            }));
        }
        found
    }

    pub(crate) fn slot(&self, at: u32) -> &Slot {
        &self.slots[at as usize]
    }

    pub(super) fn slot_mut(&mut self, at: u32) -> &mut Slot {
        &mut self.slots[at as usize]
    }

    /// All places, rising.
    pub(crate) fn places(&self) -> impl Iterator<Item = (u32, &Slot)> {
        self.slots.iter().enumerate().map(|(at, slot)| (at as u32, slot))
    }

    /// Places with a resource, rising.
    pub(crate) fn living(&self) -> impl Iterator<Item = u32> + '_ {
        let slots = self.slots.iter().enumerate();
        slots.filter(|(_, slot)| slot.content.is_some()).map(|(at, _)| at as u32)
    }

    /// The place of a name, made when there is none.
    pub(super) fn place(&mut self, name: impl AsRef<str> + Into<Arc<str>>) -> u32 {
        if let Some(at) = self.find(name.as_ref()) {
            return at;
        }
        let name: Arc<str> = name.into();
        let slot = Slot {
            name: name.clone(),
            content: None,
            owner: 0,
            changed: 0,
            born: 0,
            holders: AtomicU32::new(0),
            buried: 0,
        };
        let at = match self.free.pop() {
            Some(at) => {
                self.slots[at as usize] = slot;
                at
            }
            None => {
                self.slots.push(slot);
                (self.slots.len() - 1) as u32
            }
        };
        let hash = self.hasher.hash_one(&*name);
        let (hasher, slots) = (&self.hasher, &self.slots);
        let again = |it: &Entry| hasher.hash_one(&*slots[it.at as usize].name);
        self.index.insert_unique(hash, Entry { mark: mark(hash), at }, again);
        at
    }

    /// Makes a place free for another name, if nothing speaks against it; whether it is.
    pub(super) fn free(&mut self, at: u32) -> bool {
        let slot = &mut self.slots[at as usize];
        let idle = slot.content.is_none() && slot.buried == 0 && *slot.holders.get_mut() == 0;
        let hash = self.hasher.hash_one(&*slot.name);
        let entry = self.index.find_entry(hash, |it| it.at == at).ok().filter(|_| idle);
        let is_freed = entry.is_some();
        if let Some(entry) = entry {
            entry.remove();
            self.free.push(at);
        }
        is_freed
    }

    /// Puts content at a place, or takes it away; returns what was there.
    pub(super) fn swap(&mut self, at: u32, content: Option<Content>, seq: u64) -> Option<Content> {
        let slot = &mut self.slots[at as usize];
        self.changed = seq;
        slot.changed = seq;
        if let Some(new) = &content {
            self.digest = self.digest.wrapping_add(new.mark);
            self.newest = self.newest.max((new.version.epoch, new.version.revision));
            self.present += 1;
        }
        let old = std::mem::replace(&mut slot.content, content);
        match &old {
            Some(old) => {
                self.digest = self.digest.wrapping_sub(old.mark);
                self.present -= 1;
            }
            None => slot.born = seq,
        }
        old
    }

    /// Gives the same bytes another version: nobody is sent them again.
    pub(super) fn renew(&mut self, at: u32, content: Content) {
        self.newest = self.newest.max((content.version.epoch, content.version.revision));
        if let Some(old) = &mut self.slots[at as usize].content {
            *old = content.since(old.changed);
        }
    }

    /// A version for a set of this table's resources whose marks add up to `digest`. It rises with
    /// the newest resource that ever was, and its hash is the same wherever the set is the same.
    pub(crate) fn version_of(&self, digest: u64) -> Version {
        let (epoch, revision) = self.newest;
        Version { epoch, revision, hash: digest }
    }

    /// Makes a set of places that a stream keeps share its memory with those of other streams.
    pub(crate) fn share(&self, set: &mut Bits) {
        set.share(&mut self.sets.lock().unwrap_or_else(PoisonError::into_inner), SETS);
    }

    /// The digest of all that is here.
    pub(crate) fn digest(&self) -> u64 {
        self.digest
    }

    /// All that is here as the `resources` of a state-of-the-world response: put together once,
    /// however many streams ask.
    pub(crate) fn whole(&self) -> Bytes {
        let mut whole = self.whole.lock().unwrap_or_else(PoisonError::into_inner);
        if whole.0 != self.changed {
            let contents = self.slots.iter().filter_map(|slot| slot.content.as_ref());
            *whole = (self.changed, any_fields(contents));
        }
        whole.1.clone()
    }
}

/// The fields of a state-of-the-world response that hold these resources.
pub(crate) fn any_fields<'a>(contents: impl Iterator<Item = &'a Content>) -> Bytes {
    let mut bytes = BytesMut::new();
    for content in contents {
        let any = content.any();
        encode_key(2, WireType::LengthDelimited, &mut bytes);
        encode_varint(any.len() as u64, &mut bytes);
        bytes.put_slice(&any);
    }
    bytes.freeze()
}
