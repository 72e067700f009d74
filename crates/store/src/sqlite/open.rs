//! Opening the file: the lock, the pragmas, the schema.

use std::ffi::OsString;
use std::fs::{File, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::watch;

use super::checkpoint::Checkpoints;
use super::reader::{Readers, keep_statements};
use super::request::NEWS_SLOTS;
use super::writer::{Listeners, Writer};
use super::{Inner, OpenError, Options, Sqlite, feed, jobs, leases, schema};
use crate::Clock;

/// How long the writer waits for a stranger, such as somebody's `sqlite3`, before it says that it
/// cannot commit.
pub(super) const STRANGER_WAIT: Duration = Duration::from_secs(1);
/// What remains of a write-ahead log that once was longer.
const LOG_KEPT_BYTES: u32 = 64 << 20;

impl Sqlite {
    /// Opens the store at `path`, and makes it if there is none. Blocks: it may recover a log or
    /// migrate a schema.
    ///
    /// # Errors
    /// Another process has it, a newer release wrote it, or the file cannot be used.
    pub fn open(path: impl AsRef<Path>, options: Options) -> Result<Self, OpenError> {
        Self::open_watched(path.as_ref(), options, |_| {})
    }

    /// The same, each of its connections shown to `watch` when its schema is in place.
    pub(super) fn open_watched(
        path: &Path,
        options: Options,
        watch: impl Fn(&mut Connection),
    ) -> Result<Self, OpenError> {
        let lock = lock(path)?;
        private(path).map_err(|source| OpenError::File { path: path.to_owned(), source })?;
        let mut conn = Connection::open(path)?;
        configure(&conn, &options)?;
        schema::migrate(&mut conn)?;
        jobs::take_over(&conn, (options.clock)())?;
        leases::take_over(&conn)?;
        let checkpoints = Checkpoints::of(&mut conn)?;
        watch(&mut conn);
        let readers = Readers::open(path, options.readers.max(1), watch)?;
        Self::assemble(conn, readers, options.clock, Some(lock), |conn, listeners| {
            Writer::start(conn, checkpoints, listeners)
                .map_err(|source| OpenError::File { path: path.to_owned(), source })
        })
    }

    /// Of a connection whose schema is in place, and what becomes of it.
    pub(super) fn assemble(
        conn: Connection,
        readers: Readers,
        clock: Clock,
        lock: Option<File>,
        start: impl FnOnce(Connection, Listeners) -> Result<Writer, OpenError>,
    ) -> Result<Self, OpenError> {
        let (epoch, last) = feed::opening(&conn)?;
        let (revision_sender, revision) = watch::channel(last);
        let (due_sender, due) = watch::channel(jobs::next_due(&conn)?);
        let (revoked_sender, revoked) = watch::channel(0);
        let taken = Arc::default();
        let operations: Arc<[_]> = (0..NEWS_SLOTS).map(|_| watch::Sender::new(0)).collect();
        let listeners = Listeners {
            revision: revision_sender,
            revoked: revoked_sender,
            due: due_sender,
            taken: Arc::clone(&taken),
            operations: Arc::clone(&operations),
        };
        let writer = start(conn, listeners)?;
        let inner = Inner {
            writer,
            readers,
            epoch,
            clock,
            revision,
            revoked,
            due,
            taken,
            operations,
            _lock: lock,
        };
        Ok(Self { inner: Arc::new(inner) })
    }
}

pub(super) fn configure(conn: &Connection, options: &Options) -> Result<(), OpenError> {
    conn.busy_timeout(STRANGER_WAIT)?;
    keep_statements(conn)?;
    conn.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    conn.pragma_update(None, "synchronous", "FULL")?;
    conn.pragma_update(None, "foreign_keys", true)?;
    conn.pragma_update(None, "wal_autocheckpoint", 0)?;
    conn.pragma_update(None, "journal_size_limit", LOG_KEPT_BYTES)?;
    if let Some(pages) = options.pages_max {
        conn.pragma_update(None, "max_page_count", pages)?;
    }
    Ok(())
}

/// Takes `<path>.lock`, which the system frees when the process ends, however it ends. SQLite's own
/// locks would allow a second process to write between our transactions.
pub(super) fn lock(path: &Path) -> Result<File, OpenError> {
    let beside = beside(path);
    let failed = |source| OpenError::File { path: beside.clone(), source };
    let mut file = private(&beside).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(OpenError::InUse { path: path.to_owned(), pid: holder(&mut file) });
        }
        Err(TryLockError::Error(source)) => return Err(failed(source)),
    }
    note_holder(&mut file).map_err(failed)?;
    Ok(file)
}

/// Opens a file, and makes it if there is none, for its owner alone: what tenants told us is
/// nobody else's. SQLite gives the log the file's mode.
pub(super) fn private(path: &Path) -> std::io::Result<File> {
    let mut options = File::options();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.read(true).write(true).create(true).truncate(false).open(path)
}

fn beside(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".lock");
    name.into()
}

fn holder(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

/// For the message that the next process prints.
fn note_holder(file: &mut File) -> std::io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}
