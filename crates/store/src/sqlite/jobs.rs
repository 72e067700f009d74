//! The queue: a job is due, leased under a fence until it is due again, or ended.

use std::time::Duration;

use model::{InstanceId, Job, Millis, OperationId};
use rusqlite::{Connection, OptionalExtension, params};

use super::request::Tx;
use super::{rows, turns};
use crate::{Fence, Lease, StoreError};

/// Twice the longest lease or delay: what is due later than this was written before the clock was set
/// back, and would wait until it has caught up.
const FAR_MS: Millis = 60 * 60 * 1_000;
/// When such a job is due: whoever holds it still has until then to extend its lease, some times over.
const PULLED_MS: Millis = 60 * 1_000;

/// Writes a job that is due at once.
pub(super) fn enqueue(
    tx: &Tx<'_>,
    id: &OperationId,
    instance: &InstanceId,
    now: Millis,
) -> Result<(), StoreError> {
    let team = turns::team(tx.conn, instance)?;
    let turn = turns::next(tx.conn, &team)?;
    tx.conn
        .prepare_cached(
            "INSERT INTO jobs (operation, queued_at, due_at, fence, team, turn) \
             VALUES (?1, ?2, ?2, 0, ?3, ?4)",
        )?
        .execute(params![id.as_str(), now, team, turn])?;
    tx.queued();
    Ok(())
}

/// Makes the job of an operation that another's. Whoever held its lease can save nothing more, and
/// is waited for: what it is doing must have ended before the other begins.
pub(super) fn hand_over(
    tx: &Tx<'_>,
    from: &OperationId,
    to: &OperationId,
    instance: &InstanceId,
    now: Millis,
) -> Result<(), StoreError> {
    let held = tx
        .conn
        .prepare_cached(
            "UPDATE jobs SET operation = ?2, queued_at = ?3, fence = 0, turn = NULL, tries = 0, \
             revoked = CASE WHEN fence <> 0 THEN fence ELSE revoked END, \
             due_at = CASE WHEN fence <> 0 OR revoked IS NOT NULL THEN due_at ELSE ?3 END \
             WHERE operation = ?1 RETURNING revoked",
        )?
        .query_row(params![from.as_str(), to.as_str(), now], |row| row.get::<_, Option<u64>>(0))
        .optional()?;
    match held {
        None => return enqueue(tx, to, instance, now),
        Some(Some(fence)) => tx.revoked(fence),
        Some(None) => {}
    }
    tx.queued();
    Ok(())
}

/// Whether somebody may be working on an operation: its lease, or one that was revoked and not given
/// back, has not run out.
pub(super) fn is_held(
    conn: &Connection,
    id: &OperationId,
    now: Millis,
) -> Result<bool, StoreError> {
    let mut statement = conn.prepare_cached(
        "SELECT 1 FROM jobs WHERE operation = ?1 AND due_at > ?2 \
         AND (fence <> 0 OR revoked IS NOT NULL)",
    )?;
    Ok(statement.exists(params![id.as_str(), now])?)
}

/// Whether this lease was revoked and not yet given back.
pub(super) fn is_revoked(conn: &Connection, fence: &Fence) -> Result<bool, StoreError> {
    let mut statement = conn.prepare_cached("SELECT 1 FROM jobs WHERE revoked = ?1")?;
    Ok(statement.exists([fence.number])?)
}

/// Removes the job of an operation that has ended.
pub(super) fn end(tx: &Tx<'_>, id: &OperationId) -> Result<(), StoreError> {
    tx.conn.prepare_cached("DELETE FROM jobs WHERE operation = ?1")?.execute([id.as_str()])?;
    tx.queued();
    Ok(())
}

/// Whether this fence is the one that holds the job.
pub(super) fn check(conn: &Connection, fence: &Fence) -> Result<(), StoreError> {
    let held = conn
        .prepare_cached("SELECT 1 FROM jobs WHERE operation = ?1 AND fence = ?2 AND fence <> 0")?
        .exists(params![fence.operation.as_str(), fence.number])?;
    if held { Ok(()) } else { Err(StoreError::Fenced) }
}

/// See [`Queue::lease_beside`](crate::Queue::lease_beside).
pub(super) fn lease(
    tx: &Tx<'_>,
    now: Millis,
    lease: Duration,
    full: &[String],
) -> Result<Option<Lease>, StoreError> {
    turns::find_ready(tx, now)?;
    let Some(Ready { seq, operation, team, turn, tries }) = first(tx.conn, full)? else {
        return Ok(None);
    };
    turns::taken(tx.conn, &team, turn)?;
    let operation_id: OperationId = rows::name(&operation)?;
    let until = now.saturating_add(Millis::try_from(lease.as_millis()).unwrap_or(Millis::MAX));
    let number: u64 = tx
        .conn
        .prepare_cached("UPDATE meta SET fence = fence + 1 RETURNING fence")?
        .query_row([], |row| row.get(0))?;
    tx.conn
        .prepare_cached(
            "UPDATE jobs SET due_at = ?2, fence = ?3, tries = ?4, revoked = NULL, turn = NULL \
             WHERE seq = ?1",
        )?
        .execute(params![seq, until, number, tries])?;
    tx.queued();
    let fence = Fence { operation: operation_id.clone(), number };
    Ok(Some(Lease { job: Job { operation_id }, team, fence, until, tries }))
}

/// The job whose turn it is.
struct Ready {
    seq: i64,
    operation: String,
    team: String,
    turn: i64,
    /// This lease included.
    tries: u32,
}

