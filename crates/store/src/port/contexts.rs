//! What a platform tells of the circumstances of an instance.

use async_trait::async_trait;
use model::{AuditEntry, InstanceId, Millis};
use serde_json::Value;

use crate::StoreError;

/// The platform context of instances, changed by itself.
#[async_trait]
pub trait Contexts: Send + Sync {
    /// Writes the context of an instance that lives, with its entry in the audit log. `seen` is the
    /// instance's `updated_at` as the caller read it. `false`: it is another by now, and nothing was
    /// written.
    async fn set_context(
        &self,
        instance: &InstanceId,
        context: Value,
        seen: Millis,
        at: Millis,
        entry: AuditEntry,
    ) -> Result<bool, StoreError>;
}
