//! Who was shut out stays so: what the replaced store has revoked of proxies' certificates is revoked in the
//! restored one, too. To restore is to go back in everything else.

use std::path::Path;

use model::Millis;
use rusqlite::{Connection, params};

use super::BackupError;

/// The first schema that has revocations as they are copied here.
const SCHEMA_MIN: i64 = 15;

/// Both have the same authority: another's certificates let nobody in here, and its names are others'.
const IS_SAME: &str = "SELECT count(*) FROM replaced.authority AS old \
     JOIN main.authority AS new ON old.certificate = new.certificate";

const REVOCATIONS: &str = "INSERT INTO main.revocations (serial, not_after, node, before) \
     SELECT serial, not_after, node, before FROM replaced.revocations AS old \
     WHERE not_after > ?1 AND NOT EXISTS (\
         SELECT 1 FROM main.revocations AS new WHERE new.serial = old.serial \
         AND new.node IS old.node AND new.before IS old.before) ORDER BY seq";

const NODES: &str = "UPDATE main.nodes SET revoked_at = \
         (SELECT old.revoked_at FROM replaced.nodes AS old WHERE old.id = nodes.id) \
     WHERE revoked_at IS NULL AND id IN \
         (SELECT id FROM replaced.nodes WHERE revoked_at IS NOT NULL)";

/// One that is listed is judged by its number, and by nothing else.
const CERTIFICATES: &str = "DELETE FROM main.certificates WHERE node IN \
         (SELECT id FROM main.nodes WHERE revoked_at IS NOT NULL) \
     OR serial IN (SELECT serial FROM main.revocations WHERE node IS NULL)";

/// Lets `conn`, which is at the restored store, read the replaced one.
pub(super) fn attach(conn: &Connection, replaced: &Path) -> Result<(), BackupError> {
    conn.execute("ATTACH ?1 AS replaced", [replaced.to_string_lossy()])?;
    Ok(())
}

/// Whether all that is revoked there is revoked here now. `false`: that store is of another platform, or of
/// a release that had no such table.
pub(super) fn carry(tx: &Connection, at: Millis) -> Result<bool, BackupError> {
    let schema: i64 = tx.query_row("PRAGMA replaced.user_version", [], |row| row.get(0))?;
    if schema < SCHEMA_MIN || tx.query_row(IS_SAME, [], |row| row.get::<_, i64>(0))? == 0 {
        return Ok(false);
    }
    tx.execute(REVOCATIONS, params![at])?;
    tx.execute(NODES, [])?;
    tx.execute(CERTIFICATES, [])?;
    Ok(true)
}
