//! What SQLite's errors mean to a caller of the ports.

use rusqlite::{Error, ErrorCode};

use crate::StoreError;

impl From<Error> for StoreError {
    fn from(error: Error) -> Self {
        match &error {
            Error::SqliteFailure(cause, _) if passes(cause.code) => {
                Self::Unavailable(error.to_string())
            }
            _ => Self::Corrupt(error.to_string()),
        }
    }
}

impl StoreError {
    /// The writer's thread has ended, and with it every hope of an answer.
    pub(super) fn stopped() -> Self {
        Self::Unavailable("the writer has stopped".to_owned())
    }
}

impl From<serde_json::Error> for StoreError {
    fn from(error: serde_json::Error) -> Self {
        Self::Corrupt(error.to_string())
    }
}

/// Whether the same request may succeed later, when the machine is well again.
fn passes(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::DiskFull
            | ErrorCode::SystemIoFailure
            | ErrorCode::ReadOnly
            | ErrorCode::DatabaseBusy
            | ErrorCode::DatabaseLocked
            | ErrorCode::CannotOpen
            | ErrorCode::PermissionDenied
            | ErrorCode::OutOfMemory
            | ErrorCode::FileLockingProtocolFailed
            | ErrorCode::OperationInterrupted
    )
}
