//! The change feed: each instance at its latest revision, in the order of revisions.

use rusqlite::{Connection, params};

use super::rows;
use crate::{Changes, Cursor, PAGE_ROWS_MAX, StoreError};

/// A cursor taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Position {
    /// Of the store that made it.
    pub(super) epoch: u64,
    /// All up to here was seen.
    pub(super) revision: u64,
    /// What had been forgotten when its reader began: not to be missed by it.
    pub(super) forgotten: u64,
}

impl Position {
    /// `None` for what no release of ours has made.
    pub(super) fn of(cursor: &Cursor) -> Option<Self> {
        let mut parts = cursor.0.split('.').map(|part| part.parse().ok());
        let position =
            Self { epoch: parts.next()??, revision: parts.next()??, forgotten: parts.next()?? };
        parts.next().is_none().then_some(position)
    }

    fn cursor(self) -> Cursor {
        Cursor(format!("{}.{}.{}", self.epoch, self.revision, self.forgotten))
    }
}

/// The counters that a page is judged by.
struct Meta {
    epoch: u64,
    revision: u64,
    forgotten: u64,
}

/// See [`Store::changes`](crate::Store::changes).
pub(super) fn changes(
    conn: &Connection,
    cursor: Option<&Cursor>,
    limit: usize,
) -> Result<Changes, StoreError> {
    // Counters and rows of one moment: the cursor says exactly what the page has told.
    let moment = conn.unchecked_transaction()?;
    let meta = meta(&moment)?;
    let known = cursor.and_then(Position::of).filter(|position| still_holds(*position, &meta));
    let start = known.unwrap_or(Position { epoch: meta.epoch, revision: 0, ..position(&meta) });
    let limit = limit.clamp(1, PAGE_ROWS_MAX);
    let mut changes = rows_after(&moment, start.revision, limit + 1)?;
    let more = changes.len() > limit;
    changes.truncate(limit);
    // At the end of the feed the cursor goes beyond what was forgotten of it.
    let seen = if more { changes.last().map(|change| change.revision) } else { None };
    let revision = seen.unwrap_or(meta.revision);
    let cursor = Position { revision, ..start }.cursor();
    let reached = meta.revision;
    Ok(Changes { changes, reset: known.is_none(), reached, cursor, more })
}

fn position(meta: &Meta) -> Position {
    Position { epoch: meta.epoch, revision: meta.revision, forgotten: meta.forgotten }
}

/// Whether everything that happened after this position is still told.
fn still_holds(position: Position, meta: &Meta) -> bool {
    let missed = meta.forgotten > position.forgotten && meta.forgotten > position.revision;
    position.epoch == meta.epoch && position.revision <= meta.revision && !missed
}

fn meta(conn: &Connection) -> Result<Meta, StoreError> {
    let meta = conn
        .prepare_cached("SELECT epoch, revision, forgotten FROM meta")?
        .query_row([], |row| {
            Ok(Meta { epoch: row.get(0)?, revision: row.get(1)?, forgotten: row.get(2)? })
        })?;
    Ok(meta)
}

fn rows_after(
    conn: &Connection,
    revision: u64,
    limit: usize,
) -> Result<Vec<crate::Change>, StoreError> {
    let mut statement = conn.prepare_cached(&format!(
        "SELECT {} FROM published WHERE revision > ?1 ORDER BY revision LIMIT ?2",
        rows::PUBLISHED
    ))?;
    let found = statement.query_map(params![revision, limit], |row| Ok(rows::published(row)))?;
    found.map(|row| row?).collect()
}

/// The store's epoch and the revision last published, as the store opens.
pub(super) fn opening(conn: &Connection) -> Result<(u64, u64), StoreError> {
    let meta = meta(conn)?;
    Ok((meta.epoch, meta.revision))
}
