//! Nodes, their certificates, and the tokens that let them in.

use model::{AccessHash, AuditEntry, Millis, NodeId};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::request::Tx;
use super::{audit, rows};
use crate::{
    BY_ITSELF, CERTIFICATE_LIFE_MAX_MILLIS, CERTIFICATES_MAX, Certified, JOIN_TOKENS_MAX, Join,
    JoinToken, Joined, Joins, NODE_KEPT_MILLIS, NODES_AT_ONCE, NODES_MAX, NodeFilter,
    PAGE_ROWS_MAX, Renewal, Renews, Revocation, Revoked, StoreError,
};

/// The columns that [`joined`] reads, in its order.
const COLUMNS: &str = "id, grp, joined_at, invited_by, serial, issued_at, not_after, revoked_at";

fn joined(row: &Row<'_>) -> Result<Joined, StoreError> {
    Ok(Joined {
        node: rows::name(&rows::text(row, 0)?)?,
        group: rows::name(&rows::text(row, 1)?)?,
        joined_at: row.get(2)?,
        invited_by: row.get(3)?,
        certificate: Certified {
            serial: row.get(4)?,
            issued_at: row.get(5)?,
            not_after: row.get(6)?,
        },
        revoked_at: row.get(7)?,
    })
}

/// See [`Nodes::create_join_token`](crate::Nodes::create_join_token).
pub(super) fn create_token(
    tx: &Tx<'_>,
    token: &JoinToken,
    secret: &AccessHash,
    entry: &AuditEntry,
) -> Result<bool, StoreError> {
    let conn = tx.conn;
    conn.prepare_cached("DELETE FROM join_tokens WHERE expires_at <= ?1")?
        .execute([token.created_at])?;
    if count(conn, "SELECT count(*) FROM join_tokens")? >= JOIN_TOKENS_MAX {
        return Ok(false);
    }
    conn.prepare_cached(
        "INSERT INTO join_tokens (hash, document, expires_at) VALUES (?1, ?2, ?3)",
    )?
    .execute(params![secret.0, rows::json("the token", token)?, token.expires_at])?;
    audit::append(tx, token.created_at, entry)?;
    Ok(true)
}

fn count(conn: &Connection, sql: &str) -> Result<usize, StoreError> {
    Ok(conn.prepare_cached(sql)?.query_row([], |row| row.get(0))?)
}

/// See [`Nodes::join_token`](crate::Nodes::join_token).
pub(super) fn token(
    conn: &Connection,
    secret: &AccessHash,
    now: Millis,
) -> Result<Option<JoinToken>, StoreError> {
    let mut statement = conn
        .prepare_cached("SELECT document FROM join_tokens WHERE hash = ?1 AND expires_at > ?2")?;
    let found = statement.query_row(params![secret.0, now], |row| row.get::<_, String>(0));
    found.optional()?.map(|text| rows::read(&text)).transpose()
}

/// See [`Nodes::join`](crate::Nodes::join).
pub(super) fn join(tx: &Tx<'_>, join: &Join) -> Result<Joins, StoreError> {
    let (conn, at) = (tx.conn, join.certificate.issued_at);
    let Some(token) = token(conn, &join.secret, at)? else { return Ok(Joins::NoToken) };
    forget(conn, at)?;
    let before = get(conn, &join.node)?;
    let chosen = token.node.as_ref() != Some(&join.node);
    if before.as_ref().is_some_and(|before| chosen || before.group != token.group) {
        return Ok(Joins::Taken);
    }
    if before.is_none() && count(conn, "SELECT count(*) FROM nodes")? >= NODES_MAX {
        return Ok(Joins::Full);
    }
    conn.prepare_cached("DELETE FROM join_tokens WHERE hash = ?1")?.execute([join.secret.0])?;
    if before.is_some() || !chosen && was_restored(conn)? {
        take_back(conn, &join.node, at)?;
    }
    conn.prepare_cached(
        "INSERT OR REPLACE INTO nodes (id, grp, joined_at, invited_by, serial, issued_at, not_after) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?3, ?6)",
    )?
    .execute(params![
        join.node.as_str(),
        token.group.as_str(),
        at,
        token.created_by,
        join.certificate.serial,
        join.certificate.not_after,
    ])?;
    insert(conn, &join.node, &join.certificate)?;
    audit::append(tx, at, &join.entry)?;
    Ok(Joins::Yes)
}

