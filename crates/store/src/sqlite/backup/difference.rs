//! What a restore takes back: the store that it replaces, compared with the one that it brings.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};
use serde::Serialize;

use super::BackupError;

/// Instances named of each kind.
const NAMED_MAX: usize = 1_000;

/// An instance, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Named {
    /// Its id.
    pub id: String,
    /// Its service's name.
    pub service: String,
    /// OSB space: the team.
    pub space: String,
}

/// What was done after the backup, at most a thousand of each.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Made since: the restored store does not know them.
    pub unknown: Vec<Named>,
    /// Changed since: the restored store has them as they were.
    pub older: Vec<Named>,
    /// Deleted since: the restored store has them again.
    pub back: Vec<Named>,
}

const LIVES: &str = "state NOT IN ('deleted', 'failed')";

/// Compares the store at `replaced` with the one at `brought`. Neither is changed.
pub(super) fn between(replaced: &Path, brought: &Path) -> Result<Difference, BackupError> {
    let conn = Connection::open_with_flags(replaced, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    conn.execute("ATTACH ?1 AS brought", [brought.to_string_lossy()])?;
    let missing = |of: &str, in_: &str| {
        format!(
            "SELECT id, service, space FROM {of}.instances WHERE {LIVES} AND id NOT IN \
             (SELECT id FROM {in_}.instances WHERE {LIVES})"
        )
    };
    let older = format!(
        "SELECT old.id, old.service, old.space FROM main.instances AS old \
         JOIN brought.instances AS new USING (id) WHERE old.{LIVES} AND new.{LIVES} \
         AND (old.revision IS NOT new.revision OR old.updated_at <> new.updated_at)"
    );
    Ok(Difference {
        unknown: named(&conn, &missing("main", "brought"))?,
        older: named(&conn, &older)?,
        back: named(&conn, &missing("brought", "main"))?,
    })
}

fn named(conn: &Connection, sql: &str) -> Result<Vec<Named>, BackupError> {
    let sql = format!("{sql} ORDER BY 2, 3, 1 LIMIT {NAMED_MAX}");
    let mut statement = conn.prepare(&sql)?;
    let rows = statement.query_map([], |row| {
        Ok(Named { id: row.get(0)?, service: row.get(1)?, space: row.get(2)? })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}
