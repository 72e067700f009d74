//! The one thread that writes: it takes what is waiting, runs each request in a savepoint of one
//! transaction, commits once, and answers all.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use model::Millis;
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot, watch};

use super::checkpoint::Checkpoints;
use super::request::{Request, Tx, Typed, Verdict};
use crate::{StoreError, metrics};

/// Requests waiting for the writer; a caller beyond them waits its turn. A commit takes some 64 of
/// them at once, so that the last waits for about 16 commits.
pub(super) const WAITING_MAX: usize = 1_024;
/// Requests that share a commit: enough to hide the cost of syncing, few enough that a batch is
/// answered within milliseconds and undone cheaply.
pub(super) const BATCH_MAX: usize = 256;

/// Where the writer tells the world after a commit.
pub(super) struct Listeners {
    /// The revision last published.
    pub(super) revision: watch::Sender<u64>,
    /// Sent whenever a lease was revoked: the highest fence that ever was.
    pub(super) revoked: watch::Sender<u64>,
    /// When the next job is due.
    pub(super) due: watch::Sender<Option<Millis>>,
    /// How often something was taken away from a credential.
    pub(super) taken: Arc<AtomicU64>,
    /// Sent to when operations of that slot were written.
    pub(super) operations: Arc<[watch::Sender<u64>]>,
}

/// Where requests are handed in.
pub(super) struct Writer {
    requests: Option<mpsc::Sender<Box<dyn Request>>>,
    thread: Option<JoinHandle<()>>,
    /// Where they are done at once, by whoever hands them in.
    here: Option<Mutex<Desk>>,
}

impl Writer {
    /// Starts the thread. The connection is configured, and the only one that writes.
    pub(super) fn start(
        conn: Connection,
        checkpoints: Checkpoints,
        listeners: Listeners,
    ) -> std::io::Result<Self> {
        let (requests, waiting) = mpsc::channel(WAITING_MAX);
        let desk = Desk { conn, checkpoints, listeners, syncs: true };
        let thread = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || desk.run(waiting))?;
        Ok(Self { requests: Some(requests), thread: Some(thread), here: None })
    }

    /// Without a thread: each request is done and answered by the time that it is handed in.
    #[cfg(feature = "contract")]
    pub(super) fn here(conn: Connection, checkpoints: Checkpoints, listeners: Listeners) -> Self {
        let desk = Desk { conn, checkpoints, listeners, syncs: true };
        Self { requests: None, thread: None, here: Some(Mutex::new(desk)) }
    }

    /// Looks at what there is, past all ports.
    #[cfg(feature = "contract")]
    pub(super) fn look<T>(&self, look: impl FnOnce(&Connection) -> T) -> Option<T> {
        self.here.as_ref().map(|desk| look(&hold(desk).conn))
    }

    /// Runs `work` in a transaction; returns when it is durable.
    pub(super) async fn write<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        self.hand_in(work, true).await
    }

    /// Runs `work` in a transaction that a power failure, but no end of this process, may undo: for
    /// what means nothing once whoever asked is gone.
    pub(super) async fn write_unsynced<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        self.hand_in(work, false).await
    }

    async fn hand_in<T, F>(&self, work: F, must_last: bool) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let request = Box::new(Typed::new(work, must_last, reply));
        if let Some(desk) = &self.here {
            hold(desk).serve(&mut vec![request]);
        } else {
            let requests = self.requests.as_ref().ok_or_else(StoreError::stopped)?;
            requests.send(request).await.map_err(|_| StoreError::stopped())?;
        }
        answer.await.map_err(|_| StoreError::stopped())?
    }
}

/// Whoever drops the last handle waits for the commit that is under way, so that the file is free.
impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.requests.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn hold(desk: &Mutex<Desk>) -> MutexGuard<'_, Desk> {
    desk.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where requests are done.
struct Desk {
    conn: Connection,
    checkpoints: Checkpoints,
    listeners: Listeners,
    /// Whether a commit of the connection syncs, as it is set now.
    syncs: bool,
}

