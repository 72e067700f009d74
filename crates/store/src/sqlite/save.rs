//! A worker's write: the operation with the effects of its step, if the fence still holds.

use model::{InstanceId, InstanceState, Millis, Operation, OperationState, Spec};
use rusqlite::{Connection, params};

use super::rows::{self, instance_word};
use super::{bindings, jobs, names, proofs, request::Tx, story};
use crate::{Save, StoreError, Write};

/// See [`Store::save`](crate::Store::save).
pub(super) fn save(tx: &Tx<'_>, mut save: Save) -> Result<Option<u64>, StoreError> {
    if save.fence.operation != save.operation.id {
        return Err(StoreError::Fenced);
    }
    jobs::check(tx.conn, &save.fence)?;
    let mut revision = None;
    for write in &save.writes {
        revision = apply(tx, &save.operation, write, save.now)?.or(revision);
    }
    save.operation.revision = revision.or(save.operation.revision);
    let operation = &save.operation;
    write_operation(tx, operation)?;
    if operation.state != OperationState::InProgress {
        jobs::end(tx, &operation.id)?;
    } else {
        jobs::moved(tx.conn, &operation.id)?;
    }
    story::ended(tx, operation, save.now)?;
    Ok(revision)
}

/// Writes an operation that is there as it now is.
pub(super) fn write_operation(tx: &Tx<'_>, operation: &Operation) -> Result<(), StoreError> {
    tx.wrote(operation);
    tx.conn
        .prepare_cached("UPDATE operations SET state = ?2, document = ?3 WHERE id = ?1")?
        .execute(params![
            operation.id.as_str(),
            rows::operation_word(operation.state),
            rows::json("the operation", operation)?,
        ])?;
    Ok(())
}

fn apply(
    tx: &Tx<'_>,
    operation: &Operation,
    write: &Write,
    now: Millis,
) -> Result<Option<u64>, StoreError> {
    let (conn, instance) = (tx.conn, &operation.instance);
    match write {
        Write::Publish(spec) => return publish(tx, instance, spec, now).map(Some),
        Write::Unpublish => {
            bindings::revoke_all(tx, instance, &operation.requested_by, now)?;
            return unpublish(tx, instance).map(Some);
        }
        Write::MarkGood(revision) => mark_good(conn, instance, *revision)?,
        Write::Release(names) => names::release(conn, instance, names, now)?,
        Write::ReleaseAll => names::release_all(conn, instance, now)?,
        Write::State(state) => set_state(conn, instance, *state, now)?,
    }
    Ok(None)
}

/// The next revision. Only the writer's transaction draws them, in the order of its commits: a
/// reader that has seen one has seen all below it.
pub(super) fn next_revision(tx: &Tx<'_>) -> Result<u64, StoreError> {
    let revision = tx
        .conn
        .prepare_cached("UPDATE meta SET revision = revision + 1 RETURNING revision")?
        .query_row([], |row| row.get(0))?;
    tx.published(revision);
    Ok(revision)
}

fn publish(
    tx: &Tx<'_>,
    instance: &InstanceId,
    spec: &Spec,
    now: Millis,
) -> Result<u64, StoreError> {
    let revision = next_revision(tx)?;
    names::served(tx.conn, instance)?;
    let json = rows::json("the spec", spec)?;
    tx.conn
        .prepare_cached(
            "UPDATE instances SET spec = ?2, service = ?3, state = 'ready', revision = ?4, \
             updated_at = max(?5, updated_at + 1) WHERE id = ?1",
        )?
        .execute(params![
            instance.as_str(),
            json,
            spec.parameters.service.as_str(),
            revision,
            now,
        ])?;
    tx.conn
        .prepare_cached(
            "INSERT INTO published (instance, revision, spec, proven, withheld) \
             VALUES (?1, ?2, ?3, 0, ?4) ON CONFLICT (instance) DO UPDATE SET \
             withheld = excluded.withheld, \
             good_revision = CASE WHEN proven THEN revision ELSE good_revision END, \
             good_spec = CASE WHEN proven THEN spec ELSE good_spec END, \
             revision = excluded.revision, spec = excluded.spec, proven = 0, \
             spec_revision = NULL",
        )?
        .execute(params![
            instance.as_str(),
            revision,
            json,
            proofs::withheld(tx.conn, instance)?,
        ])?;
    Ok(revision)
}

fn unpublish(tx: &Tx<'_>, instance: &InstanceId) -> Result<u64, StoreError> {
    let revision = next_revision(tx)?;
    tx.conn
        .prepare_cached(
            "INSERT INTO published (instance, revision, spec, proven) VALUES (?1, ?2, NULL, 0) \
             ON CONFLICT (instance) DO UPDATE SET revision = excluded.revision, spec = NULL, \
             proven = 0, good_revision = NULL, good_spec = NULL, spec_revision = NULL, callers = NULL, \
             withheld = NULL",
        )?
        .execute(params![instance.as_str(), revision])?;
    Ok(revision)
}

fn mark_good(conn: &Connection, instance: &InstanceId, revision: u64) -> Result<(), StoreError> {
    conn.prepare_cached(
        "UPDATE published SET proven = 1, good_revision = NULL, good_spec = NULL \
         WHERE instance = ?1 AND coalesce(spec_revision, revision) = ?2 AND spec IS NOT NULL",
    )?
    .execute(params![instance.as_str(), revision])?;
    Ok(())
}

fn set_state(
    conn: &Connection,
    instance: &InstanceId,
    state: InstanceState,
    now: Millis,
) -> Result<(), StoreError> {
    conn.prepare_cached(
        "UPDATE instances SET state = ?2, updated_at = max(?3, updated_at + 1) WHERE id = ?1",
    )?
    .execute(params![instance.as_str(), instance_word(state), now])?;
    Ok(())
}
