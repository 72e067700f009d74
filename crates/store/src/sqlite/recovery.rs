//! What is left to decide after a restore: two columns that the restore wrote.

use async_trait::async_trait;
use model::{AuditEntry, Millis};

use super::{Sqlite, audit};
use crate::{Recovery, StoreError};

#[async_trait]
impl Recovery for Sqlite {
    async fn restored_from(&self) -> Result<Option<(u64, u64)>, StoreError> {
        self.inner.readers.here(restored_from).await
    }

    async fn confirm(&self, at: Millis, entry: AuditEntry) -> Result<(), StoreError> {
        let write = move |tx: &super::request::Tx<'_>| {
            tx.conn
                .prepare_cached("UPDATE meta SET ahead_epoch = NULL, ahead_revision = NULL")?
                .execute([])?;
            audit::append(tx, at, &entry)
        };
        self.inner.writer.write(write).await
    }
}

pub(super) fn restored_from(conn: &rusqlite::Connection) -> Result<Option<(u64, u64)>, StoreError> {
    let (epoch, revision): (Option<u64>, Option<u64>) = conn
        .prepare_cached("SELECT ahead_epoch, ahead_revision FROM meta")?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(epoch.zip(revision))
}
