//! The authority that signs certificates of proxies, as it is kept.

use keys::Sealed;
use rusqlite::{Connection, OptionalExtension, params};

use super::request::Tx;
use crate::{KeptAuthority, StoreError};

/// See [`Nodes::authority`](crate::Nodes::authority).
pub(super) fn get(conn: &Connection) -> Result<Option<KeptAuthority>, StoreError> {
    let mut statement = conn.prepare_cached("SELECT certificate, sealed FROM authority")?;
    let found = statement.query_row([], |row| {
        let (certificate, sealed) = (row.get(0)?, Sealed::from_bytes(row.get(1)?));
        Ok(KeptAuthority { certificate, sealed })
    });
    Ok(found.optional()?)
}

/// See [`Nodes::keep_authority`](crate::Nodes::keep_authority).
pub(super) fn keep(tx: &Tx<'_>, authority: KeptAuthority) -> Result<KeptAuthority, StoreError> {
    if let Some(kept) = get(tx.conn)? {
        return Ok(kept);
    }
    tx.conn
        .prepare_cached(
            "INSERT INTO authority (id, certificate, sealed, sealed_by) VALUES (1, ?1, ?2, ?3)",
        )?
        .execute(params![
            authority.certificate,
            authority.sealed.as_bytes(),
            authority.sealed.key()
        ])?;
    Ok(authority)
}

/// See [`Nodes::reseal_authority`](crate::Nodes::reseal_authority).
pub(super) fn reseal(tx: &Tx<'_>, old: &Sealed, new: &Sealed) -> Result<bool, StoreError> {
    let mut statement = tx
        .conn
        .prepare_cached("UPDATE authority SET sealed = ?2, sealed_by = ?3 WHERE sealed = ?1")?;
    Ok(statement.execute(params![old.as_bytes(), new.as_bytes(), new.key()])? > 0)
}
