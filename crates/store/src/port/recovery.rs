//! What is left to decide after a restore.

use async_trait::async_trait;
use model::{AuditEntry, Millis};

use crate::StoreError;

/// What is left to decide after a restore. A store that is never restored has nothing to tell.
#[async_trait]
pub trait Recovery: Send + Sync {
    /// Epoch and revision of the backup that the store was restored from, until an operator confirms
    /// that what proxies have beyond it may go.
    async fn restored_from(&self) -> Result<Option<(u64, u64)>, StoreError>;

    /// That is confirmed from now on; `entry` is written with it.
    async fn confirm(&self, at: Millis, entry: AuditEntry) -> Result<(), StoreError>;
}
