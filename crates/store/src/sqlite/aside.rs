//! One thread that reads a file which may hang: a disk that does not answer holds it, and nobody else.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::follower::Opened;
use crate::StoreError;

/// How long a read may take before the store counts as unavailable: a page of the feed takes a few
/// milliseconds, a store that is locked a second.
const LATE: Duration = Duration::from_secs(3);
/// Reads that wait for the thread.
const QUEUE_MAX: usize = 256;

type Job = Box<dyn FnOnce(Result<&Connection, StoreError>) + Send>;

/// The thread, which ends with this.
pub(super) struct Aside {
    path: PathBuf,
    jobs: SyncSender<Job>,
    /// Since when it has been at the read that it is at.
    at: Arc<Mutex<Option<Instant>>>,
}

impl Aside {
    /// Reads the store at `path`. Where there can be no thread, there is no answer.
    pub(super) fn of(path: PathBuf) -> Self {
        let (jobs, waiting) = sync_channel(QUEUE_MAX);
        let at = Arc::<Mutex<Option<Instant>>>::default();
        let (file, busy) = (path.clone(), Arc::clone(&at));
        let named = std::thread::Builder::new().name("follower".to_owned());
        if let Err(error) = named.spawn(move || work(&file, &waiting, &busy)) {
            tracing::error!(%error, "there is no thread to read the store with");
        }
        Self { path, jobs, at }
    }

    /// What `work` reads, or that the store does not answer.
    pub(super) async fn read<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        // Whoever comes while the disk hangs is told at once.
        if self.at().is_some_and(|since| since.elapsed() >= LATE) {
            return Err(self.late());
        }
        let (answer, answered) = oneshot::channel();
        let job = move |conn: Result<&Connection, StoreError>| {
            // Nobody waits for it any more.
            if !answer.is_closed() {
                let _ = answer.send(conn.and_then(work));
            }
        };
        self.jobs.try_send(Box::new(job)).map_err(|_| self.late())?;
        match tokio::time::timeout(LATE, answered).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(self.late()),
            Err(_) => {
                self.hangs();
                Err(self.late())
            }
        }
    }

    /// Somebody has waited as long as anybody does: nobody else waits for the read that is under way.
    fn hangs(&self) {
        let mut at = self.at.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Some(since), Some(long_ago)) = (at.as_mut(), Instant::now().checked_sub(LATE)) {
            *since = long_ago.min(*since);
        }
    }

    fn at(&self) -> Option<Instant> {
        *self.at.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn late(&self) -> StoreError {
        let path = self.path.display();
        StoreError::Unavailable(format!("{path}: it does not answer within {LATE:?}"))
    }
}

fn work(path: &std::path::Path, jobs: &Receiver<Job>, at: &Mutex<Option<Instant>>) {
    let tell = |now| *at.lock().unwrap_or_else(PoisonError::into_inner) = now;
    let mut opened = None;
    while let Ok(job) = jobs.recv() {
        tell(Some(Instant::now()));
        job(Opened::of(&mut opened, path));
        tell(None);
    }
}
