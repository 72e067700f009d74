//! The audit log: appended to in the transaction of what it tells, chained.

use model::{AuditEntry, Millis};
use rusqlite::{Connection, OptionalExtension, params};

use super::request::Tx;
use super::rows;
use crate::chain::{Hash, Link};
use crate::{AUDIT_DETAIL_BYTES_MAX, StoreError};

/// Writes what is being done, together with it: if the transaction does not happen, neither has
/// this.
pub(super) fn append(tx: &Tx<'_>, at: Millis, entry: &AuditEntry) -> Result<(), StoreError> {
    let text = text(entry)?;
    let (last, previous) = head(tx.conn)?;
    let writer = writer(tx.conn)?;
    let link = Link { seq: last + 1, at, writer: &writer, text: &text };
    tx.conn
        .prepare_cached(
            "INSERT INTO audit (seq, at, writer, entry, hash) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![link.seq, at, writer, text, link.hash(&previous).0])?;
    Ok(())
}

/// The entry as it is stored and hashed.
fn text(entry: &AuditEntry) -> Result<String, StoreError> {
    let bytes = entry.detail.to_string().len();
    if bytes > AUDIT_DETAIL_BYTES_MAX {
        return Err(StoreError::TooLarge(format!(
            "the detail of `{}` in the audit log has {bytes} bytes as JSON, \
             {AUDIT_DETAIL_BYTES_MAX} at most",
            entry.action
        )));
    }
    rows::json("the audit entry", entry)
}

/// The last entry's place and hash.
pub(super) fn head(conn: &Connection) -> Result<(u64, Hash), StoreError> {
    let last = conn
        .prepare_cached("SELECT seq, hash FROM audit WHERE seq = (SELECT max(seq) FROM audit)")?
        .query_row([], |row| Ok((row.get(0)?, Hash(row.get(1)?))))
        .optional()?;
    Ok(last.unwrap_or_default())
}

fn writer(conn: &Connection) -> Result<String, StoreError> {
    Ok(conn.prepare_cached("SELECT writer FROM meta")?.query_row([], |row| row.get(0))?)
}
