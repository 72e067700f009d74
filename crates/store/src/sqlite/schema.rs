//! The tables, as a list of migrations that only ever grows.
//!
//! A file remembers in `PRAGMA user_version` how many of them it has seen.

use rusqlite::{Connection, TransactionBehavior};

use super::OpenError;

/// Applied in order, each in its own transaction. Never edit one that was released: add another.
pub(super) const MIGRATIONS: &[&str] = &[include_str!("schema/0001_first.sql")];

/// Brings the file to the newest schema, or says why not.
pub(super) fn migrate(conn: &mut Connection) -> Result<(), OpenError> {
    let found: usize = conn.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if found > MIGRATIONS.len() {
        return Err(OpenError::Newer { found, known: MIGRATIONS.len() });
    }
    for (index, migration) in MIGRATIONS.iter().enumerate().skip(found) {
        let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        tx.execute_batch(migration)?;
        tx.pragma_update(None, "user_version", index + 1)?;
        tx.commit()?;
        tracing::info!(version = index + 1, "store schema migrated");
    }
    Ok(())
}
