//! Connections that only read, beside the writer and never waiting for it.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::{Connection, OpenFlags};
use tokio::sync::Semaphore;

use crate::StoreError;

/// Statements kept prepared by a connection; more than there are in this crate.
pub(super) const STATEMENTS_MAX: usize = 64;

/// A few connections; a read beyond them waits for one.
pub(super) struct Readers {
    idle: Arc<Mutex<Vec<Connection>>>,
    permits: Semaphore,
}

impl Readers {
    /// Opens `count` connections to the file, which exists.
    pub(super) fn open(path: &Path, count: usize) -> rusqlite::Result<Self> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let idle = (0..count)
            .map(|_| {
                let conn = Connection::open_with_flags(path, flags)?;
                conn.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
                Ok(conn)
            })
            .collect::<rusqlite::Result<Vec<_>>>()?;
        Ok(Self { idle: Arc::new(Mutex::new(idle)), permits: Semaphore::new(count) })
    }

    /// Runs `work` on a connection, away from the threads that drive the runtime.
    pub(super) async fn read<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let _permit = self.permits.acquire().await.map_err(|_| gone())?;
        let idle = Arc::clone(&self.idle);
        let read = move || {
            let borrowed = Borrowed::of(&idle)?;
            borrowed.conn.as_ref().ok_or_else(gone).and_then(work)
        };
        tokio::task::spawn_blocking(read).await.map_err(|_| gone())?
    }
}

/// Goes back to the pool also when a read panics.
struct Borrowed<'a> {
    idle: &'a Mutex<Vec<Connection>>,
    conn: Option<Connection>,
}

impl<'a> Borrowed<'a> {
    fn of(idle: &'a Mutex<Vec<Connection>>) -> Result<Self, StoreError> {
        let conn = idle.lock().unwrap_or_else(PoisonError::into_inner).pop().ok_or_else(gone)?;
        Ok(Self { idle, conn: Some(conn) })
    }
}

impl Drop for Borrowed<'_> {
    fn drop(&mut self) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).extend(self.conn.take());
    }
}

fn gone() -> StoreError {
    StoreError::Unavailable("the reader has stopped".to_owned())
}
