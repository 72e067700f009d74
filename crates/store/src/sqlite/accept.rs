//! Accepting a request: operation, job, instance and claims, or a refusal and nothing.

use model::{InstanceId, InstanceState, Millis, Operation, OperationKind, Owner};
use rusqlite::{Connection, OptionalExtension, params};

use super::rows::{self, instance_word};
use super::{allow, jobs, names, proofs, request::Tx, save, story, teams};
use crate::{Accept, Accepted, Foretold, Refusal, StoreError, metrics};

/// Operations of one instance that are kept, the latest; its history is not an audit log.
pub(super) const OPERATIONS_KEPT: usize = 100;

/// The part of an instance's row that decides.
struct Standing {
    state: InstanceState,
    updated_at: Millis,
    owner: Owner,
}

/// See [`Store::accept`](crate::Store::accept).
pub(super) fn accept(
    tx: &Tx<'_>,
    accept: &Accept,
    expected: Option<Millis>,
) -> Result<Accepted, StoreError> {
    let (conn, operation) = (tx.conn, &accept.operation);
    let standing = standing(conn, &operation.instance)?;
    if let Some(refusal) = refusal(conn, accept, standing.as_ref(), expected)? {
        return Ok(Accepted::No(refusal));
    }
    let owner = owner(accept, standing.as_ref());
    match allow::verdict(conn, accept, owner, is_afresh(standing.as_ref()))? {
        Ok(mark) => allow::count(conn, owner, mark)?,
        Err(refusal) => return Ok(Accepted::No(refusal)),
    }
    let now = operation.created_at;
    let updated_at = standing.as_ref().map_or(now, |it| now.max(it.updated_at + 1));
    if is_afresh(standing.as_ref()) && operation.kind == OperationKind::Provision {
        write_instance(conn, accept, updated_at)?;
    } else {
        touch_instance(conn, accept, updated_at)?;
    }
    let over = match &accept.over {
        Some(_) => in_progress(conn, &operation.instance)?,
        None => None,
    };
    if let Some(older) = over {
        give_way(tx, older, operation)?;
    }
    write_operation(tx, operation)?;
    forget_history(conn, &operation.instance)?;
    names::claim(conn, &operation.instance, &accept.claim, now)?;
    if operation.target.is_some() && !accept.zones.is_empty() {
        let wanted = proofs::wanted(conn, accept, &teams::policy(conn, owner)?)?;
        proofs::ask(conn, &operation.instance, owner, &wanted, now)?;
    }
    match &accept.over {
        Some(older) => jobs::hand_over(tx, older, &operation.id, &operation.instance, now)?,
        None => jobs::enqueue(tx, &operation.id, &operation.instance, now)?,
    }
    story::accepted(tx, operation, owner)?;
    Ok(Accepted::Yes)
}

/// Ends the operation in whose place another comes.
fn give_way(tx: &Tx<'_>, mut older: Operation, operation: &Operation) -> Result<(), StoreError> {
    older.give_way_to(operation);
    save::write_operation(tx, &older)?;
    story::ended(tx, &older, operation.created_at)?;
    metrics::gave_way(older.kind, operation.kind);
    Ok(())
}

/// Whether there is nothing here that a provision would take away.
fn is_afresh(standing: Option<&Standing>) -> bool {
    standing.is_none_or(|it| matches!(it.state, InstanceState::Deleted | InstanceState::Failed))
}

fn refusal(
    conn: &Connection,
    accept: &Accept,
    standing: Option<&Standing>,
    expected: Option<Millis>,
) -> Result<Option<Refusal>, StoreError> {
    let gone = standing.is_none_or(|it| it.state == InstanceState::Deleted);
    let changed = standing.map(|it| it.updated_at) != expected;
    if changed || (gone && accept.operation.kind != OperationKind::Provision) {
        return Ok(Some(Refusal::Changed));
    }
    let busy = in_progress(conn, &accept.operation.instance)?;
    let stands = |it: &Operation| {
        accept.over.as_ref() != Some(&it.id) || !it.gives_way_to(&accept.operation)
    };
    Ok(busy.filter(stands).map(|operation| Refusal::Busy(Box::new(operation))))
}

/// Whose the instance is, or will be.
fn owner<'a>(accept: &'a Accept, standing: Option<&'a Standing>) -> &'a Owner {
    let present = standing.filter(|_| !is_afresh(standing)).map(|it| &it.owner);
    present.unwrap_or(&accept.instance.owner)
}

