//! Sessions of browsers and the codes that open them, in one table.

use model::{AccessHash, Millis, Principal};
use rusqlite::{Connection, OptionalExtension, params};

use super::request::Tx;
use super::rows;
use crate::{CODE_MILLIS_MAX, SESSION_MILLIS_MAX, SESSIONS_MAX, SESSIONS_OF_ONE_MAX, StoreError};

/// What a row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// To be taken once.
    Code,
    /// To be shown again and again.
    Session,
}

impl Kind {
    fn longest(self) -> Millis {
        match self {
            Self::Code => CODE_MILLIS_MAX,
            Self::Session => SESSION_MILLIS_MAX,
        }
    }
}

/// Makes either; what has ended and what is too much goes.
pub(super) fn create(
    tx: &Tx<'_>,
    kind: Kind,
    hash: &AccessHash,
    principal: &Principal,
    now: Millis,
    until: Millis,
) -> Result<(), StoreError> {
    tx.conn.prepare_cached("DELETE FROM sessions WHERE expires_at <= ?1")?.execute([now])?;
    tx.conn
        .prepare_cached(
            "INSERT INTO sessions (hash, code, name, principal, credential, expires_at) VALUES \
             (?1, ?2, ?3, ?4, \
             (SELECT id FROM credentials WHERE name = ?3 AND revoked_at IS NULL), ?5)",
        )?
        .execute(params![
            hash.0,
            kind == Kind::Code,
            principal.credential,
            rows::json("the principal", principal)?,
            until.min(now.saturating_add(kind.longest())),
        ])?;
    make_room(tx.conn, &principal.credential)
}

fn make_room(conn: &Connection, name: &str) -> Result<(), StoreError> {
    conn.prepare_cached(
        "DELETE FROM sessions WHERE name = ?1 AND seq <= \
         (SELECT seq FROM sessions WHERE name = ?1 ORDER BY seq DESC LIMIT 1 OFFSET ?2)",
    )?
    .execute(params![name, SESSIONS_OF_ONE_MAX])?;
    conn.prepare_cached("DELETE FROM sessions WHERE seq <= (SELECT max(seq) FROM sessions) - ?1")?
        .execute([SESSIONS_MAX])?;
    Ok(())
}

/// Whose it is, if it is good.
pub(super) fn get(
    conn: &Connection,
    kind: Kind,
    hash: &AccessHash,
    now: Millis,
) -> Result<Option<Principal>, StoreError> {
    let json = conn
        .prepare_cached(
            "SELECT principal FROM sessions \
             LEFT JOIN credentials ON credentials.id = sessions.credential \
             WHERE hash = ?1 AND code = ?2 AND sessions.expires_at > ?3 \
             AND revoked_at IS NULL AND coalesce(credentials.expires_at > ?3, TRUE)",
        )?
        .query_row(params![hash.0, kind == Kind::Code, now], |row| row.get::<_, String>(0))
        .optional()?;
    json.as_deref().map(rows::read).transpose()
}

/// Whose a code was, which it is no more.
pub(super) fn take(
    tx: &Tx<'_>,
    hash: &AccessHash,
    now: Millis,
) -> Result<Option<Principal>, StoreError> {
    let whose = get(tx.conn, Kind::Code, hash, now)?;
    if whose.is_some() {
        end(tx.conn, hash)?;
    }
    Ok(whose)
}

/// Ends either.
pub(super) fn end(conn: &Connection, hash: &AccessHash) -> Result<(), StoreError> {
    conn.prepare_cached("DELETE FROM sessions WHERE hash = ?1")?.execute([hash.0])?;
    Ok(())
}
