//! The right to be the only one who does something, among several processes.

use std::time::Duration;

use async_trait::async_trait;
use model::Millis;

use crate::StoreError;

/// The longest name of a lease, and of a holder, in bytes.
pub const LEASE_NAME_BYTES_MAX: usize = 128;

/// A lease by name, and the number that proves it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holding {
    /// What of.
    pub name: String,
    /// Rises with every other holder.
    pub number: u64,
}

/// A blob to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BlobWrite {
    /// This value, in place of what is there.
    Put(String, Vec<u8>),
    /// Nothing any more.
    Delete(String),
}

/// Leases by name, and what is written under them. `now` is everywhere the clock that the store was
/// opened with.
#[async_trait]
pub trait Leases: Send + Sync {
    /// Takes the lease of this name for `holder` until `now + lease`, or extends what it holds. `None`:
    /// another holds it. Whoever has had it last keeps its number, however long ago that was.
    async fn hold(
        &self,
        name: &str,
        holder: &str,
        now: Millis,
        lease: Duration,
    ) -> Result<Option<Holding>, StoreError>;

    /// Gives a lease back, so that others need not wait for its end. Nothing happens if another holds it.
    async fn let_go(&self, held: &Holding) -> Result<(), StoreError>;

    /// Writes blobs, all of them or none, if nobody else has taken the lease since; else
    /// [`StoreError::Fenced`].
    async fn write_held(&self, held: &Holding, writes: Vec<BlobWrite>) -> Result<(), StoreError>;

    /// Puts `new` in place of `old`. `false`: it is another by now, and nothing was written.
    async fn swap(&self, key: &str, old: &[u8], new: &[u8]) -> Result<bool, StoreError>;
}
