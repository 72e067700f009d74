//! The same store in memory, done on the caller's thread: for simulations, in which one seed is one
//! schedule.
//!
//! Transactions, statements and schema are those of the file. What differs is that nothing waits:
//! a write is committed alone, and answered by the time that it is handed in. What a simulation
//! must know and no port tells is read, and broken, past the ports.

use std::sync::{Mutex, PoisonError};

use model::{InstanceId, Millis, OperationId, Published};
use rusqlite::backup::Backup;
use rusqlite::{Connection, OpenFlags, OptionalExtension};

use super::checkpoint::Checkpoints;
use super::open::configure;
use super::reader::Readers;
use super::writer::Writer;
use super::{OpenError, Options, Sqlite, jobs, rows, schema};
use crate::StoreError;

/// As a backup counts them.
const ALL_PAGES: i32 = -1;

/// A job as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobSeen {
    /// Whose it is.
    pub operation: OperationId,
    /// When it may be leased: the end of its lease or of its delay.
    pub due_at: Millis,
    /// The number of the lease that was given last; 0 when nobody holds it.
    pub fence: u64,
}

impl Sqlite {
    /// Opens the store of this name in memory, and makes it if no other handle has it open. It is
    /// gone with the last. One thread at a time may use those of a name.
    ///
    /// # Errors
    /// SQLite refuses.
    pub fn in_memory(name: &str, options: Options) -> Result<Self, OpenError> {
        let mut conn = connect(name)?;
        configure(&conn, &options)?;
        furnish(&mut conn)?;
        jobs::take_over(&conn, (options.clock)())?;
        let checkpoints = Checkpoints::of(&mut conn)?;
        let readers = Readers::one(connect(name)?)?;
        Self::assemble(conn, readers, options.clock, None, |conn, listeners| {
            Ok(Writer::here(conn, checkpoints, listeners))
        })
    }

    /// The jobs of a store in memory.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn jobs(&self) -> Result<Vec<JobSeen>, StoreError> {
        self.look(|conn| {
            conn.prepare_cached("SELECT operation, due_at, fence FROM jobs ORDER BY seq")?
                .query_map([], |row| {
                    Ok((row.get::<_, String>(0)?, row.get(1)?, row.get::<_, u64>(2)?))
                })?
                .map(|row| {
                    let (operation, due_at, fence) = row?;
                    Ok(JobSeen { operation: rows::name(&operation)?, due_at, fence })
                })
                .collect()
        })
    }

    /// What the feed of a store in memory says of an instance.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn published(&self, instance: &InstanceId) -> Result<Option<Published>, StoreError> {
        self.look(|conn| {
            conn.prepare_cached(&format!(
                "SELECT {} FROM published WHERE instance = ?1",
                rows::PUBLISHED
            ))?
            .query_row([instance.as_str()], |row| Ok(rows::published(row)))
            .optional()?
            .transpose()
        })
    }

    /// Breaks a store in memory: the operation has no job any more.
    ///
    /// # Errors
    /// It cannot be broken.
    pub fn lose_job(&self, operation: &OperationId) -> Result<(), StoreError> {
        self.look(|conn| {
            conn.execute("DELETE FROM jobs WHERE operation = ?1", [operation.as_str()])?;
            Ok(())
        })
    }

    fn look<T>(
        &self,
        look: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.inner.writer.look(look).unwrap_or_else(|| Err(StoreError::stopped()))
    }
}

/// Gives a new store its tables: page by page from one that has them, which costs a hundredth of what
/// the migrations do.
fn furnish(conn: &mut Connection) -> Result<(), OpenError> {
    static FURNISHED: Mutex<Option<Connection>> = Mutex::new(None);
    if schema::version(conn)? > 0 {
        return Ok(());
    }
    let mut slot = FURNISHED.lock().unwrap_or_else(PoisonError::into_inner);
    if slot.is_none() {
        let mut furnished = Connection::open_in_memory()?;
        schema::migrate(&mut furnished)?;
        *slot = Some(furnished);
    }
    if let Some(furnished) = slot.as_ref() {
        Backup::new(furnished, conn)?.step(ALL_PAGES)?;
    }
    Ok(())
}

/// Connections of one name share what they see.
fn connect(name: &str) -> rusqlite::Result<Connection> {
    let uri = format!("file:{name}?mode=memory&cache=shared");
    Connection::open_with_flags(uri, OpenFlags::default())
}
