//! The audit log: appended to in the transaction of what it tells, chained; and read in pages.

use model::{AuditEntry, Millis};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, params, params_from_iter};

use super::request::Tx;
use super::rows;
use crate::chain::{Hash, Link};
use crate::{
    AUDIT_DETAIL_BYTES_MAX, AUDIT_LOOKED_AT_MAX, AUDIT_OWNERS_MAX, AuditFilter, AuditHead,
    AuditPage, AuditRecord, PAGE_ROWS_MAX, StoreError,
};

/// Writes what is being done, together with it: if the transaction does not happen, neither has
/// this.
pub(super) fn append(tx: &Tx<'_>, at: Millis, entry: &AuditEntry) -> Result<(), StoreError> {
    let text = text(entry)?;
    let last = head(tx.conn)?;
    let writer = writer(tx.conn)?;
    let link = Link { seq: last.seq + 1, at, writer: &writer, text: &text };
    tx.conn
        .prepare_cached(
            "INSERT INTO audit (seq, at, writer, entry, hash) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![link.seq, at, writer, text, link.hash(&last.hash).0])?;
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

/// See [`Audit::head`](crate::Audit::head).
pub(super) fn head(conn: &Connection) -> Result<AuditHead, StoreError> {
    let last = conn
        .prepare_cached("SELECT seq, hash FROM audit WHERE seq = (SELECT max(seq) FROM audit)")?
        .query_row([], |row| Ok(AuditHead { seq: row.get(0)?, hash: hash(row, 1)? }))
        .optional()?;
    Ok(last.unwrap_or_default())
}

fn writer(conn: &Connection) -> Result<String, StoreError> {
    Ok(conn.prepare_cached("SELECT writer FROM meta")?.query_row([], |row| row.get(0))?)
}

/// The columns that [`record`] reads, in its order.
pub(super) const RECORD: &str = "seq, at, writer, entry, hash";

/// An entry, of a row of [`RECORD`].
pub(super) fn record(row: &Row<'_>) -> rusqlite::Result<AuditRecord> {
    Ok(AuditRecord {
        // A place below zero, which nobody gave, is then none that is expected.
        seq: row.get::<_, i64>(0)?.cast_unsigned(),
        at: row.get(1)?,
        writer: row.get(2)?,
        text: row.get(3)?,
        hash: hash(row, 4)?,
    })
}

/// A hash of another length is one that nothing has.
fn hash(row: &Row<'_>, index: usize) -> rusqlite::Result<Hash> {
    let bytes: Vec<u8> = row.get(index)?;
    Ok(Hash(bytes.try_into().unwrap_or_default()))
}

/// The places between which a page lies; neither is part of it.
#[derive(Clone, Copy)]
struct Span {
    low: u64,
    high: u64,
}

/// See [`Audit::entries`](crate::Audit::entries).
pub(super) fn entries(conn: &Connection, filter: &AuditFilter) -> Result<AuditPage, StoreError> {
    let limit = filter.limit.clamp(1, PAGE_ROWS_MAX);
    let whole = span(conn, filter)?;
    let looked_at = if is_slow(filter) { window(filter, whole) } else { whole };
    let mut records = Vec::new();
    match &filter.owners {
        None => records = page(conn, filter, &[], looked_at, limit + 1)?,
        Some(owners) => {
            for owner in owners.iter().take(AUDIT_OWNERS_MAX) {
                let equal = [("organization", &owner.organization), ("space", &owner.space)];
                records.extend(page(conn, filter, &equal, looked_at, limit + 1)?);
            }
            records.sort_by_key(|record| record.seq);
            records.dedup_by_key(|record| record.seq);
            if filter.latest_first {
                records.reverse();
            }
        }
    }
    let more = records.len() > limit;
    records.truncate(limit);
    let next =
        if more { records.last().map(|last| last.seq) } else { rest(filter, whole, looked_at) };
    Ok(AuditPage { records, next })
}

/// By what no index helps with.
fn is_slow(filter: &AuditFilter) -> bool {
    filter.credential.is_some() || filter.action.is_some()
}

/// All that may be on this page or on those after it. Times are places: those of the first and the
/// last entry between them.
fn span(conn: &Connection, filter: &AuditFilter) -> Result<Span, StoreError> {
    let mut span = Span { low: 0, high: head(conn)?.seq + 1 };
    if let Some(since) = filter.since {
        let first =
            place(conn, "SELECT seq FROM audit WHERE at >= ?1 ORDER BY at, seq LIMIT 1", since)?;
        span.low = first.map_or(span.high, |seq| seq - 1);
    }
    if let Some(until) = filter.until {
        let last = place(
            conn,
            "SELECT seq FROM audit WHERE at < ?1 ORDER BY at DESC, seq DESC LIMIT 1",
            until,
        )?;
        span.high = last.map_or(0, |seq| seq + 1);
    }
    match filter.beyond {
        Some(seq) if filter.latest_first => span.high = span.high.min(seq),
        Some(seq) => span.low = span.low.max(seq),
        None => {}
    }
    Ok(span)
}

fn place(conn: &Connection, sql: &str, at: Millis) -> Result<Option<u64>, StoreError> {
    Ok(conn.prepare_cached(sql)?.query_row([at], |row| row.get(0)).optional()?)
}

/// The part of the span that is looked at for one page.
fn window(filter: &AuditFilter, Span { low, high }: Span) -> Span {
    if filter.latest_first {
        return Span { low: low.max(high.saturating_sub(AUDIT_LOOKED_AT_MAX + 1)), high };
    }
    Span { low, high: high.min(low.saturating_add(AUDIT_LOOKED_AT_MAX + 1)) }
}

/// Where to go on when all that was looked at is on the page.
fn rest(filter: &AuditFilter, whole: Span, looked_at: Span) -> Option<u64> {
    if filter.latest_first {
        return (looked_at.low > whole.low).then(|| looked_at.low + 1);
    }
    (looked_at.high < whole.high).then(|| looked_at.high - 1)
}

fn page(
    conn: &Connection,
    filter: &AuditFilter,
    equal: &[(&str, &String)],
    Span { low, high }: Span,
    rows: usize,
) -> Result<Vec<AuditRecord>, StoreError> {
    let mut sql = format!("SELECT {RECORD} FROM audit WHERE seq > ?1 AND seq < ?2");
    let mut values = vec![Value::from(signed(low)), Value::from(signed(high))];
    let by = [
        ("object", &filter.object),
        ("entry ->> '$.by.credential'", &filter.credential),
        ("entry ->> '$.action'", &filter.action),
    ];
    let given = by.iter().filter_map(|(column, value)| Some((*column, value.as_ref()?)));
    for (column, value) in equal.iter().copied().chain(given) {
        values.push(value.clone().into());
        sql.push_str(&format!(" AND {column} = ?{}", values.len()));
    }
    let order = if filter.latest_first { "DESC" } else { "ASC" };
    sql.push_str(&format!(" ORDER BY seq {order} LIMIT {rows}"));
    let mut statement = conn.prepare_cached(&sql)?;
    let found = statement.query_map(params_from_iter(values), record)?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}

fn signed(seq: u64) -> i64 {
    i64::try_from(seq).unwrap_or(i64::MAX)
}
