//! Blobs: bytes under a key.

use rusqlite::{Connection, OptionalExtension, params};

use crate::{BLOB_BYTES_MAX, BLOB_KEY_BYTES_MAX, StoreError};

/// See [`Blobs::get`](crate::Blobs::get).
pub(super) fn get(conn: &Connection, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
    let mut statement = conn.prepare_cached("SELECT value FROM blobs WHERE key = ?1")?;
    Ok(statement.query_row([key], |row| row.get(0)).optional()?)
}

/// See [`Blobs::put`](crate::Blobs::put).
pub(super) fn put(conn: &Connection, key: &str, value: &[u8]) -> Result<(), StoreError> {
    conn.prepare_cached(
        "INSERT INTO blobs (key, value) VALUES (?1, ?2) \
         ON CONFLICT (key) DO UPDATE SET value = excluded.value",
    )?
    .execute(params![key, value])?;
    Ok(())
}

/// Whether a blob is one that is taken at all.
pub(super) fn check(key: &str, value: &[u8]) -> Result<(), StoreError> {
    if !(1..=BLOB_KEY_BYTES_MAX).contains(&key.len()) {
        return Err(StoreError::TooLarge(format!(
            "a blob's key has {} bytes, 1 to {BLOB_KEY_BYTES_MAX} are taken",
            key.len()
        )));
    }
    if value.len() > BLOB_BYTES_MAX {
        return Err(StoreError::TooLarge(format!(
            "a blob has {} bytes, {BLOB_BYTES_MAX} at most",
            value.len()
        )));
    }
    Ok(())
}

/// See [`Blobs::delete`](crate::Blobs::delete).
pub(super) fn delete(conn: &Connection, key: &str) -> Result<(), StoreError> {
    conn.prepare_cached("DELETE FROM blobs WHERE key = ?1")?.execute([key])?;
    Ok(())
}

/// See [`Blobs::list`](crate::Blobs::list).
pub(super) fn list(conn: &Connection, prefix: &str) -> Result<Vec<String>, StoreError> {
    // Keys that begin with the prefix stand together, from the prefix itself on.
    let mut statement =
        conn.prepare_cached("SELECT key FROM blobs WHERE key >= ?1 ORDER BY key")?;
    let keys = statement.query_map([prefix], |row| row.get::<_, String>(0))?;
    let own = keys.take_while(|key| key.as_ref().map_or(true, |key| key.starts_with(prefix)));
    Ok(own.collect::<Result<_, _>>()?)
}
