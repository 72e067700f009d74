//! How each source stands, as it lies in the store beside its document: whoever is asked can tell,
//! not only the process that polls.

use std::collections::BTreeMap;

use model::Millis;
use serde::{Deserialize, Serialize};
use store::{Blobs, StoreError};

/// Where they lie.
const PREFIX: &str = "source-status/";

/// How a source stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceStatus {
    /// A word, such as `http`.
    pub kind: String,
    /// Where it is, without secrets.
    pub place: String,
    /// Whether any of it is secret.
    pub is_secret: bool,
    /// Whether its document comes to groups by stages.
    #[serde(default)]
    pub is_staged: bool,
    /// How often it is asked, in milliseconds.
    pub interval_ms: u64,
    /// The revision of its document; 0: there is none yet.
    pub revision: u64,
    /// The size of its document as it was fetched.
    pub bytes: u64,
    /// The first bytes of the SHA-256 of that; none of what is secret, which could be guessed by it.
    pub digest: Option<String>,
    /// When it was last known to be what its source has.
    pub fetched_at: Option<Millis>,
    /// Since when it fails.
    pub failing_since: Option<Millis>,
    /// Why.
    pub problem: Option<String>,
    /// What its source calls this version of it, if it does.
    #[serde(default)]
    pub etag: Option<String>,
    /// What of it is sealed.
    #[serde(default)]
    pub(crate) sealed_as: u64,
}

impl SourceStatus {
    /// For how long the document may have been another than the source's, in milliseconds; `None`:
    /// there was never one.
    pub fn staleness_ms(&self, now: Millis) -> Option<u64> {
        self.fetched_at.map(|at| u64::try_from(now - at).unwrap_or(0))
    }
}

/// The key of a source's status.
pub(crate) fn key(name: &str) -> String {
    format!("{PREFIX}{name}")
}

/// How every source stands, by name. What cannot be read is left out.
pub async fn source_statuses(
    blobs: &dyn Blobs,
) -> Result<BTreeMap<String, SourceStatus>, StoreError> {
    let mut all = BTreeMap::new();
    for key in blobs.list(PREFIX).await? {
        let Some(bytes) = blobs.get(&key).await? else { continue };
        if let Ok(status) = serde_json::from_slice(&bytes) {
            all.insert(key[PREFIX.len()..].to_owned(), status);
        }
    }
    Ok(all)
}
