//! The embedded cloud: what would be records at a DNS provider are documents in the blob store.
//! Names below `.localhost` need no more than that, and everyone may read what was asked for.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use async_trait::async_trait;
use model::{Hostname, InstanceId};
use store::{Blobs, StoreError};
use tokio::sync::Mutex;

use crate::{Cloud, CloudError, Record};

/// Where records are kept: `cloud/dns/<hostname>`, each a JSON document.
const PREFIX: &str = "cloud/dns/";
/// Reading and writing a record is one step for the others; this many names at once.
const LOCKS: usize = 64;

/// Records in the blob store. Repeating a call changes nothing, so tokens need not be kept.
pub struct LocalCloud {
    blobs: Arc<dyn Blobs>,
    locks: [Mutex<()>; LOCKS],
}

impl LocalCloud {
    /// A cloud over this blob store.
    pub fn new(blobs: Arc<dyn Blobs>) -> Self {
        Self { blobs, locks: std::array::from_fn(|_| Mutex::new(())) }
    }

    /// Every record, sorted by hostname.
    pub async fn records(&self) -> Result<Vec<Record>, CloudError> {
        let mut records = Vec::new();
        for key in self.blobs.list(PREFIX).await.map_err(failed)? {
            records.extend(self.read(&key).await?);
        }
        Ok(records)
    }

    async fn read(&self, key: &str) -> Result<Option<Record>, CloudError> {
        let Some(bytes) = self.blobs.get(key).await.map_err(failed)? else { return Ok(None) };
        let damaged = |_| CloudError::Permanent("a DNS record cannot be read back".into());
        serde_json::from_slice(&bytes).map(Some).map_err(damaged)
    }

    fn lock(&self, hostname: &Hostname) -> &Mutex<()> {
        let mut hasher = DefaultHasher::new();
        hostname.hash(&mut hasher);
        &self.locks[hasher.finish() as usize % LOCKS]
    }
}

#[async_trait]
impl Cloud for LocalCloud {
    async fn upsert_record(&self, _token: &str, record: &Record) -> Result<(), CloudError> {
        let _alone = self.lock(&record.hostname).lock().await;
        let key = key(&record.hostname);
        match self.read(&key).await? {
            Some(found) if found == *record => Ok(()),
            Some(found) if found.instance != record.instance => Err(CloudError::Permanent(
                format!("the DNS record of {} belongs to another service", record.hostname),
            )),
            _ => {
                let bytes = serde_json::to_vec(record)
                    .map_err(|error| CloudError::Permanent(error.to_string()))?;
                self.blobs.put(&key, &bytes).await.map_err(failed)
            }
        }
    }

    async fn delete_record(
        &self,
        _token: &str,
        hostname: &Hostname,
        instance: &InstanceId,
    ) -> Result<(), CloudError> {
        let _alone = self.lock(hostname).lock().await;
        let key = key(hostname);
        match self.read(&key).await? {
            Some(found) if found.instance == *instance => {
                self.blobs.delete(&key).await.map_err(failed)
            }
            _ => Ok(()),
        }
    }

    async fn record(&self, hostname: &Hostname) -> Result<Option<Record>, CloudError> {
        self.read(&key(hostname)).await
    }
}

fn key(hostname: &Hostname) -> String {
    format!("{PREFIX}{hostname}")
}

/// Tenants read this; the store's own words are for the log.
fn failed(error: StoreError) -> CloudError {
    tracing::warn!(%error, "the blob store failed");
    match error {
        StoreError::Corrupt(_) => CloudError::Permanent("DNS records cannot be read".into()),
        _ => CloudError::Transient("DNS records cannot be written now".into()),
    }
}
