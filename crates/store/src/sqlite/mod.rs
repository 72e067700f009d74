//! The embedded store: one SQLite file, one thread that writes it, a few connections that read.
//!
//! Durable means that the write-ahead log was synced (`synchronous=FULL`). What waits for the
//! writer shares a commit, so that a slow disk costs latency, not throughput.

mod accept;
mod allow;
mod aside;
mod audit;
mod audit_file;
mod authority;
pub mod backup;
mod bindings;
mod blobs;
mod bury;
mod checkpoint;
mod contexts;
mod credentials;
mod direct;
mod editions;
mod fault;
mod feed;
mod follower;
mod forget;
mod good;
mod good_row;
mod jobs;
mod leases;
#[cfg(feature = "contract")]
mod memory;
mod names;
mod nodes;
mod offers;
mod open;
#[cfg(test)]
mod plans;
mod ports;
mod ports_access;
mod ports_bindings;
mod ports_nodes;
mod ports_proofs;
mod ports_search;
mod ports_teams;
mod proofs;
mod read;
mod reader;
mod recovery;
mod request;
mod rows;
mod save;
mod schema;
mod search;
mod sessions;
mod story;
#[cfg(test)]
mod syncs;
mod teams;
mod turns;
mod writer;

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use model::Millis;
use tokio::sync::watch;

#[cfg(feature = "contract")]
pub use self::memory::JobSeen;
use self::reader::Readers;
use self::writer::Writer;
use crate::Clock;

pub use audit_file::{each_entry, verify};
pub use follower::Follower;
pub use good::{GoodFile, NewNonce, OwnBlobs};

/// How to open a store.
#[derive(Clone)]
pub struct Options {
    /// The clock by which delays and leases end: the one that [`Queue`](crate::Queue)'s `now` is
    /// read from.
    pub clock: Clock,
    /// Connections that read at the same time.
    pub readers: usize,
    /// The most that the file may grow to, in pages of 4 KiB; `None`: what the disk holds.
    pub pages_max: Option<u32>,
}

impl Options {
    /// Four readers, no limit but the disk's.
    pub fn new(clock: Clock) -> Self {
        Self { clock, readers: 4, pages_max: None }
    }
}

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it. Two writers would each believe in their own order of revisions.
    #[error("{} is in use by another process{}", .path.display(), pid.map(|pid| format!(" ({pid})")).unwrap_or_default())]
    InUse {
        /// The file.
        path: PathBuf,
        /// Whose it is, where it could be read.
        pid: Option<u32>,
    },
    /// A newer release has written it. Going back needs a backup from before.
    #[error(
        "the store has schema {found}, and release {} knows schemas up to {known}: it was written \
         by {}. Start that release or a later one; or, to go back, restore a backup from before it",
        schema::RELEASE, writer(.release.as_deref())
    )]
    Newer {
        /// The file's schema.
        found: usize,
        /// The newest that this release knows.
        known: usize,
        /// The release that last wrote it, where it tells.
        release: Option<String>,
    },
    /// The file or its folder cannot be used.
    #[error("cannot open {}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// SQLite refuses it.
    #[error("SQLite refuses the store")]
    Sqlite(#[from] rusqlite::Error),
    /// It opens, and holds what cannot be.
    #[error("the store is damaged")]
    Damaged(#[from] crate::StoreError),
}

fn writer(release: Option<&str>) -> String {
    release.map_or_else(|| "a newer release".to_owned(), |it| format!("the newer release {it}"))
}

/// The embedded implementation of [`Store`](crate::Store), [`Queue`](crate::Queue) and
/// [`Blobs`](crate::Blobs). Cheap to clone; when the last clone is dropped the commit under way is
/// finished and the file is free.
#[derive(Clone)]
pub struct Sqlite {
    inner: Arc<Inner>,
}

/// Fields are dropped in this order: the lock last.
struct Inner {
    writer: Writer,
    readers: Readers,
    epoch: u64,
    clock: Clock,
    revision: watch::Receiver<u64>,
    revoked: watch::Receiver<u64>,
    due: watch::Receiver<Option<Millis>>,
    /// How often something was taken away from a credential.
    taken: Arc<AtomicU64>,
    /// Sent to when operations of that slot were written.
    operations: Arc<[watch::Sender<u64>]>,
    /// In memory there is nothing to lock.
    _lock: Option<File>,
}