fn insert(conn: &Connection, node: &NodeId, certificate: &Certified) -> Result<(), StoreError> {
    conn.prepare_cached("INSERT INTO certificates (serial, node, not_after) VALUES (?1, ?2, ?3)")?
        .execute(params![certificate.serial, node.as_str(), certificate.not_after])?;
    Ok(())
}

/// What of a node has not ended is revoked, known here or not.
fn take_back(conn: &Connection, node: &NodeId, at: Millis) -> Result<(), StoreError> {
    conn.prepare_cached(
        "INSERT INTO revocations (serial, not_after) \
         SELECT serial, not_after FROM certificates WHERE node = ?1 AND not_after > ?2",
    )?
    .execute(params![node.as_str(), at])?;
    conn.prepare_cached("DELETE FROM certificates WHERE node = ?1")?.execute([node.as_str()])?;
    // A certificate says to the second when it was issued, and the next may be of the same.
    let before = at - at.rem_euclid(1000);
    conn.prepare_cached(
        "INSERT INTO revocations (serial, not_after, node, before) VALUES ('', ?2, ?1, ?3)",
    )?
    .execute(params![node.as_str(), before + CERTIFICATE_LIFE_MAX_MILLIS, before])?;
    Ok(())
}

/// Whether the store has been in the place of another, and may not know all that was signed.
fn was_restored(conn: &Connection) -> Result<bool, StoreError> {
    Ok(conn.prepare_cached("SELECT epoch > 1 FROM meta")?.query_row([], |row| row.get(0))?)
}

/// See [`Nodes::renew`](crate::Nodes::renew).
pub(super) fn renew(conn: &Connection, renewal: &Renewal) -> Result<Renews, StoreError> {
    let Renewal { node, group, old, new } = renewal;
    let now = new.issued_at;
    forget(conn, now)?;
    let known = get(conn, node)?;
    let is_shut_out = |known: &Joined| known.revoked_at.is_some() || known.group != *group;
    if old.not_after <= now || known.as_ref().is_some_and(is_shut_out) || is_revoked(conn, renewal)?
    {
        return Ok(Renews::Revoked);
    }
    if known.is_none() {
        if count(conn, "SELECT count(*) FROM nodes")? >= NODES_MAX {
            return Ok(Renews::TooMany);
        }
        again(conn, renewal)?;
    }
    conn.prepare_cached(
        "INSERT OR IGNORE INTO certificates (serial, node, not_after) VALUES (?1, ?2, ?3)",
    )?
    .execute(params![old.serial, node.as_str(), old.not_after])?;
    let good: usize = conn
        .prepare_cached("SELECT count(*) FROM certificates WHERE node = ?1 AND not_after > ?2")?
        .query_row(params![node.as_str(), now], |row| row.get(0))?;
    if good >= CERTIFICATES_MAX {
        return Ok(Renews::TooMany);
    }
    insert(conn, node, new)?;
    conn.prepare_cached(
        "UPDATE nodes SET serial = ?2, issued_at = ?3, not_after = ?4 WHERE id = ?1",
    )?
    .execute(params![node.as_str(), new.serial, now, new.not_after])?;
    Ok(Renews::Yes)
}

/// Whether a certificate was revoked, by its number or with all of its node.
fn is_revoked(conn: &Connection, renewal: &Renewal) -> Result<bool, StoreError> {
    let Renewal { node, old, .. } = renewal;
    let by_number = conn
        .prepare_cached("SELECT 1 FROM revocations WHERE serial = ?1")?
        .exists([&old.serial])?;
    let with_all = conn
        .prepare_cached("SELECT 1 FROM revocations WHERE node = ?1 AND before > ?2")?
        .exists(params![node.as_str(), old.issued_at])?;
    // One that is known here was judged by its number.
    Ok(by_number || with_all && !is_known(conn, &old.serial)?)
}

fn is_known(conn: &Connection, serial: &str) -> Result<bool, StoreError> {
    Ok(conn.prepare_cached("SELECT 1 FROM certificates WHERE serial = ?1")?.exists([serial])?)
}

/// A node that this store does not know, or not any more, comes with a good certificate.
fn again(conn: &Connection, renewal: &Renewal) -> Result<(), StoreError> {
    let Renewal { node, group, old, .. } = renewal;
    conn.prepare_cached(
        "INSERT INTO nodes (id, grp, joined_at, invited_by, serial, issued_at, not_after) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?3, ?6)",
    )?
    .execute(params![
        node.as_str(),
        group.as_str(),
        old.issued_at,
        BY_ITSELF,
        old.serial,
        old.not_after,
    ])?;
    Ok(())
}

