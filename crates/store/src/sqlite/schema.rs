//! The tables, as a list of migrations that only ever grows.
//!
//! A file remembers in `PRAGMA user_version` how many of them it has seen.

use rusqlite::{Connection, TransactionBehavior};

use super::OpenError;

/// This release.
pub(super) const RELEASE: &str = env!("CARGO_PKG_VERSION");

/// Applied in order, each in its own transaction. Never edit one that was released: add another.
pub(super) const MIGRATIONS: &[&str] = &[
    include_str!("schema/0001_first.sql"),
    include_str!("schema/0002_audit.sql"),
    include_str!("schema/0003_revoked.sql"),
    include_str!("schema/0004_access.sql"),
    include_str!("schema/0005_restored.sql"),
    include_str!("schema/0006_search.sql"),
    include_str!("schema/0007_bindings.sql"),
    include_str!("schema/0008_turns.sql"),
    include_str!("schema/0009_teams.sql"),
    include_str!("schema/0010_proofs.sql"),
    include_str!("schema/0011_offers.sql"),
    include_str!("schema/0012_editions.sql"),
    include_str!("schema/0013_nodes.sql"),
    include_str!("schema/0014_leases.sql"),
    include_str!("schema/0015_revoked_nodes.sql"),
];

/// Brings the file to the newest schema, or says why not.
pub(super) fn migrate(conn: &mut Connection) -> Result<(), OpenError> {
    apply(conn, MIGRATIONS)?;
    conn.execute("UPDATE meta SET release = ?1 WHERE release IS NOT ?1", [RELEASE])?;
    Ok(())
}

/// How many migrations the file has seen.
pub(super) fn version(conn: &Connection) -> rusqlite::Result<usize> {
    conn.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// Refuses what a newer release has written, and what none has migrated to this one's schema yet.
pub(super) fn check(conn: &Connection) -> Result<(), String> {
    match version(conn).map_err(|error| error.to_string())? {
        found if found == MIGRATIONS.len() => Ok(()),
        found => Err(format!(
            "the store has schema {found}, and release {RELEASE} reads schema {}",
            MIGRATIONS.len()
        )),
    }
}

/// The release that last wrote the file, where it tells.
fn release(conn: &Connection) -> Option<String> {
    conn.query_row("SELECT release FROM meta", [], |row| row.get(0)).ok()
}

fn apply(conn: &mut Connection, migrations: &[&str]) -> Result<(), OpenError> {
    let found = version(conn)?;
    if found > migrations.len() {
        return Err(OpenError::Newer { found, known: migrations.len(), release: release(conn) });
    }
    for (index, migration) in migrations.iter().enumerate().skip(found) {
        let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        tx.execute_batch(migration)?;
        tx.pragma_update(None, "user_version", index + 1)?;
        tx.commit()?;
        tracing::debug!(version = index + 1, "a migration of the store schema is applied");
    }
    if found < migrations.len() {
        tracing::info!(from = found, to = migrations.len(), "store schema migrated");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_migration_is_applied_once_and_in_order() {
        let mut conn = Connection::open_in_memory().unwrap();
        let list =
            ["CREATE TABLE t (n)", "INSERT INTO t VALUES (1)", "UPDATE t SET n = n * 10 + 2"];
        for known in [1, 2, 2, 3, 3] {
            apply(&mut conn, &list[..known]).unwrap();
            assert_eq!(version(&conn), Ok(known));
        }
        let rows: Vec<i64> = conn
            .prepare("SELECT n FROM t")
            .unwrap()
            .query_map([], |row| row.get(0))
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap();
        assert_eq!(rows, [12]);
    }

    #[test]
    fn a_migration_that_fails_leaves_the_file_as_it_was() {
        let mut conn = Connection::open_in_memory().unwrap();
        let list =
            ["CREATE TABLE t (n)", "INSERT INTO t VALUES (1); INSERT INTO nowhere VALUES (1)"];
        assert!(matches!(apply(&mut conn, &list), Err(OpenError::Sqlite(_))));
        assert_eq!(version(&conn), Ok(1));
        let rows: i64 = conn.query_row("SELECT count(*) FROM t", [], |row| row.get(0)).unwrap();
        assert_eq!(rows, 0);
        apply(&mut conn, &[list[0], "INSERT INTO t VALUES (2)"]).unwrap();
        assert_eq!(version(&conn), Ok(2));
    }

    #[test]
    fn a_newer_schema_is_refused() {
        let mut conn = Connection::open_in_memory().unwrap();
        conn.pragma_update(None, "user_version", MIGRATIONS.len() + 1).unwrap();
        let refused = migrate(&mut conn).unwrap_err().to_string();
        assert!(refused.contains("newer release"), "{refused}");
    }
}
