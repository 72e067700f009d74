//! The audit log of a file, read from outside: also while a platform writes it, and also when no
//! platform would open it.

use std::ops::ControlFlow;
use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::{OpenError, audit};
use crate::chain::{Broken, Check};
use crate::{AuditHead, AuditRecord};

/// Shows each entry of the store at `path` to `look`, from the first, until it breaks; with what.
///
/// # Errors
/// The file cannot be read, or is no store with an audit log.
pub fn each_entry<B>(
    path: &Path,
    mut look: impl FnMut(&AuditRecord) -> ControlFlow<B>,
) -> Result<Option<B>, OpenError> {
    std::fs::metadata(path).map_err(|source| OpenError::File { path: path.to_owned(), source })?;
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags)?;
    let sql = format!("SELECT {} FROM audit ORDER BY seq", audit::RECORD);
    let mut statement = conn.prepare(&sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        if let ControlFlow::Break(with) = look(&audit::record(row)?) {
            return Ok(Some(with));
        }
    }
    Ok(None)
}

/// Follows the whole log of the store at `path`.
///
/// # Errors
/// As [`each_entry`]. That the log is not what was written is an answer.
pub fn verify(path: &Path, mut check: Check) -> Result<Result<AuditHead, Broken>, OpenError> {
    let broken = each_entry(path, |record| match check.next(record) {
        Ok(()) => ControlFlow::Continue(()),
        Err(broken) => ControlFlow::Break(broken),
    })?;
    Ok(broken.map_or_else(|| check.end(), Err))
}