/// What has ended: a few at a time, as each one that comes lets others go.
fn forget(conn: &Connection, now: Millis) -> Result<(), StoreError> {
    let ended = [
        (
            "DELETE FROM certificates WHERE serial IN (SELECT serial FROM certificates \
             WHERE not_after <= ?1 ORDER BY not_after LIMIT ?2)",
            now,
        ),
        (
            "DELETE FROM revocations WHERE seq IN (SELECT seq FROM revocations \
             WHERE not_after <= ?1 ORDER BY not_after LIMIT ?2)",
            now,
        ),
        (
            "DELETE FROM nodes WHERE id IN (SELECT id FROM nodes \
             WHERE not_after <= ?1 ORDER BY not_after LIMIT ?2)",
            now - NODE_KEPT_MILLIS,
        ),
    ];
    for (sql, before) in ended {
        conn.prepare_cached(sql)?.execute(params![before, NODES_AT_ONCE])?;
    }
    Ok(())
}

/// See [`Nodes::node`](crate::Nodes::node).
pub(super) fn get(conn: &Connection, node: &NodeId) -> Result<Option<Joined>, StoreError> {
    let mut statement =
        conn.prepare_cached(&format!("SELECT {COLUMNS} FROM nodes WHERE id = ?1"))?;
    statement.query_row([node.as_str()], |row| Ok(joined(row))).optional()?.transpose()
}

/// See [`Nodes::nodes`](crate::Nodes::nodes).
pub(super) fn list(conn: &Connection, filter: &NodeFilter) -> Result<Vec<Joined>, StoreError> {
    let after = filter.after.as_ref().map_or("", NodeId::as_str);
    let limit = filter.limit.clamp(1, PAGE_ROWS_MAX);
    let mut found = Vec::new();
    match &filter.group {
        Some(group) => {
            let mut statement = conn.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM nodes WHERE grp = ?1 AND id > ?2 ORDER BY id LIMIT ?3"
            ))?;
            let mut rows = statement.query(params![group.as_str(), after, limit])?;
            while let Some(row) = rows.next()? {
                found.push(joined(row)?);
            }
        }
        None => {
            let mut statement = conn.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM nodes WHERE id > ?1 ORDER BY id LIMIT ?2"
            ))?;
            let mut rows = statement.query(params![after, limit])?;
            while let Some(row) = rows.next()? {
                found.push(joined(row)?);
            }
        }
    }
    Ok(found)
}

/// See [`Nodes::revoke_node`](crate::Nodes::revoke_node).
pub(super) fn revoke(
    tx: &Tx<'_>,
    node: &NodeId,
    at: Millis,
    entry: &AuditEntry,
) -> Result<bool, StoreError> {
    let revoked = tx
        .conn
        .prepare_cached("UPDATE nodes SET revoked_at = ?2 WHERE id = ?1 AND revoked_at IS NULL")?
        .execute(params![node.as_str(), at])?;
    let is_unknown = || Ok::<_, StoreError>(get(tx.conn, node)?.is_none());
    if revoked == 0 && !(was_restored(tx.conn)? && is_unknown()? && !is_cut(tx.conn, node, at)?) {
        return Ok(false);
    }
    take_back(tx.conn, node, at)?;
    audit::append(tx, at, entry)?;
    Ok(true)
}

/// Whether all of a node that could be good was revoked before.
fn is_cut(conn: &Connection, node: &NodeId, at: Millis) -> Result<bool, StoreError> {
    Ok(conn
        .prepare_cached("SELECT 1 FROM revocations WHERE node = ?1 AND not_after > ?2")?
        .exists(params![node.as_str(), at])?)
}

/// See [`Nodes::revocations`](crate::Nodes::revocations).
pub(super) fn revocations(
    conn: &Connection,
    after: i64,
    now: Millis,
) -> Result<Vec<Revocation>, StoreError> {
    let mut statement = conn.prepare_cached(
        "SELECT seq, not_after, serial, node, before FROM revocations \
         WHERE seq > ?1 AND not_after > ?2 ORDER BY seq LIMIT ?3",
    )?;
    let mut all = statement.query(params![after, now, PAGE_ROWS_MAX])?;
    let mut found = Vec::new();
    while let Some(row) = all.next()? {
        let what = match row.get::<_, Option<String>>(3)? {
            Some(node) => Revoked::Before(rows::name(&node)?, row.get(4)?),
            None => Revoked::Certificate(row.get(2)?),
        };
        found.push(Revocation { seq: row.get(0)?, what, not_after: row.get(1)? });
    }
    Ok(found)
}