/// See [`Teams::foretell`](crate::Teams::foretell).
pub(super) fn foretell(conn: &Connection, accept: &Accept) -> Result<Foretold, StoreError> {
    let standing = standing(conn, &accept.operation.instance)?;
    let standing = standing.as_ref();
    let owner = owner(accept, standing);
    Ok(match allow::verdict(conn, accept, owner, is_afresh(standing))? {
        Ok(_) => Foretold::Accepted(proofs::foreseen(conn, accept, owner)?),
        Err(refusal) => Foretold::Refused(refusal),
    })
}

fn standing(conn: &Connection, id: &InstanceId) -> Result<Option<Standing>, StoreError> {
    let row = conn
        .prepare_cached(
            "SELECT state, updated_at, organization, space FROM instances WHERE id = ?1",
        )?
        .query_row([id.as_str()], |row| {
            let owner = Owner { organization: row.get(2)?, space: row.get(3)? };
            Ok((row.get::<_, String>(0)?, row.get(1)?, owner))
        })
        .optional()?;
    row.map(|(state, updated_at, owner)| {
        Ok(Standing { state: rows::instance_state(&state)?, updated_at, owner })
    })
    .transpose()
}

fn in_progress(conn: &Connection, id: &InstanceId) -> Result<Option<Operation>, StoreError> {
    let json = conn
        .prepare_cached(
            "SELECT document FROM operations WHERE instance = ?1 AND state = 'in progress'",
        )?
        .query_row([id.as_str()], |row| row.get::<_, String>(0))
        .optional()?;
    json.as_deref().map(rows::read).transpose()
}

/// The row as given, in place of a tombstone if there is one.
fn write_instance(
    conn: &Connection,
    accept: &Accept,
    updated_at: Millis,
) -> Result<(), StoreError> {
    let instance = &accept.instance;
    conn.prepare_cached(
        "INSERT INTO instances (id, service, organization, space, platform_context, state, spec, \
         revision, created_at, updated_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) \
         ON CONFLICT (id) DO UPDATE SET service = ?2, organization = ?3, space = ?4, \
         platform_context = ?5, state = ?6, spec = ?7, revision = ?8, created_at = ?9, \
         updated_at = ?10",
    )?
    .execute(params![
        accept.operation.instance.as_str(),
        instance.spec.parameters.service.as_str(),
        instance.owner.organization,
        instance.owner.space,
        rows::json("the platform context", &instance.platform_context)?,
        instance_word(instance.state),
        rows::json("the spec", &instance.spec)?,
        instance.revision,
        instance.created_at,
        updated_at,
    ])?;
    Ok(())
}

/// What an accept changes of an instance that lives.
fn touch_instance(
    conn: &Connection,
    accept: &Accept,
    updated_at: Millis,
) -> Result<(), StoreError> {
    let leaving = accept.operation.kind == OperationKind::Deprovision;
    conn.prepare_cached(
        "UPDATE instances SET platform_context = ?2, updated_at = ?3, \
         state = CASE WHEN ?4 THEN 'deprovisioning' ELSE state END WHERE id = ?1",
    )?
    .execute(params![
        accept.operation.instance.as_str(),
        rows::json("the platform context", &accept.instance.platform_context)?,
        updated_at,
        leaving,
    ])?;
    Ok(())
}

fn write_operation(tx: &Tx<'_>, operation: &Operation) -> Result<(), StoreError> {
    tx.wrote(operation);
    tx.conn
        .prepare_cached(
            "INSERT INTO operations (id, instance, state, document, organization, space) \
         SELECT ?1, ?2, ?3, ?4, organization, space FROM instances WHERE id = ?2",
        )?
        .execute(params![
            operation.id.as_str(),
            operation.instance.as_str(),
            rows::operation_word(operation.state),
            rows::json("the operation", operation)?,
        ])?;
    Ok(())
}

fn forget_history(conn: &Connection, instance: &InstanceId) -> Result<(), StoreError> {
    conn.prepare_cached(
        "DELETE FROM operations WHERE instance = ?1 AND seq <= (SELECT seq FROM operations \
         WHERE instance = ?1 ORDER BY seq DESC LIMIT 1 OFFSET ?2)",
    )?
    .execute(params![instance.as_str(), OPERATIONS_KEPT])?;
    Ok(())
}
