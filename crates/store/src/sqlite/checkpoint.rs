//! When the write-ahead log is copied back into the file: after an answer, never before one.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use rusqlite::Connection;

use crate::metrics;

/// Pages of the log at which a checkpoint is made as soon as nobody waits (4 MiB).
const IDLE_PAGES: i32 = 1_000;
/// Pages at which it is made even though somebody waits (32 MiB).
const BUSY_PAGES: i32 = 8_000;

/// SQLite's own automatic checkpoint runs inside the commit that fills the log, which would then
/// be answered late; this one runs between two batches.
pub(super) struct Checkpoints {
    pages: Arc<AtomicI32>,
}

impl Checkpoints {
    /// Takes over from the automatic checkpoints of `conn`.
    pub(super) fn of(conn: &mut Connection) -> rusqlite::Result<Self> {
        let pages = Arc::new(AtomicI32::new(0));
        let seen = Arc::clone(&pages);
        conn.wal_hook(Some(move |_: &mut _, now| {
            seen.store(now, Ordering::Relaxed);
            Ok(())
        }))?;
        Ok(Self { pages })
    }

    /// Makes a checkpoint if one is due.
    pub(super) fn after_commit(&self, conn: &Connection, idle: bool) {
        let due = if idle { IDLE_PAGES } else { BUSY_PAGES };
        if self.pages.load(Ordering::Relaxed) < due {
            return;
        }
        // Counted anew from the next commit on, also if readers kept a part of the log.
        self.pages.store(0, Ordering::Relaxed);
        run(conn, "PASSIVE");
    }

    /// Gives the log's space back, if all of it can be copied into the file.
    pub(super) fn make_room(&self, conn: &Connection) {
        run(conn, "TRUNCATE");
    }

    /// Leaves a short log behind, so that the next start is quick.
    pub(super) fn at_end(&self, conn: &Connection) {
        run(conn, "TRUNCATE");
    }
}

/// A checkpoint that fails loses nothing: the log stays, and the next one tries again.
fn run(conn: &Connection, mode: &str) {
    let result =
        conn.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |row| row.get::<_, i64>(0));
    metrics::checkpointed(matches!(result, Ok(0)));
    if let Err(error) = result {
        tracing::warn!(%error, "checkpoint failed");
    }
}
