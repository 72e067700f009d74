//! Connections that only read, beside the writer and never waiting for it.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use tokio::sync::Semaphore;

use crate::StoreError;

/// Statements kept prepared by a connection; more than there are in this crate.
pub(super) const STATEMENTS_MAX: usize = 128;

/// Keeps statements prepared, whatever values they are given: without the guarantee a statement with
/// `LIMIT ?` is prepared anew each time.
pub(super) fn keep_statements(conn: &Connection) -> rusqlite::Result<()> {
    conn.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map(drop)
}

/// A few connections; a read beyond them waits for one.
pub(super) struct Readers {
    idle: Arc<Mutex<Vec<Connection>>>,
    permits: Arc<Semaphore>,
    /// Whether pages, too, are read on the thread of the caller.
    always_here: bool,
}

impl Readers {
    /// Of one connection, and without another thread.
    #[cfg(feature = "contract")]
    pub(super) fn one(conn: Connection) -> rusqlite::Result<Self> {
        keep_statements(&conn)?;
        let idle = Arc::new(Mutex::new(vec![conn]));
        Ok(Self { idle, permits: Arc::new(Semaphore::new(1)), always_here: true })
    }

    /// Of connections that were opened elsewhere.
    pub(super) fn of(connections: Vec<Connection>) -> Self {
        let permits = Arc::new(Semaphore::new(connections.len()));
        Self { idle: Arc::new(Mutex::new(connections)), permits, always_here: false }
    }

    /// Opens `count` connections to the file, which exists.
    pub(super) fn open(
        path: &Path,
        count: usize,
        watch: impl Fn(&mut Connection),
    ) -> rusqlite::Result<Self> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let idle = (0..count)
            .map(|_| {
                let mut conn = Connection::open_with_flags(path, flags)?;
                watch(&mut conn);
                keep_statements(&conn)?;
                Ok(conn)
            })
            .collect::<rusqlite::Result<Vec<_>>>()?;
        Ok(Self::of(idle))
    }

    /// Runs `work` on a connection, on the thread of the caller: for the few rows of a look-up,
    /// which cost some microseconds where handing them to another thread costs a scheduler's turn
    /// (30 µs against 50, and 0.1 ms against 1.2 in the 99th percentile of a busy machine).
    pub(super) async fn here<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        F: FnOnce(&Connection) -> Result<T, StoreError>,
    {
        let _permit = self.permits.acquire().await.map_err(|_| gone())?;
        Borrowed::of(&self.idle)?.read(work)
    }

    /// Runs `work` on a connection, away from the threads that drive the runtime: for pages.
    pub(super) async fn aside<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        if self.always_here {
            return self.here(work).await;
        }
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(|_| gone())?;
        let idle = Arc::clone(&self.idle);
        let read = move || {
            // Kept until the connection is back, also when the caller has gone.
            let _permit = permit;
            Borrowed::of(&idle)?.read(work)
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

    fn read<T>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.conn.as_ref().ok_or_else(gone).and_then(work)
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

#[cfg(test)]
mod tests {
    use rusqlite::StatementStatus;

    use super::*;

    #[test]
    fn a_statement_is_prepared_once_whatever_it_is_given() {
        let conn = Connection::open_in_memory().unwrap();
        keep_statements(&conn).unwrap();
        conn.execute_batch("CREATE TABLE t (n); CREATE INDEX few ON t (n) WHERE n > 3").unwrap();
        let mut statement =
            conn.prepare("SELECT n FROM t WHERE n > ?1 ORDER BY n LIMIT ?2").unwrap();
        for given in 0..5 {
            assert!(!statement.exists([given, given]).unwrap());
        }
        assert_eq!(statement.get_status(StatementStatus::RePrepare), 0);
    }
}
