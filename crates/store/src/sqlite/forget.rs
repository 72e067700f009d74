//! Removing tombstones, a few at a time.

use model::Millis;
use rusqlite::params;

use super::request::Tx;
use crate::StoreError;

/// Tombstones removed by one transaction, so that others need not wait for thousands.
pub(super) const FORGOTTEN_AT_ONCE: usize = 100;

/// Forgets at most [`FORGOTTEN_AT_ONCE`] of those that [`Store::forget`](crate::Store::forget)
/// means; returns how many.
pub(super) fn forget(tx: &Tx<'_>, before: Millis) -> Result<usize, StoreError> {
    let ids = tombstones(tx, before)?;
    for id in &ids {
        // A reader of the feed that has not come as far must learn that it missed something.
        tx.conn
            .prepare_cached(
                "UPDATE meta SET forgotten = max(forgotten, \
                 coalesce((SELECT revision FROM published WHERE instance = ?1), 0))",
            )?
            .execute([id])?;
        tx.conn.prepare_cached("DELETE FROM instances WHERE id = ?1")?.execute([id])?;
    }
    Ok(ids.len())
}

fn tombstones(tx: &Tx<'_>, before: Millis) -> Result<Vec<String>, StoreError> {
    let mut statement = tx.conn.prepare_cached(
        "SELECT id FROM instances i WHERE state = 'deleted' AND updated_at < ?1 \
         AND NOT EXISTS (SELECT 1 FROM operations o \
         WHERE o.instance = i.id AND o.state = 'in progress') LIMIT ?2",
    )?;
    let ids = statement.query_map(params![before, FORGOTTEN_AT_ONCE], |row| row.get(0))?;
    Ok(ids.collect::<Result<_, _>>()?)
}
