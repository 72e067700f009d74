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
    /// Revoked, replaced or unbound since: good again.
    pub reopened: Vec<Reopened>,
    /// Proxies that were revoked since, and stay so.
    pub shut_out: Vec<String>,
}

/// Something that lets somebody in again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reopened {
    /// `token`, `platform`, `binding` or `node`.
    pub kind: String,
    /// Its id.
    pub id: String,
    /// What it is called; of a binding, the service.
    pub name: String,
    /// OSB space of the service, of a binding.
    pub space: Option<String>,
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
        reopened: reopened(&conn)?,
        shut_out: Vec::new(),
    })
}

impl Difference {
    /// What was revoked of proxies is so in the restored store, too.
    pub(super) fn keep_shut_out(&mut self) {
        let nodes = self.reopened.extract_if(.., |it| it.kind == "node");
        self.shut_out = nodes.map(|node| node.id).collect();
    }
}

/// What the replaced store's audit log says was ended, and the brought store takes for good. Stores of
/// earlier releases lack some of the tables, and so anything in them.
fn reopened(conn: &Connection) -> Result<Vec<Reopened>, BackupError> {
    let mut all = Vec::new();
    for (table, sql) in [("credentials", CREDENTIALS), ("bindings", BINDINGS), ("nodes", NODES)] {
        if !has(conn, "main", "audit")? || !has(conn, "brought", table)? {
            continue;
        }
        let mut statement =
            conn.prepare(&format!("{sql} ORDER BY 1 DESC, 3, 2 LIMIT {NAMED_MAX}"))?;
        let rows = statement.query_map([], |row| {
            let (kind, id) = (row.get(0)?, row.get(1)?);
            Ok(Reopened { kind, id, name: row.get(2)?, space: row.get(3)? })
        })?;
        all.extend(rows.collect::<rusqlite::Result<Vec<_>>>()?);
    }
    Ok(all)
}

const CREDENTIALS: &str = "SELECT CASE platform WHEN 1 THEN 'platform' ELSE 'token' END, id, name, NULL \
     FROM brought.credentials AS c WHERE revoked_at IS NULL AND EXISTS (\
         SELECT 1 FROM main.audit WHERE object = c.id \
         AND seq > (SELECT coalesce(max(seq), 0) FROM brought.audit) \
         AND entry ->> '$.action' IN ('token.revoke', 'platform.revoke', 'platform.rotate'))";

const BINDINGS: &str = "SELECT 'binding', b.id, i.service, i.space \
     FROM brought.bindings AS b JOIN brought.instances AS i ON i.id = b.instance \
     WHERE b.live = 1 AND EXISTS (\
         SELECT 1 FROM main.audit WHERE object = b.id \
         AND seq > (SELECT coalesce(max(seq), 0) FROM brought.audit) \
         AND entry ->> '$.action' = 'binding.delete')";

/// Also those that joined after the backup: their certificates are good, and nobody knows them.
const NODES: &str = "SELECT DISTINCT 'node', object, object, NULL FROM main.audit AS a \
     WHERE seq > (SELECT coalesce(max(seq), 0) FROM brought.audit) \
     AND entry ->> '$.action' = 'node.revoke' AND NOT EXISTS (\
         SELECT 1 FROM brought.nodes WHERE id = a.object AND revoked_at IS NOT NULL)";

fn has(conn: &Connection, store: &str, table: &str) -> Result<bool, BackupError> {
    let sql = format!("SELECT count(*) FROM {store}.sqlite_schema WHERE name = ?1");
    Ok(conn.query_row(&sql, [table], |row| row.get::<_, i64>(0))? > 0)
}

fn named(conn: &Connection, sql: &str) -> Result<Vec<Named>, BackupError> {
    let sql = format!("{sql} ORDER BY 2, 3, 1 LIMIT {NAMED_MAX}");
    let mut statement = conn.prepare(&sql)?;
    let rows = statement.query_map([], |row| {
        Ok(Named { id: row.get(0)?, service: row.get(1)?, space: row.get(2)? })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}
