//! An entry of the audit log: who did what to what.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Owner, Requester};

/// What is written of one change, in the transaction that makes it. Time, place in the log and the
/// chain that proves it are the store's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// Who asked.
    pub by: Requester,
    /// Noun and verb, such as `instance.update` or `token.revoke`.
    pub action: String,
    /// The id or name of what was changed.
    pub object: String,
    /// Whose it is, where it is anybody's.
    pub owner: Option<Owner>,
    /// What else is worth knowing: a JSON object, at most 64 KiB, without secrets.
    pub detail: Value,
}
