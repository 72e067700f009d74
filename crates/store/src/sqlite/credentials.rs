//! Credentials and the hashes of their secrets.

use model::{AccessHash, AuditEntry, CredentialId, Millis, Role};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::request::Tx;
use super::{audit, rows};
use crate::{
    CREDENTIALS_MAX, Created, Credential, CredentialFilter, ENDED_KEPT_MILLIS, Held, PAGE_ROWS_MAX,
    StoreError,
};

/// The columns that [`of_row`] reads, in its order.
const COLUMNS: &str = "credentials.id, name, role, credentials.created_at, created_by, \
                       credentials.expires_at, last_used_at, revoked_at, rotated_at";

fn of_row(row: &Row<'_>) -> Result<Credential, StoreError> {
    Ok(Credential {
        id: rows::name(&rows::text(row, 0)?)?,
        name: rows::name(&rows::text(row, 1)?)?,
        role: rows::read(&rows::text(row, 2)?)?,
        created_at: row.get(3)?,
        created_by: row.get(4)?,
        expires_at: row.get(5)?,
        last_used_at: row.get(6)?,
        revoked_at: row.get(7)?,
        rotated_at: row.get(8)?,
    })
}

/// See [`Credentials::create_credential`](crate::Credentials::create_credential).
pub(super) fn create(
    tx: &Tx<'_>,
    credential: &Credential,
    secret: &AccessHash,
    entry: &AuditEntry,
) -> Result<Created, StoreError> {
    let now = credential.created_at;
    forget_ended(tx.conn, now)?;
    free_name(tx.conn, credential.name.as_str(), now)?;
    if is_full(tx.conn)? {
        return Ok(Created::Full);
    }
    if is_taken(tx.conn, credential.name.as_str())? {
        return Ok(Created::NameTaken);
    }
    insert(tx.conn, credential)?;
    insert_secret(tx.conn, &credential.id, secret, now)?;
    audit::append(tx, now, entry)?;
    Ok(Created::Yes)
}

fn insert(conn: &Connection, credential: &Credential) -> Result<(), StoreError> {
    conn.prepare_cached(
        "INSERT INTO credentials (id, name, role, platform, created_at, created_by, expires_at, \
         rotated_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?5)",
    )?
    .execute(params![
        credential.id.as_str(),
        credential.name.as_str(),
        rows::json("the role", &credential.role)?,
        credential.role == Role::Platform,
        credential.created_at,
        credential.created_by,
        credential.expires_at,
    ])?;
    Ok(())
}

fn insert_secret(
    conn: &Connection,
    id: &CredentialId,
    secret: &AccessHash,
    at: Millis,
) -> Result<(), StoreError> {
    conn.prepare_cached("INSERT INTO secrets (hash, credential, created_at) VALUES (?1, ?2, ?3)")?
        .execute(params![secret.0, id.as_str(), at])?;
    Ok(())
}

fn forget_ended(conn: &Connection, now: Millis) -> Result<(), StoreError> {
    conn.prepare_cached("DELETE FROM credentials WHERE coalesce(revoked_at, expires_at) < ?1")?
        .execute([now - ENDED_KEPT_MILLIS])?;
    Ok(())
}

fn free_name(conn: &Connection, name: &str, now: Millis) -> Result<(), StoreError> {
    conn.prepare_cached(
        "UPDATE credentials SET revoked_at = expires_at \
         WHERE name = ?1 AND revoked_at IS NULL AND expires_at <= ?2",
    )?
    .execute(params![name, now])?;
    Ok(())
}

fn is_full(conn: &Connection) -> Result<bool, StoreError> {
    let count: usize =
        conn.prepare_cached("SELECT count(*) FROM credentials")?.query_row([], |row| row.get(0))?;
    Ok(count >= CREDENTIALS_MAX)
}

fn is_taken(conn: &Connection, name: &str) -> Result<bool, StoreError> {
    let mut statement =
        conn.prepare_cached("SELECT 1 FROM credentials WHERE name = ?1 AND revoked_at IS NULL")?;
    Ok(statement.exists([name])?)
}

