//! Documents of sources, as they lie in the store. Everything that rendering can see is there
//! first, so that every replica of the plane sees the same.

use std::collections::BTreeMap;

use keys::{Redactor, SealError, Secret};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::{BlobWrite, Blobs, Leases, StoreError};

use crate::sealing::{self, Vault};

/// Where documents lie.
const PREFIX: &str = "sources/";

/// A document of a source.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Document {
    /// Rises with every change of this document.
    pub revision: u64,
    /// What templates see, with secrets still sealed.
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

/// That a document is written.
pub(crate) fn put(name: &str, document: &Document) -> BlobWrite {
    BlobWrite::Put(key(name), serde_json::to_vec(document).unwrap_or_default())
}

/// Where the document of this name lies.
pub(crate) fn key(name: &str) -> String {
    format!("{PREFIX}{name}")
}

/// The ids of the keys with which anything in documents is sealed.
pub async fn sealing_keys(blobs: &dyn Blobs) -> Result<Vec<String>, StoreError> {
    let all = documents(blobs).await?;
    let mut keys: Vec<_> = all.values().flat_map(|it| sealing::keys_of(&it.value)).collect();
    keys.sort();
    keys.dedup();
    Ok(keys)
}

/// Why secrets are not sealed anew.
#[derive(Debug, thiserror::Error)]
pub enum ResealError {
    /// The store cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// One does not open.
    #[error("the document `{0}`: {1}")]
    Seal(String, SealError),
}

/// Seals with the newest key what documents have sealed with others. A document that is written
/// meanwhile is sealed with the newest anyway.
pub async fn reseal(
    blobs: &dyn Blobs,
    leases: &dyn Leases,
    vault: &dyn Vault,
    newest: &str,
) -> Result<(), ResealError> {
    for blob in blobs.list(PREFIX).await? {
        let name = &blob[PREFIX.len()..];
        let Some(old) = blobs.get(&blob).await? else { continue };
        let Ok(Document { revision, value }) = serde_json::from_slice(&old) else { continue };
        let sealed = sealing::reseal(vault, name, newest, &value).await;
        let sealed = sealed.map_err(|error| ResealError::Seal(name.to_owned(), error))?;
        let Some((value, _held)) = sealed else { continue };
        let new = serde_json::to_vec(&Document { revision, value }).unwrap_or_default();
        leases.swap(&blob, &old, &new).await?;
    }
    Ok(())
}

/// Opens every document for rendering. One that does not open is left out: what templates make
/// without it is refused, and what was good before stays.
pub fn open_all(
    vault: &dyn Vault,
    documents: &BTreeMap<String, Document>,
) -> (BTreeMap<String, Value>, Redactor) {
    let (mut values, mut secrets) = (BTreeMap::new(), Vec::new());
    for (name, document) in documents {
        match sealing::open(vault, name, &document.value) {
            Ok(opened) => {
                values.insert(name.clone(), opened.value);
                secrets.extend(opened.secrets);
            }
            Err(error) => tracing::error!(source = name, %error, "a document is left out"),
        }
    }
    (values, Redactor::of(secrets.iter().filter_map(Secret::expose_str)))
}
