//! One thread that reads a file which may hang: a disk that does not answer holds it, and nobody else.
//!
//! It also looks for what others wait for, again and again: forty looks a second, each handed over and back,
//! cost three times as much.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
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
/// Between two looks for what is waited for: a look is a few microseconds.
const LOOK: Duration = Duration::from_millis(25);

type Read = Box<dyn FnOnce(Result<&Connection, StoreError>) + Send>;

/// What somebody waits for.
struct Watch {
    holds: Box<dyn Fn(&Connection) -> bool + Send>,
    /// Closed once nobody waits any more.
    told: oneshot::Sender<()>,
}

enum Job {
    Read(Read),
    Watch(Watch),
}

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
        self.jobs.try_send(Job::Read(Box::new(job))).map_err(|_| self.late())?;
        match tokio::time::timeout(LATE, answered).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(self.late()),
            Err(_) => {
                self.hangs();
                Err(self.late())
            }
        }
    }

    /// Waits until this holds, for so long at most. What cannot be read does not hold.
    pub(super) async fn wait<F>(&self, timeout: Duration, holds: F)
    where
        F: Fn(&Connection) -> bool + Send + 'static,
    {
        let (told, holds_now) = oneshot::channel();
        let watch = Watch { holds: Box::new(holds), told };
        let waiting = async {
            match self.jobs.try_send(Job::Watch(watch)) {
                Ok(()) => drop(holds_now.await),
                // Nobody looks: it may hold, for all that is known.
                Err(_) => tokio::time::sleep(timeout).await,
            }
        };
        let _ = tokio::time::timeout(timeout, waiting).await;
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

/// The thread.
struct Worker<'a> {
    path: &'a Path,
    at: &'a Mutex<Option<Instant>>,
    opened: Option<Opened>,
    watches: Vec<Watch>,
}

fn work(path: &Path, jobs: &Receiver<Job>, at: &Mutex<Option<Instant>>) {
    let mut worker = Worker { path, at, opened: None, watches: Vec::new() };
    let mut looked = Instant::now();
    loop {
        let next = if worker.watches.is_empty() {
            jobs.recv().map_err(|_| RecvTimeoutError::Disconnected)
        } else {
            jobs.recv_timeout(LOOK.saturating_sub(looked.elapsed()))
        };
        match next {
            Ok(Job::Read(read)) => worker.with(read),
            Ok(Job::Watch(watch)) => worker.look(vec![watch]),
            Err(RecvTimeoutError::Timeout) => {
                let all = std::mem::take(&mut worker.watches);
                worker.look(all);
                looked = Instant::now();
            }
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

impl Worker<'_> {
    fn with<T>(&mut self, work: impl FnOnce(Result<&Connection, StoreError>) -> T) -> T {
        let tell = |now| *self.at.lock().unwrap_or_else(PoisonError::into_inner) = now;
        tell(Some(Instant::now()));
        let done = work(Opened::of(&mut self.opened, self.path));
        tell(None);
        done
    }

    /// Tells those for whom it holds, and keeps the others that still wait.
    fn look(&mut self, mut watches: Vec<Watch>) {
        watches.retain(|watch| !watch.told.is_closed());
        if watches.is_empty() {
            return;
        }
        let kept = self.with(|conn| {
            let Ok(conn) = conn else { return watches };
            let (held, kept): (Vec<_>, Vec<_>) =
                watches.into_iter().partition(|watch| (watch.holds)(conn));
            for watch in held {
                let _ = watch.told.send(());
            }
            kept
        });
        self.watches.extend(kept);
    }
}
