//! Documents of sources, as they lie in the store. Everything that rendering can see is there
//! first, so that every replica of the plane sees the same.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::{Blobs, StoreError};

/// Where documents lie.
const PREFIX: &str = "sources/";

/// A document of a source.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Document {
    /// Rises with every change of this document.
    pub revision: u64,
    /// What templates see.
    pub value: Value,
}

/// Every document, by name. One that cannot be read is left out: it must not keep a plane from
/// starting.
pub async fn documents(blobs: &dyn Blobs) -> Result<BTreeMap<String, Document>, StoreError> {
    let mut all = BTreeMap::new();
    for key in blobs.list(PREFIX).await? {
        let Some(bytes) = blobs.get(&key).await? else { continue };
        match serde_json::from_slice(&bytes) {
            Ok(document) => _ = all.insert(key[PREFIX.len()..].to_owned(), document),
            Err(error) => tracing::error!(key, %error, "a document is unreadable, and left out"),
        }
    }
    Ok(all)
}

/// Writes a document's value, at its next revision.
pub(crate) async fn write(
    blobs: &dyn Blobs,
    name: &str,
    before: Option<&Document>,
    value: Value,
) -> Result<(), StoreError> {
    let revision = before.map_or(0, |document| document.revision) + 1;
    let document = Document { revision, value };
    let bytes = serde_json::to_vec(&document).unwrap_or_default();
    blobs.put(&format!("{PREFIX}{name}"), &bytes).await
}

/// Removes a document.
pub(crate) async fn remove(blobs: &dyn Blobs, name: &str) -> Result<(), StoreError> {
    blobs.delete(&format!("{PREFIX}{name}")).await
}
