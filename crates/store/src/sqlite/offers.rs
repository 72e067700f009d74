//! Services that pass from one team to another: offered, and taken.

use model::{AuditEntry, Hostname, InstanceId, InstanceState, Millis, Owner, Quota, Share};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::request::Tx;
use super::{allow, audit, names, rows, teams};
use crate::{Excess, Offer, PAGE_ROWS_MAX, StoreError, Transferred};

/// An instance that may pass to another team: whose it is, its service.
fn transferable(conn: &Connection, id: &InstanceId) -> Result<Option<(Owner, String)>, StoreError> {
    let found = conn
        .prepare_cached("SELECT organization, space, service, state FROM instances WHERE id = ?1")?
        .query_row([id.as_str()], |row| {
            let owner = Owner { organization: row.get(0)?, space: row.get(1)? };
            Ok((owner, row.get::<_, String>(2)?, row.get::<_, String>(3)?))
        })
        .optional()?;
    let Some((owner, service, state)) = found else { return Ok(None) };
    let gone = matches!(
        rows::instance_state(&state)?,
        InstanceState::Deleted | InstanceState::Deprovisioning | InstanceState::Failed
    );
    Ok((!gone).then_some((owner, service)))
}

/// See [`Teams::offer`](crate::Teams::offer).
pub(super) fn offer(
    tx: &Tx<'_>,
    instance: &InstanceId,
    from: &Owner,
    to: &Owner,
    at: Millis,
    entry: &AuditEntry,
) -> Result<Transferred, StoreError> {
    let Some((owner, _)) = transferable(tx.conn, instance)? else { return Ok(Transferred::Gone) };
    if owner != *from {
        return Ok(Transferred::NotTheirs);
    }
    tx.conn
        .prepare_cached(
            "INSERT OR REPLACE INTO transfers (instance, organization, space, offered_by, at, \
             from_organization, from_space) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![
            instance.as_str(),
            to.organization,
            to.space,
            entry.by.credential,
            at,
            from.organization,
            from.space
        ])?;
    audit::append(tx, at, entry)?;
    Ok(Transferred::Yes)
}

/// See [`Teams::offered`](crate::Teams::offered).
pub(super) fn offered(conn: &Connection, id: &InstanceId) -> Result<Option<Owner>, StoreError> {
    let found = conn
        .prepare_cached("SELECT organization, space FROM transfers WHERE instance = ?1")?
        .query_row([id.as_str()], |row| Ok(Owner { organization: row.get(0)?, space: row.get(1)? }))
        .optional()?;
    Ok(found)
}

/// See [`Teams::take`](crate::Teams::take).
pub(super) fn take(
    tx: &Tx<'_>,
    instance: &InstanceId,
    to: &Owner,
    quota: Quota,
    at: Millis,
    entries: &[AuditEntry; 2],
) -> Result<Transferred, StoreError> {
    let conn = tx.conn;
    let Some((from, service)) = transferable(conn, instance)? else {
        return Ok(Transferred::Gone);
    };
    if offered(conn, instance)?.as_ref() != Some(to) || from == *to {
        return Ok(Transferred::NotOffered);
    }
    if has_service(conn, to, &service, instance)? {
        return Ok(Transferred::NameTaken);
    }
    let held: Vec<_> = names::held(conn, instance)?.into_iter().map(|it| it.hostname).collect();
    let policy = teams::policy(conn, to)?;
    let denied = allow::not_granted(held.iter(), &policy);
    if !denied.is_empty() {
        return Ok(Transferred::NotGranted(denied));
    }
    if let Some(excess) = room(conn, held.len(), to, policy.quota.or(quota))? {
        return Ok(Transferred::Full(excess));
    }
    // `updated_at` rises: a request of the giver that was decided before this is decided anew.
    conn.prepare_cached(
        "UPDATE instances SET organization = ?2, space = ?3, \
         updated_at = max(?4, updated_at + 1) WHERE id = ?1",
    )?
    .execute(params![instance.as_str(), to.organization, to.space, at])?;
    conn.prepare_cached("DELETE FROM transfers WHERE instance = ?1")?
        .execute([instance.as_str()])?;
    entries.iter().try_for_each(|entry| audit::append(tx, at, entry))?;
    Ok(Transferred::Yes)
}

