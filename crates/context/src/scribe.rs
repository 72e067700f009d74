//! Whoever polls sources writes what they have through this: documents and how sources stand, in one
//! transaction each time, and only while it holds the lease.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use model::Millis;
use store::{BlobWrite, Blobs, Holding, Leases, StoreError};

use crate::documents::{self, Document};
use crate::sealing::{self, SecretPath, Vault};
use crate::source::FetchError;
use crate::status::{self, SourceStatus};

/// What polling needs of the rest of the platform.
#[derive(Clone)]
pub struct SourcePorts {
    /// Where documents lie.
    pub blobs: Arc<dyn Blobs>,
    /// Who may write them.
    pub leases: Arc<dyn Leases>,
    /// What seals them.
    pub vault: Arc<dyn Vault>,
    /// Now.
    pub clock: store::Clock,
    /// In `0.0..1.0`, to spread what would otherwise happen at once.
    pub jitter: crate::Jitter,
    /// This process, unlike any other.
    pub holder: String,
}

/// Writes, as long as the lease is held.
#[derive(Clone)]
pub(crate) struct Scribe {
    ports: SourcePorts,
    holding: Arc<Holding>,
    /// Changes of documents under this lease.
    changes: Arc<AtomicU64>,
}

/// Why a document was not written.
#[derive(Debug)]
pub(crate) enum Unwritten {
    /// The source is at fault.
    Source(FetchError),
    /// The store is.
    Store(StoreError),
}

impl From<StoreError> for Unwritten {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Scribe {
    pub(crate) fn new(ports: SourcePorts, holding: Holding) -> Self {
        Self { ports, holding: Arc::new(holding), changes: Arc::default() }
    }

    pub(crate) fn now(&self) -> Millis {
        (self.ports.clock)()
    }

    pub(crate) fn chance(&self) -> f64 {
        (self.ports.jitter)()
    }

    /// Every document as it lies there, if there is any news since `watch` looked last.
    pub(crate) async fn news(
        &self,
        watch: &mut documents::Watch,
    ) -> Result<Option<BTreeMap<String, Document>>, StoreError> {
        watch.news(&*self.ports.blobs).await
    }

    /// How every source stands.
    pub(crate) async fn statuses(&self) -> Result<BTreeMap<String, SourceStatus>, StoreError> {
        status::source_statuses(&*self.ports.blobs).await
    }

    /// The highest revisions that editions may have.
    pub(crate) async fn highest(&self) -> Result<BTreeMap<String, u64>, StoreError> {
        documents::highest(&*self.ports.blobs).await
    }

    /// A document, opened; and how its source stands, with the highest revision that there was.
    pub(crate) async fn one(
        &self,
        name: &str,
    ) -> Result<(Option<Document>, SourceStatus), StoreError> {
        let mut documents = documents::documents(&*self.ports.blobs).await?;
        let mut statuses = self.statuses().await?;
        let highest = self.highest().await?.remove(name).unwrap_or(0);
        let opened = documents.remove(name).and_then(|document| {
            match sealing::open(&*self.ports.vault, name, &document.value) {
                Ok(opened) => Some(Document { value: opened.value, ..document }),
                Err(error) => {
                    tracing::error!(source = name, %error, "a document cannot be opened; it is fetched anew");
                    None
                }
            }
        });
        let mut status = statuses.remove(name).unwrap_or_default();
        status.revision = status.revision.max(highest);
        Ok((opened, status))
    }

    /// Writes a document, its secrets sealed, and how its source stands.
    pub(crate) async fn write(
        &self,
        name: &str,
        secret_paths: &[SecretPath],
        mut document: Document,
        status: &SourceStatus,
    ) -> Result<(), Unwritten> {
        let value = &mut document.value;
        let sealed = sealing::seal(&*self.ports.vault, name, secret_paths, value).await;
        let held = sealed.map_err(Unwritten::Source)?;
        let mut writes = documents::put(name, &document);
        writes.push(put_status(name, status));
        let written = self.all_of(writes).await;
        drop(held);
        match written {
            Err(StoreError::TooLarge(why)) => Err(Unwritten::Source(why.into())),
            other => Ok(other?),
        }
    }

    /// Writes how a source stands.
    pub(crate) async fn tell(&self, name: &str, status: &SourceStatus) -> Result<(), StoreError> {
        self.all_of(vec![put_status(name, status)]).await
    }

    /// Writes, all or nothing. Who follows documents is told when one of them is another; and by the first
    /// write under a lease in any case, as there may be documents from before anybody was told.
    pub(crate) async fn all_of(&self, mut writes: Vec<BlobWrite>) -> Result<(), StoreError> {
        let is_first = self.changes.load(Ordering::Relaxed) == 0;
        if is_first || writes.iter().any(documents::is_of_one) {
            let change = self.changes.fetch_add(1, Ordering::Relaxed);
            let (holder, lease) = (&self.ports.holder, self.holding.number);
            writes.push(documents::mark(format!("{holder} {lease} {change}")));
        }
        self.ports.leases.write_held(&self.holding, writes).await
    }
}

pub(crate) fn put_status(name: &str, status: &SourceStatus) -> BlobWrite {
    BlobWrite::Put(status::key(name), serde_json::to_vec(status).unwrap_or_default())
}
