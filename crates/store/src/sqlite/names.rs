//! Whose a hostname is.

use model::{Hostname, InstanceId, Millis, Owner};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::rows;
use crate::{HostnameOwner, RESERVED_MILLIS, Reservation, StoreError};

/// Reservations that have ended and are removed with each release.
const FORGOTTEN_AT_ONCE: usize = 16;

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

/// How many hostnames the instance holds.
pub(super) fn held_count(conn: &Connection, instance: &InstanceId) -> Result<usize, StoreError> {
    let count = conn
        .prepare_cached("SELECT count(*) FROM hostnames WHERE instance = ?1")?
        .query_row([instance.as_str()], |row| row.get(0))?;
    Ok(count)
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

/// A publish goes out: what the instance holds is served, or was until now.
pub(super) fn served(conn: &Connection, instance: &InstanceId) -> Result<(), StoreError> {
    conn.prepare_cached("UPDATE hostnames SET served = 1 WHERE instance = ?1 AND served IS NULL")?
        .execute([instance.as_str()])?;
    Ok(())
}

/// Gives up those of the names that are the instance's.
pub(super) fn release(
    conn: &Connection,
    instance: &InstanceId,
    names: &[Hostname],
    now: Millis,
) -> Result<(), StoreError> {
    reserve(conn, instance, names, now)?;
    let mut statement =
        conn.prepare_cached("DELETE FROM hostnames WHERE hostname = ?1 AND instance = ?2")?;
    for hostname in names {
        statement.execute([hostname.as_str(), instance.as_str()])?;
    }
    Ok(())
}

/// Gives up every name of the instance.
pub(super) fn release_all(
    conn: &Connection,
    instance: &InstanceId,
    now: Millis,
) -> Result<(), StoreError> {
    let names: Vec<_> = held(conn, instance)?.into_iter().map(|it| it.hostname).collect();
    release(conn, instance, &names, now)
}

/// Those that were served stay the team's for a while.
fn reserve(
    conn: &Connection,
    instance: &InstanceId,
    names: &[Hostname],
    now: Millis,
) -> Result<(), StoreError> {
    let mut statement = conn.prepare_cached(
        "INSERT INTO reservations (hostname, organization, space, service, until) \
         SELECT h.hostname, i.organization, i.space, i.service, ?3 FROM hostnames h \
         JOIN instances i ON i.id = h.instance \
         WHERE h.hostname = ?1 AND h.instance = ?2 AND h.served IS NOT NULL \
         ON CONFLICT (hostname) DO UPDATE SET organization = excluded.organization, \
         space = excluded.space, service = excluded.service, until = excluded.until",
    )?;
    for hostname in names {
        let until = now + RESERVED_MILLIS;
        statement.execute(params![hostname.as_str(), instance.as_str(), until])?;
    }
    forget_reservations(conn, now)
}

/// Removes a few that have ended, so that they never gather.
fn forget_reservations(conn: &Connection, now: Millis) -> Result<(), StoreError> {
    conn.prepare_cached(
        "DELETE FROM reservations WHERE hostname IN \
         (SELECT hostname FROM reservations WHERE until <= ?1 ORDER BY until LIMIT ?2)",
    )?
    .execute(params![now, FORGOTTEN_AT_ONCE])?;
    Ok(())
}

/// See [`Teams::reservation`](crate::Teams::reservation).
pub(super) fn reservation(
    conn: &Connection,
    hostname: &Hostname,
    now: Millis,
) -> Result<Option<Reservation>, StoreError> {
    let found = conn
        .prepare_cached(
            "SELECT organization, space, service, until FROM reservations \
             WHERE hostname = ?1 AND until > ?2",
        )?
        .query_row(params![hostname.as_str(), now], |row| {
            Ok(Reservation {
                hostname: hostname.clone(),
                owner: Owner { organization: row.get(0)?, space: row.get(1)? },
                service: row.get(2)?,
                until: row.get(3)?,
            })
        })
        .optional()?;
    Ok(found)
}

/// Those of the names that are reserved for others.
pub(super) fn reserved(
    conn: &Connection,
    names: &[Hostname],
    owner: &Owner,
    now: Millis,
) -> Result<Vec<Reservation>, StoreError> {
    let mut found = Vec::new();
    for hostname in names {
        found.extend(reservation(conn, hostname, now)?.filter(|it| it.owner != *owner));
    }
    Ok(found)
}

/// See [`Teams::wildcard_of`](crate::Teams::wildcard_of).
pub(super) fn wildcard_of(
    conn: &Connection,
    hostname: &Hostname,
) -> Result<Option<HostnameOwner>, StoreError> {
    hostname.wildcard().map_or(Ok(None), |above| owner(conn, &above))
}

/// Those of the names that fall under wildcards of others who have not consented; each with who
/// holds the wildcard.
pub(super) fn covered(
    conn: &Connection,
    names: &[Hostname],
    owner: &Owner,
) -> Result<Vec<HostnameOwner>, StoreError> {
    let mut found = Vec::new();
    for hostname in names {
        let above = wildcard_of(conn, hostname)?.filter(|it| it.owner != *owner);
        if let Some(above) = above
            && consented_by(conn, hostname, &above.owner)?.as_ref() != Some(owner)
        {
            found.push(HostnameOwner { hostname: hostname.clone(), ..above });
        }
    }
    Ok(found)
}

/// Whom `by` lets have the name.
fn consented_by(
    conn: &Connection,
    hostname: &Hostname,
    by: &Owner,
) -> Result<Option<Owner>, StoreError> {
    let found = conn
        .prepare_cached(
            "SELECT organization, space FROM consents WHERE hostname = ?1 \
             AND by_organization = ?2 AND by_space = ?3",
        )?
        .query_row([hostname.as_str(), &by.organization, &by.space], |row| {
            Ok(Owner { organization: row.get(0)?, space: row.get(1)? })
        })
        .optional()?;
    Ok(found)
}

/// See [`Teams::consented`](crate::Teams::consented). A consent counts for as long as who gave it
/// owns the wildcard.
pub(super) fn consented(
    conn: &Connection,
    hostname: &Hostname,
) -> Result<Option<Owner>, StoreError> {
    match wildcard_of(conn, hostname)? {
        Some(above) => consented_by(conn, hostname, &above.owner),
        None => Ok(None),
    }
}

/// See [`Teams::reservations`](crate::Teams::reservations).
pub(super) fn reservations(conn: &Connection, now: Millis) -> Result<usize, StoreError> {
    let count = conn
        .prepare_cached("SELECT count(*) FROM reservations WHERE until > ?1")?
        .query_row([now], |row| row.get(0))?;
    Ok(count)
}
