//! What is gone but not forgotten: kept until every stream has heard of it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::content::Content;
use super::state::OwnerId;
use super::table::Key;

/// A removal, or content that was replaced, or an owner who has nothing left.
#[derive(Debug)]
pub(super) struct Grave {
    pub(super) seq: u64,
    pub(super) owner: OwnerId,
    pub(super) what: What,
}

#[derive(Debug)]
pub(super) enum What {
    /// Its content is kept where a state-of-the-world response may need it again.
    Removed(Key, Option<Content>),
    Replaced(Key, Content),
    Owner,
}

impl Grave {
    /// What it costs to keep, beside itself.
    pub(super) fn bytes(&self) -> usize {
        match &self.what {
            What::Removed(_, Some(content)) | What::Replaced(_, content) => {
                content.resource().len()
            }
            What::Removed(_, None) | What::Owner => 0,
        }
    }
}

/// Up to which sequence number one stream needs nothing of the past any more.
#[derive(Debug)]
pub(crate) struct Floor {
    seq: Arc<AtomicU64>,
    /// Held by streams that may ask how things were.
    _past: Option<Arc<()>>,
}

impl Floor {
    pub(crate) fn get(&self) -> u64 {
        self.seq.load(Ordering::Acquire)
    }

    pub(crate) fn rise(&self, seq: u64) {
        self.seq.fetch_max(seq, Ordering::AcqRel);
    }
}

/// The floors of all streams.
#[derive(Debug, Default)]
pub(super) struct Floors {
    all: Mutex<Vec<Weak<AtomicU64>>>,
    past: Arc<()>,
}

impl Floors {
    pub(super) fn add(&self, seq: u64, past: bool) -> Floor {
        let floor = Arc::new(AtomicU64::new(seq));
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(Arc::downgrade(&floor));
        Floor { seq: floor, _past: past.then(|| self.past.clone()) }
    }

    /// Streams, and some that have ended since they were looked through.
    pub(super) fn len(&self) -> usize {
        self.all.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Whether any stream may ask how things were.
    pub(super) fn want_past(&self) -> bool {
        Arc::strong_count(&self.past) > 1
    }

    /// The lowest of all, or `seq` when there is no stream.
    pub(super) fn lowest(&self, seq: u64) -> u64 {
        let mut lowest = seq;
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|floor| match floor.upgrade() {
            Some(floor) => {
                lowest = lowest.min(floor.load(Ordering::Acquire));
                true
            }
            None => false,
        });
        lowest
    }
}
