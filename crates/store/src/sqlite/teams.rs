//! What is laid down for teams, what they have, and what they let each other have.

use model::{AuditEntry, Hostname, Millis, Owner, Policy};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::request::Tx;
use super::{audit, names, proofs, rows};
use crate::{PAGE_ROWS_MAX, Reservation, StoreError, Team, Usage};

/// What is laid down for a team.
pub(super) fn policy(conn: &Connection, owner: &Owner) -> Result<Policy, StoreError> {
    let text = conn
        .prepare_cached("SELECT policy FROM teams WHERE organization = ?1 AND space = ?2")?
        .query_row([&owner.organization, &owner.space], |row| row.get::<_, String>(0))
        .optional()?;
    text.as_deref().map_or_else(|| Ok(Policy::default()), rows::read)
}

/// What a team has, and how far its changes are ahead of their pace.
pub(super) fn usage(conn: &Connection, owner: &Owner) -> Result<(Usage, Millis), StoreError> {
    let found = conn
        .prepare_cached(
            "SELECT instances, hostnames, paced_until FROM usage \
             WHERE organization = ?1 AND space = ?2",
        )?
        .query_row([&owner.organization, &owner.space], |row| {
            Ok((Usage { instances: row.get(0)?, hostnames: row.get(1)? }, row.get(2)?))
        })
        .optional()?;
    Ok(found.unwrap_or_default())
}

/// A team's changes are ahead until then.
pub(super) fn paced(conn: &Connection, owner: &Owner, until: Millis) -> Result<(), StoreError> {
    conn.prepare_cached(
        "INSERT INTO usage (organization, space, paced_until) VALUES (?1, ?2, ?3) \
         ON CONFLICT (organization, space) DO UPDATE SET paced_until = ?3",
    )?
    .execute(params![owner.organization, owner.space, until])?;
    Ok(())
}

/// See [`Teams::team`](crate::Teams::team).
pub(super) fn team(conn: &Connection, owner: &Owner) -> Result<Team, StoreError> {
    let (usage, _) = usage(conn, owner)?;
    Ok(Team { owner: owner.clone(), policy: policy(conn, owner)?, usage })
}

/// See [`Teams::teams`](crate::Teams::teams).
pub(super) fn teams(
    conn: &Connection,
    after: Option<&Owner>,
    limit: usize,
) -> Result<Vec<Team>, StoreError> {
    let (organization, space) =
        after.map_or(("", ""), |it| (it.organization.as_str(), it.space.as_str()));
    let mut statement = conn.prepare_cached(
        "SELECT u.organization, u.space, u.instances, u.hostnames, t.policy FROM usage u \
         LEFT JOIN teams t ON t.organization = u.organization AND t.space = u.space \
         WHERE (u.organization, u.space) > (?1, ?2) ORDER BY u.organization, u.space LIMIT ?3",
    )?;
    let limit = limit.min(PAGE_ROWS_MAX);
    let found = statement.query_map(params![organization, space, limit], |row| Ok(read(row)))?;
    found.map(|row| row?).collect()
}

fn read(row: &Row<'_>) -> Result<Team, StoreError> {
    let policy: Option<String> = row.get(4)?;
    Ok(Team {
        owner: Owner { organization: row.get(0)?, space: row.get(1)? },
        policy: policy.as_deref().map_or_else(|| Ok(Policy::default()), rows::read)?,
        usage: Usage { instances: row.get(2)?, hostnames: row.get(3)? },
    })
}

/// See [`Teams::set_policy`](crate::Teams::set_policy).
pub(super) fn set_policy(
    tx: &Tx<'_>,
    owner: &Owner,
    policy: &Policy,
    over: Option<&Policy>,
    at: Millis,
    entry: &AuditEntry,
) -> Result<bool, StoreError> {
    if let Some(over) = over
        && self::policy(tx.conn, owner)? != *over
    {
        return Ok(false);
    }
    tx.conn
        .prepare_cached(
            "INSERT INTO teams (organization, space, policy, updated_at) VALUES (?1, ?2, ?3, ?4) \
             ON CONFLICT (organization, space) DO UPDATE SET policy = ?3, updated_at = ?4",
        )?
        .execute(params![owner.organization, owner.space, rows::json("the policy", policy)?, at])?;
    // So that it is listed; and a new pace is not held against what came before it.
    paced(tx.conn, owner, 0)?;
    proofs::look_again(tx.conn, owner, at)?;
    audit::append(tx, at, entry)?;
    Ok(true)
}

/// See [`Teams::lift_reservation`](crate::Teams::lift_reservation).
pub(super) fn lift_reservation(
    tx: &Tx<'_>,
    hostname: &Hostname,
    at: Millis,
    entry: &AuditEntry,
) -> Result<Option<Reservation>, StoreError> {
    let found = names::reservation(tx.conn, hostname, at)?;
    if found.is_some() {
        tx.conn
            .prepare_cached("DELETE FROM reservations WHERE hostname = ?1")?
            .execute([hostname.as_str()])?;
        audit::append(tx, at, entry)?;
    }
    Ok(found)
}

/// See [`Teams::consent`](crate::Teams::consent).
pub(super) fn consent(
    tx: &Tx<'_>,
    hostname: &Hostname,
    by: &Owner,
    to: &Owner,
    at: Millis,
    entry: &AuditEntry,
) -> Result<bool, StoreError> {
    let above = names::wildcard_of(tx.conn, hostname)?;
    if above.is_none_or(|it| it.owner != *by) {
        return Ok(false);
    }
    tx.conn
        .prepare_cached(
            "INSERT OR REPLACE INTO consents \
             (hostname, organization, space, by_organization, by_space, at) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![
            hostname.as_str(),
            to.organization,
            to.space,
            by.organization,
            by.space,
            at
        ])?;
    audit::append(tx, at, entry)?;
    Ok(true)
}

/// See [`Teams::withdraw_consent`](crate::Teams::withdraw_consent).
pub(super) fn withdraw_consent(
    tx: &Tx<'_>,
    hostname: &Hostname,
    by: &Owner,
    at: Millis,
    entry: &AuditEntry,
) -> Result<bool, StoreError> {
    let gone = tx
        .conn
        .prepare_cached(
            "DELETE FROM consents WHERE hostname = ?1 AND by_organization = ?2 AND by_space = ?3",
        )?
        .execute([hostname.as_str(), &by.organization, &by.space])?;
    if gone > 0 {
        audit::append(tx, at, entry)?;
    }
    Ok(gone > 0)
}