/// The first whose team is not full. The statement is walked, not filled in: its first row is nearly
/// always the one.
fn first(conn: &Connection, full: &[String]) -> Result<Option<Ready>, StoreError> {
    let mut statement = conn.prepare_cached(
        "SELECT seq, operation, coalesce(team, ''), turn, coalesce(tries, 0) + 1 FROM jobs \
         WHERE turn IS NOT NULL ORDER BY turn, seq",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let team: String = row.get(2)?;
        if full.contains(&team) {
            continue;
        }
        let (seq, operation, turn, tries) = (row.get(0)?, row.get(1)?, row.get(3)?, row.get(4)?);
        return Ok(Some(Ready { seq, operation, team, turn, tries }));
    }
    Ok(None)
}

/// Something came of the lease under which this was saved.
pub(super) fn moved(conn: &Connection, id: &OperationId) -> Result<(), StoreError> {
    conn.prepare_cached("UPDATE jobs SET tries = 1 WHERE operation = ?1 AND tries > 1")?
        .execute([id.as_str()])?;
    Ok(())
}

/// See [`Queue::extend`](crate::Queue::extend).
pub(super) fn extend(tx: &Tx<'_>, fence: &Fence, until: Millis) -> Result<(), StoreError> {
    if reschedule(tx, fence, until, true)? {
        return Ok(());
    }
    let extended = tx
        .conn
        .prepare_cached("UPDATE jobs SET due_at = ?2, turn = NULL WHERE revoked = ?1")?
        .execute(params![fence.number, until])?;
    told(tx, extended)
}

/// See [`Queue::release`](crate::Queue::release).
pub(super) fn release(tx: &Tx<'_>, fence: &Fence, at: Millis) -> Result<(), StoreError> {
    if reschedule(tx, fence, at, false)? {
        return Ok(());
    }
    let freed = tx
        .conn
        .prepare_cached(
            "UPDATE jobs SET due_at = ?2, revoked = NULL, turn = NULL WHERE revoked = ?1",
        )?
        .execute(params![fence.number, at])?;
    told(tx, freed)
}

/// See [`Queue::wake`](crate::Queue::wake).
pub(super) fn wake(tx: &Tx<'_>, id: &OperationId, now: Millis) -> Result<(), StoreError> {
    let woken = tx
        .conn
        .prepare_cached(
            "UPDATE jobs SET due_at = ?2 \
             WHERE operation = ?1 AND fence = 0 AND revoked IS NULL AND due_at > ?2",
        )?
        .execute(params![id.as_str(), now])?;
    if woken > 0 {
        tx.queued();
    }
    Ok(())
}

/// Whether the fence holds its job, which is due then from now on.
fn reschedule(tx: &Tx<'_>, fence: &Fence, due: Millis, held: bool) -> Result<bool, StoreError> {
    let moved = tx
        .conn
        .prepare_cached(
            "UPDATE jobs SET due_at = ?3, fence = fence * ?4, tries = tries * ?4, turn = NULL \
             WHERE operation = ?1 AND fence = ?2 AND fence <> 0",
        )?
        .execute(params![fence.operation.as_str(), fence.number, due, held])?;
    if moved > 0 {
        tx.queued();
    }
    Ok(moved > 0)
}

fn told(tx: &Tx<'_>, rows: usize) -> Result<(), StoreError> {
    if rows == 0 {
        return Err(StoreError::Fenced);
    }
    tx.queued();
    Ok(())
}

/// See [`Queue::sweep`](crate::Queue::sweep).
pub(super) fn sweep(tx: &Tx<'_>, now: Millis) -> Result<usize, StoreError> {
    let swept = tx
        .conn
        .prepare_cached(
            "INSERT INTO jobs (operation, queued_at, due_at, fence, team) \
             SELECT o.id, ?1, ?1, 0, i.organization || char(31) || i.space \
             FROM operations o JOIN instances i ON i.id = o.instance WHERE o.state = 'in progress' \
             AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.operation = o.id)",
        )?
        .execute([now])?;
    let pulled = tx
        .conn
        .prepare_cached("UPDATE jobs SET due_at = ?2 WHERE due_at > ?1 AND turn IS NULL")?
        .execute([now.saturating_add(FAR_MS), now.saturating_add(PULLED_MS)])?;
    if swept + pulled > 0 {
        tx.queued();
    }
    if pulled > 0 {
        tracing::warn!(pulled, "jobs were due hours ahead: the clock was set back");
    }
    Ok(swept)
}

/// See [`Queue::depth`](crate::Queue::depth).
pub(super) fn depth(conn: &Connection, now: Millis) -> Result<(usize, Millis), StoreError> {
    let (jobs, oldest) = conn
        .prepare_cached("SELECT count(*), min(due_at) FROM jobs")?
        .query_row([], |row| Ok((row.get(0)?, row.get::<_, Option<Millis>>(1)?)))?;
    let age = oldest.map_or(0, |oldest| now.saturating_sub(oldest).max(0));
    Ok((jobs, age))
}

/// Makes every leased job due: whoever held it was a process that is gone, because the file is ours
/// alone. Without this what was under way when a process died would wait for its lease to end.
pub(super) fn take_over(conn: &Connection, now: Millis) -> rusqlite::Result<usize> {
    conn.execute(
        "UPDATE jobs SET due_at = ?1, revoked = NULL \
         WHERE (fence <> 0 OR revoked IS NOT NULL) AND due_at > ?1",
        [now],
    )
}

/// When the next job is due: the end of a delay or a lease, or long ago.
pub(super) fn next_due(conn: &Connection) -> Result<Option<Millis>, StoreError> {
    let due = conn.prepare_cached("SELECT min(due_at) FROM jobs")?.query_row([], |r| r.get(0))?;
    Ok(due)
}
