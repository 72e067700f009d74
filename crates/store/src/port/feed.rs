//! What was published, for whoever only follows it.

use std::time::Duration;

use async_trait::async_trait;

use super::{Changes, Cursor, Store};
use crate::StoreError;

/// The change feed: all that a control plane needs of a [`Store`]. Whoever has this alone can write
/// nothing.
#[async_trait]
pub trait Feed: Send + Sync {
    /// See [`Store::epoch`].
    async fn epoch(&self) -> Result<u64, StoreError>;

    /// See [`Store::changes`].
    async fn changes(&self, cursor: Option<Cursor>, limit: usize) -> Result<Changes, StoreError>;

    /// See [`Store::changed`].
    async fn changed(&self, cursor: &Cursor, timeout: Duration);

    /// Whether the store may have come further than this feed tells: it is another process's.
    fn may_lag(&self) -> bool {
        false
    }

    /// See [`Recovery::restored_from`](crate::Recovery::restored_from), where this feed tells it.
    async fn restored_from(&self) -> Result<Option<(u64, u64)>, StoreError> {
        Ok(None)
    }
}

#[async_trait]
impl<T: Store> Feed for T {
    async fn epoch(&self) -> Result<u64, StoreError> {
        Store::epoch(self).await
    }

    async fn changes(&self, cursor: Option<Cursor>, limit: usize) -> Result<Changes, StoreError> {
        Store::changes(self, cursor, limit).await
    }

    async fn changed(&self, cursor: &Cursor, timeout: Duration) {
        Store::changed(self, cursor, timeout).await;
    }
}
