//! Named documents.

use async_trait::async_trait;

use crate::StoreError;

/// The largest blob.
pub const BLOB_BYTES_MAX: usize = 16 << 20;
/// The longest key of a blob.
pub const BLOB_KEY_BYTES_MAX: usize = 512;
/// Named documents, written whole. A key has 1 to [`BLOB_KEY_BYTES_MAX`] bytes, a value at most
/// [`BLOB_BYTES_MAX`].
#[async_trait]
pub trait Blobs: Send + Sync {
    /// Reads a blob.
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError>;
    /// Writes a blob, durably, in place of what was there.
    async fn put(&self, key: &str, value: &[u8]) -> Result<(), StoreError>;
    /// Deletes a blob; nothing happens if there is none.
    async fn delete(&self, key: &str) -> Result<(), StoreError>;
    /// The keys that begin with `prefix`, sorted.
    async fn list(&self, prefix: &str) -> Result<Vec<String>, StoreError>;
}
