//! Documents of sources, as they lie in the store. Everything that rendering can see is there
//! first, so that every replica of the plane sees the same.

use std::collections::{BTreeMap, BTreeSet};

use keys::{Redactor, SealError, Secret};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::{BlobWrite, Blobs, Leases, StoreError};

use crate::sealing::{self, Vault};

/// Where the latest documents lie.
const PREFIX: &str = "sources/";
/// Where those lie that editions may have, by name and revision.
const VERSIONS: &str = "source-versions/";

/// What is another after each change of documents. Whoever writes them writes it in the same transaction.
const MARK: &str = "sources-mark";

/// How a document comes to groups.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reach {
    /// To all of them at once.
    #[default]
    AtOnce,
    /// To those whose edition has it.
    Staged,
    /// The same, since it was made so: editions from before follow it as they did.
    StagedSince,
}

impl Reach {
    /// What follows of this one, or of there having been none.
    pub(crate) fn of(is_staged: bool, before: Option<Self>) -> Self {
        match (is_staged, before) {
            (false, _) => Self::AtOnce,
            (true, None | Some(Self::Staged)) => Self::Staged,
            (true, Some(Self::AtOnce | Self::StagedSince)) => Self::StagedSince,
        }
    }
}

/// A document of a source.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Document {
    /// Rises with every change of this document.
    pub revision: u64,
    /// What templates see, with secrets still sealed.
    pub value: Value,
    /// How it comes to groups.
    #[serde(default)]
    pub reach: Reach,
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

/// Which documents were read, for whoever reads them again and again.
#[derive(Debug, Default)]
pub struct Watch(Option<Vec<u8>>);

impl Watch {
    /// Every document, if any was written since the last reading. Where nobody ever said whether one was, all
    /// are read each time.
    ///
    /// # Errors
    /// The store cannot be read; the next reading tries again.
    pub async fn news(
        &mut self,
        blobs: &dyn Blobs,
    ) -> Result<Option<BTreeMap<String, Document>>, StoreError> {
        // The mark comes first: what is written meanwhile has another.
        let mark = blobs.get(MARK).await?;
        if mark.is_some() && mark == self.0 {
            return Ok(None);
        }
        let all = documents(blobs).await?;
        self.0 = mark;
        Ok(Some(all))
    }
}

/// Whether it writes or deletes a document.
pub(crate) fn is_of_one(write: &BlobWrite) -> bool {
    let (BlobWrite::Put(key, _) | BlobWrite::Delete(key)) = write;
    key.starts_with(PREFIX)
}

/// That documents are others from now on.
pub(crate) fn mark(unlike_any_other: String) -> BlobWrite {
    BlobWrite::Put(MARK.to_owned(), unlike_any_other.into_bytes())
}

/// That a document is written, and kept at its revision where editions may have it.
pub(crate) fn put(name: &str, document: &Document) -> Vec<BlobWrite> {
    let bytes = serde_json::to_vec(document).unwrap_or_default();
    let version = BlobWrite::Put(version_key(name, document.revision), bytes.clone());
    let is_staged = document.reach != Reach::AtOnce;
    let latest = BlobWrite::Put(key(name), bytes);
    std::iter::once(latest).chain(is_staged.then_some(version)).collect()
}

fn version_key(name: &str, revision: u64) -> String {
    format!("{VERSIONS}{name}/{revision:020}")
}

fn version_of(key: &str) -> Option<(String, u64)> {
    let (name, revision) = key.strip_prefix(VERSIONS)?.rsplit_once('/')?;
    Some((name.to_owned(), revision.parse().ok()?))
}

/// A document as it was at a revision, if an edition could have it and it was not forgotten.
pub async fn version(
    blobs: &dyn Blobs,
    name: &str,
    revision: u64,
) -> Result<Option<Document>, StoreError> {
    let Some(bytes) = blobs.get(&version_key(name, revision)).await? else { return Ok(None) };
    Ok(serde_json::from_slice(&bytes).ok())
}

/// The highest revision of each document that is kept for editions: none is used twice.
pub(crate) async fn highest(blobs: &dyn Blobs) -> Result<BTreeMap<String, u64>, StoreError> {
    let mut highest = BTreeMap::<String, u64>::new();
    for (name, revision) in blobs.list(VERSIONS).await?.iter().filter_map(|key| version_of(key)) {
        let known = highest.entry(name).or_default();
        *known = revision.max(*known);
    }
    Ok(highest)
}

/// Forgets what is neither the latest nor `needed`, by name and revision.
pub async fn forget_versions(
    blobs: &dyn Blobs,
    needed: &BTreeSet<(String, u64)>,
) -> Result<(), StoreError> {
    let kept = blobs.list(VERSIONS).await?;
    // After that: whatever of these was the latest is so still, or an older one.
    let latest = documents(blobs).await?;
    for key in kept {
        let Some(version) = version_of(&key) else { continue };
        let is_latest = latest.get(&version.0).is_some_and(|it| it.revision <= version.1);
        if !is_latest && !needed.contains(&version) {
            blobs.delete(&key).await?;
        }
    }
    Ok(())
}

/// Where the document of this name lies.
pub(crate) fn key(name: &str) -> String {
    format!("{PREFIX}{name}")
}

/// The ids of the keys with which anything in documents is sealed.
pub async fn sealing_keys(blobs: &dyn Blobs) -> Result<Vec<String>, StoreError> {
    let mut keys = BTreeSet::new();
    for key in [blobs.list(PREFIX).await?, blobs.list(VERSIONS).await?].concat() {
        let Some(bytes) = blobs.get(&key).await? else { continue };
        if let Ok(Document { value, .. }) = serde_json::from_slice(&bytes) {
            keys.extend(sealing::keys_of(&value));
        }
    }
    Ok(keys.into_iter().collect())
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
    for blob in [blobs.list(PREFIX).await?, blobs.list(VERSIONS).await?].concat() {
        let name = version_of(&blob).map_or_else(|| blob[PREFIX.len()..].to_owned(), |it| it.0);
        let Some(old) = blobs.get(&blob).await? else { continue };
        let Ok(document) = serde_json::from_slice::<Document>(&old) else { continue };
        let sealed = sealing::reseal(vault, &name, newest, &document.value).await;
        let sealed = sealed.map_err(|error| ResealError::Seal(name.clone(), error))?;
        let Some((value, _held)) = sealed else { continue };
        let new = serde_json::to_vec(&Document { value, ..document }).unwrap_or_default();
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
