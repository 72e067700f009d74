//! Whose turn it is among teams: start-time fair queueing, with one number a team.

use model::{InstanceId, Millis};
use rusqlite::{Connection, OptionalExtension, params};

use super::request::Tx;
use crate::StoreError;

/// Delayed jobs that one lease finds ready: more than come due between two leases for long, few
/// enough that no lease takes long.
const FOUND_READY_AT_ONCE: usize = 32;

/// Whose an instance is, as one word.
pub(super) fn team(conn: &Connection, instance: &InstanceId) -> Result<String, StoreError> {
    let team = conn
        .prepare_cached("SELECT organization || char(31) || space FROM instances WHERE id = ?1")?
        .query_row([instance.as_str()], |row| row.get(0))
        .optional()?;
    Ok(team.unwrap_or_default())
}

/// The next turn of a team: after its own last, and after what has had its turn.
pub(super) fn next(conn: &Connection, team: &str) -> Result<i64, StoreError> {
    let turn = conn
        .prepare_cached(
            "INSERT INTO turns (team, last) \
             VALUES (?1, (SELECT coalesce(turn, 0) FROM meta) + 1) ON CONFLICT (team) DO UPDATE \
             SET last = max(last, (SELECT coalesce(turn, 0) FROM meta)) + 1 RETURNING last",
        )?
        .query_row([team], |row| row.get(0))?;
    Ok(turn)
}

/// Gives a turn to jobs whose delay or lease has ended, the longest ready first.
pub(super) fn find_ready(tx: &Tx<'_>, now: Millis) -> Result<(), StoreError> {
    let found: Vec<(i64, String)> = tx
        .conn
        .prepare_cached(
            "SELECT seq, coalesce(team, '') FROM jobs WHERE turn IS NULL AND due_at <= ?1 \
             ORDER BY due_at LIMIT ?2",
        )?
        .query_map(params![now, FOUND_READY_AT_ONCE], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    for (seq, team) in found {
        let turn = next(tx.conn, &team)?;
        tx.conn
            .prepare_cached("UPDATE jobs SET turn = ?2 WHERE seq = ?1")?
            .execute(params![seq, turn])?;
    }
    Ok(())
}

/// A job has had its turn. A team with nothing else that is ready need not be remembered.
pub(super) fn taken(conn: &Connection, team: &str, turn: i64) -> Result<(), StoreError> {
    conn.prepare_cached("UPDATE meta SET turn = max(coalesce(turn, 0), ?1)")?.execute([turn])?;
    conn.prepare_cached("DELETE FROM turns WHERE team = ?1 AND last <= ?2")?
        .execute(params![team, turn])?;
    Ok(())
}