/// See [`Credentials::rotate_credential`](crate::Credentials::rotate_credential).
pub(super) fn rotate(
    tx: &Tx<'_>,
    id: &CredentialId,
    secret: &AccessHash,
    at: Millis,
    until: Millis,
    entry: &AuditEntry,
) -> Result<bool, StoreError> {
    let Some(found) = get(tx.conn, id)?.filter(|found| found.is_alive(at)) else {
        return Ok(false);
    };
    tx.conn
        .prepare_cached("DELETE FROM secrets WHERE credential = ?1 AND expires_at IS NOT NULL")?
        .execute([id.as_str()])?;
    tx.conn
        .prepare_cached("UPDATE secrets SET expires_at = ?2 WHERE credential = ?1")?
        .execute(params![id.as_str(), until])?;
    insert_secret(tx.conn, &found.id, secret, at)?;
    tx.conn
        .prepare_cached("UPDATE credentials SET rotated_at = ?2 WHERE id = ?1")?
        .execute(params![id.as_str(), at])?;
    audit::append(tx, at, entry)?;
    tx.took_away();
    Ok(true)
}

/// See [`Credentials::revoke_credential`](crate::Credentials::revoke_credential).
pub(super) fn revoke(
    tx: &Tx<'_>,
    id: &CredentialId,
    at: Millis,
    entry: &AuditEntry,
) -> Result<bool, StoreError> {
    let ended = tx
        .conn
        .prepare_cached(
            "UPDATE credentials SET revoked_at = ?2 WHERE id = ?1 AND revoked_at IS NULL",
        )?
        .execute(params![id.as_str(), at])?;
    if ended == 0 {
        return Ok(false);
    }
    tx.conn.prepare_cached("DELETE FROM sessions WHERE credential = ?1")?.execute([id.as_str()])?;
    audit::append(tx, at, entry)?;
    tx.took_away();
    Ok(true)
}

/// See [`Credentials::credential`](crate::Credentials::credential).
pub(super) fn get(conn: &Connection, id: &CredentialId) -> Result<Option<Credential>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM credentials WHERE id = ?1");
    let mut statement = conn.prepare_cached(&sql)?;
    statement.query_row([id.as_str()], |row| Ok(of_row(row))).optional()?.transpose()
}

/// See [`Credentials::credential_of`](crate::Credentials::credential_of).
pub(super) fn of(conn: &Connection, secret: &AccessHash) -> Result<Option<Held>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS}, secrets.expires_at FROM secrets \
         JOIN credentials ON credentials.id = secrets.credential WHERE hash = ?1"
    );
    let mut statement = conn.prepare_cached(&sql)?;
    let held = |row: &Row<'_>| -> Result<Held, StoreError> {
        Ok(Held { credential: of_row(row)?, secret_until: row.get(9)? })
    };
    statement.query_row([secret.0], |row| Ok(held(row))).optional()?.transpose()
}

/// See [`Credentials::credentials`](crate::Credentials::credentials).
pub(super) fn list(
    conn: &Connection,
    filter: &CredentialFilter,
) -> Result<Vec<Credential>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM credentials WHERE id > ?1 AND platform = ?2 AND (?3 IS NULL OR \
         (revoked_at IS NULL AND (expires_at IS NULL OR expires_at > ?3))) ORDER BY id LIMIT ?4"
    );
    let after = filter.after.as_ref().map_or("", |id| id.as_str());
    let limit = filter.limit.clamp(1, PAGE_ROWS_MAX);
    let mut statement = conn.prepare_cached(&sql)?;
    let found = statement
        .query_map(params![after, filter.platforms, filter.alive_at, limit], |row| Ok(of_row(row)))?
        .map(|row| row?);
    found.collect()
}

/// See [`Credentials::used_credential`](crate::Credentials::used_credential).
pub(super) fn used(conn: &Connection, id: &CredentialId, at: Millis) -> Result<(), StoreError> {
    conn.prepare_cached(
        "UPDATE credentials SET last_used_at = max(?2, coalesce(last_used_at, ?2)) WHERE id = ?1",
    )?
    .execute(params![id.as_str(), at])?;
    Ok(())
}
