//! Whose a hostname is.

use model::{Hostname, InstanceId, Millis, Owner};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::rows;
use crate::{HostnameOwner, StoreError};

/// See [`Store::hostname`](crate::Store::hostname).
pub(super) fn owner(
    conn: &Connection,
    hostname: &Hostname,
) -> Result<Option<HostnameOwner>, StoreError> {
    let mut statement = conn.prepare_cached(
        "SELECT i.id, i.service, i.organization, i.space, h.since FROM hostnames h \
         JOIN instances i ON i.id = h.instance WHERE h.hostname = ?1",
    )?;
    let found =
        statement.query_row([hostname.as_str()], |row| Ok(read(row, hostname))).optional()?;
    found.transpose()
}

/// See [`Store::claims`](crate::Store::claims).
pub(super) fn held(
    conn: &Connection,
    instance: &InstanceId,
) -> Result<Vec<HostnameOwner>, StoreError> {
    let mut statement = conn.prepare_cached(
        "SELECT i.id, i.service, i.organization, i.space, h.since, h.hostname FROM hostnames h \
         JOIN instances i ON i.id = h.instance WHERE h.instance = ?1 ORDER BY h.hostname",
    )?;
    let rows = statement.query_map([instance.as_str()], |row| {
        Ok(rows::text(row, 5).and_then(|name| rows::name(&name)).and_then(|name| read(row, &name)))
    })?;
    rows.map(|row| row?).collect()
}

fn read(row: &Row<'_>, hostname: &Hostname) -> Result<HostnameOwner, StoreError> {
    Ok(HostnameOwner {
        hostname: hostname.clone(),
        instance: rows::name(&rows::text(row, 0)?)?,
        service: row.get(1)?,
        owner: Owner { organization: row.get(2)?, space: row.get(3)? },
        since: row.get(4)?,
    })
}

/// Makes the names the instance's. Those that are already keep their `since`; that nobody else
/// has one was looked at before.
pub(super) fn claim(
    conn: &Connection,
    instance: &InstanceId,
    claim: &[Hostname],
    now: Millis,
) -> Result<(), StoreError> {
    let mut statement = conn.prepare_cached(
        "INSERT INTO hostnames (hostname, instance, since) VALUES (?1, ?2, ?3) \
         ON CONFLICT (hostname) DO NOTHING",
    )?;
    for hostname in claim {
        statement.execute(params![hostname.as_str(), instance.as_str(), now])?;
    }
    Ok(())
}

/// Gives up those of the names that are the instance's.
pub(super) fn release(
    conn: &Connection,
    instance: &InstanceId,
    names: &[Hostname],
) -> Result<(), StoreError> {
    let mut statement =
        conn.prepare_cached("DELETE FROM hostnames WHERE hostname = ?1 AND instance = ?2")?;
    for hostname in names {
        statement.execute([hostname.as_str(), instance.as_str()])?;
    }
    Ok(())
}

/// Gives up every name of the instance.
pub(super) fn release_all(conn: &Connection, instance: &InstanceId) -> Result<(), StoreError> {
    conn.prepare_cached("DELETE FROM hostnames WHERE instance = ?1")?
        .execute([instance.as_str()])?;
    Ok(())
}