/// Whether a team has a service of that name where the instance is: each environment has its own.
fn has_service(
    conn: &Connection,
    owner: &Owner,
    service: &str,
    instance: &InstanceId,
) -> Result<bool, StoreError> {
    let found = conn
        .prepare_cached(
            "SELECT 1 FROM instances WHERE organization = ?1 AND space = ?2 AND service = ?3 \
             AND state NOT IN ('deleted', 'failed') AND platform_context ->> '$.environment' IS \
             (SELECT platform_context ->> '$.environment' FROM instances WHERE id = ?4) LIMIT 1",
        )?
        .query_row([&owner.organization, &owner.space, service, instance.as_str()], |_| Ok(()))
        .optional()?;
    Ok(found.is_some())
}

/// What the team would have too much of.
fn room(
    conn: &Connection,
    hostnames: usize,
    to: &Owner,
    quota: Quota,
) -> Result<Option<Excess>, StoreError> {
    let (usage, _) = teams::usage(conn, to)?;
    let hostnames = u32::try_from(hostnames).unwrap_or(u32::MAX);
    Ok(allow::over(Share::Instances, quota.instances, usage.instances, 1)
        .or_else(|| allow::over(Share::Hostnames, quota.hostnames, usage.hostnames, hostnames)))
}

/// See [`Teams::withdraw_offer`](crate::Teams::withdraw_offer).
pub(super) fn withdraw(
    tx: &Tx<'_>,
    instance: &InstanceId,
    to: &Owner,
    at: Millis,
    entry: &AuditEntry,
) -> Result<bool, StoreError> {
    let gone = tx
        .conn
        .prepare_cached(
            "DELETE FROM transfers WHERE instance = ?1 AND organization = ?2 AND space = ?3",
        )?
        .execute([instance.as_str(), &to.organization, &to.space])?;
    if gone > 0 {
        audit::append(tx, at, entry)?;
    }
    Ok(gone > 0)
}

/// The columns of an offer; its parts are what differs between the lists.
const COLUMNS: &str = "SELECT t.instance, i.service, i.organization, i.space, t.organization, \
     t.space, t.offered_by, t.at FROM transfers t CROSS JOIN instances i ON i.id = t.instance";

/// See [`Teams::offers`](crate::Teams::offers).
pub(super) fn list(
    conn: &Connection,
    of: Option<&Owner>,
    limit: usize,
) -> Result<Vec<Offer>, StoreError> {
    let limit = limit.min(PAGE_ROWS_MAX);
    let Some(of) = of else {
        return walk(conn, "TRUE", Vec::new(), limit);
    };
    let names = || vec![Value::Text(of.organization.clone()), Value::Text(of.space.clone())];
    let given = "t.from_organization = ?1 AND t.from_space = ?2";
    let mut found = walk(conn, given, names(), limit)?;
    found.extend(walk(conn, "t.organization = ?1 AND t.space = ?2", names(), limit)?);
    found.sort_by(|a, b| a.instance.cmp(&b.instance));
    found.truncate(limit);
    Ok(found)
}

fn walk(
    conn: &Connection,
    which: &str,
    values: Vec<Value>,
    limit: usize,
) -> Result<Vec<Offer>, StoreError> {
    let sql = format!("{COLUMNS} WHERE {which} ORDER BY t.instance LIMIT {limit}");
    let mut statement = conn.prepare_cached(&sql)?;
    let rows =
        statement.query_map(rusqlite::params_from_iter(values), |row| Ok(read(conn, row)))?;
    rows.map(|row| row?).collect()
}

fn read(conn: &Connection, row: &Row<'_>) -> Result<Offer, StoreError> {
    let instance: InstanceId = rows::name(&rows::text(row, 0)?)?;
    let held = names::held(conn, &instance)?;
    let hostnames: Vec<Hostname> = held.into_iter().map(|it| it.hostname).collect();
    Ok(Offer {
        instance,
        service: row.get(1)?,
        from: Owner { organization: row.get(2)?, space: row.get(3)? },
        to: Owner { organization: row.get(4)?, space: row.get(5)? },
        hostnames,
        by: row.get(6)?,
        at: row.get(7)?,
    })
}
