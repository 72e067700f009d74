//! Clients that have seen more than is known here yet.
//!
//! A client that comes from another replica may have what this one has not read of yet, or gives to
//! others first. Nothing is said to it until as much is here: whatever it was told now could take it backwards. Then its
//! stream ends, and it comes back to be judged as any other.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use model::Version;
use tonic::Status;

use super::Cache;

/// A client that waits. While there is any, its cache wakes streams when revisions rise.
#[derive(Debug)]
pub(crate) struct Lag {
    cache: Arc<Cache>,
    seen: Version,
}

/// How many there are.
#[derive(Debug, Default)]
pub(crate) struct Laggards(AtomicUsize);

impl Laggards {
    pub(crate) fn any(&self) -> bool {
        self.0.load(Ordering::Acquire) > 0
    }
}

impl Lag {
    /// Of a client that has `seen` this, if that is more than is known here; with what was found
    /// before.
    pub(crate) fn with(
        before: Option<Self>,
        cache: &Arc<Cache>,
        seen: Option<Version>,
    ) -> Option<Self> {
        let Some(seen) = seen.filter(|seen| cache.is_unknown_yet(*seen)) else { return before };
        if let Some(before) = before.filter(|before| before.seen >= seen) {
            return Some(before);
        }
        cache.laggards.0.fetch_add(1, Ordering::AcqRel);
        Some(Self { cache: Arc::clone(cache), seen })
    }

    /// An error, once as much is known here.
    pub(crate) fn settle(&self) -> Result<(), Status> {
        if self.cache.is_unknown_yet(self.seen) {
            return Ok(());
        }
        Err(Status::unavailable("as much is known here now: come back and say what you have"))
    }
}

impl Drop for Lag {
    fn drop(&mut self) {
        self.cache.laggards.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Cache {
    /// Whether this version is of a later revision than is complete here, and will be complete: it was
    /// made, or may have been. Other epochs are the guard's: no waiting makes them known.
    fn is_unknown_yet(&self, version: Version) -> bool {
        let guard = self.guarded();
        let is_to_come = guard.waits || version.revision <= self.reached();
        guard.epoch == version.epoch && version.revision > self.completed() && is_to_come
    }
}