impl Desk {
    fn run(mut self, mut waiting: mpsc::Receiver<Box<dyn Request>>) {
        let mut batch = Vec::with_capacity(BATCH_MAX);
        while waiting.blocking_recv_many(&mut batch, BATCH_MAX) > 0 {
            metrics::waiting(waiting.len());
            self.serve(&mut batch);
            self.checkpoints.after_commit(&self.conn, waiting.is_empty());
        }
        self.checkpoints.at_end(&self.conn);
    }

    fn serve(&mut self, batch: &mut Vec<Box<dyn Request>>) {
        batch.retain(|request| !request.is_abandoned());
        if batch.is_empty() {
            return;
        }
        let began = Instant::now();
        let syncing = self.set_syncing(batch.iter().any(|request| request.must_last()));
        let tx = Tx::of(&self.conn);
        let failure = syncing.and_then(|()| transact(&tx, batch)).err();
        metrics::committed(failure.is_none(), self.syncs, batch.len(), began.elapsed());
        if failure.is_none() {
            self.tell(&tx);
        }
        let requests = batch.len();
        for request in batch.drain(..) {
            request.answer(failure.as_ref());
        }
        if let Some(error) = failure {
            tracing::warn!(%error, requests, "commit failed");
            // On a full disk the log may be what can be given back.
            self.checkpoints.make_room(&self.conn);
        }
    }

    /// Every commit that syncs also syncs those before it that did not.
    fn set_syncing(&mut self, syncs: bool) -> Result<(), StoreError> {
        if self.syncs != syncs {
            let level = if syncs { "FULL" } else { "NORMAL" };
            self.conn.pragma_update(None, "synchronous", level).map_err(unavailable)?;
            self.syncs = syncs;
        }
        Ok(())
    }

    fn tell(&self, tx: &Tx<'_>) {
        if let Some(revision) = tx.news().published {
            self.listeners.revision.send_replace(revision);
        }
        if let Some(fence) = tx.news().revoked {
            self.listeners.revoked.send_modify(|highest| *highest = fence.max(*highest));
        }
        if tx.news().took_away {
            self.listeners.taken.fetch_add(1, Ordering::Release);
        }
        for (slot, sender) in self.listeners.operations.iter().enumerate() {
            if tx.news().wrote & (1 << slot) != 0 {
                sender.send_modify(|times| *times += 1);
            }
        }
        if !tx.news().queued {
            return;
        }
        match super::jobs::next_due(&self.conn) {
            Ok(due) => drop(self.listeners.due.send_replace(due)),
            // Those who wait look for themselves.
            Err(error) => {
                tracing::warn!(%error, "cannot tell when the next job is due");
                self.listeners.due.send_replace(Some(Millis::MIN));
            }
        }
    }
}

/// One transaction for the whole batch. On an error nothing of it remains.
fn transact(tx: &Tx<'_>, batch: &mut [Box<dyn Request>]) -> Result<(), StoreError> {
    let result = attempt(tx, batch);
    // Some failures end SQLite's transaction by themselves.
    if result.is_err() && !tx.conn.is_autocommit() {
        tx.conn.execute_batch("ROLLBACK").map_err(unavailable)?;
    }
    result
}

fn attempt(tx: &Tx<'_>, batch: &mut [Box<dyn Request>]) -> Result<(), StoreError> {
    run(tx.conn, "BEGIN IMMEDIATE")?;
    for request in batch {
        let before = tx.news();
        run(tx.conn, "SAVEPOINT request")?;
        match request.run(tx) {
            Verdict::Keep => {}
            Verdict::Abort(error) => return Err(error),
            Verdict::Undo => {
                run(tx.conn, "ROLLBACK TO request")?;
                tx.forget_since(before);
            }
        }
        run(tx.conn, "RELEASE request")?;
    }
    run(tx.conn, "COMMIT")
}

/// Runs a statement about the transaction itself. Whatever stands against it concerns everyone in
/// the batch.
fn run(conn: &Connection, statement: &str) -> Result<(), StoreError> {
    conn.prepare_cached(statement)
        .and_then(|mut statement| statement.execute([]))
        .map(drop)
        .map_err(unavailable)
}

fn unavailable(error: rusqlite::Error) -> StoreError {
    StoreError::Unavailable(error.to_string())
}
