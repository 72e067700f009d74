//! Polls the platform's sources into the store, in one process at a time: every plane renders from
//! the store, and every source is asked once, however many processes there are.

use std::path::PathBuf;
use std::time::Duration;

use store::{Holding, StoreError};
use tokio::task::JoinSet;

use crate::metrics;
use crate::polled::{Declared, Polled};
use crate::scribe::{Scribe, SourcePorts};
use crate::source::Disk;
use crate::sources::FileSources;
use crate::status::source_statuses;

/// The lease of whoever polls.
const LEASE_NAME: &str = "sources";
/// Who polls may be silent for so long before another does.
const LEASE: Duration = Duration::from_secs(15);
/// How often it is extended, or asked for.
const RENEW: Duration = Duration::from_secs(5);
/// More sources than this are not declared: every render sees all documents.
pub const SOURCES_MAX: usize = 100;

/// All sources of a platform.
pub struct Poller {
    declared: Vec<Declared>,
    paths: Vec<PathBuf>,
    ports: SourcePorts,
    disk: Disk,
}

impl Poller {
    /// Of files and folders of files, and of sources by name.
    pub fn new(paths: Vec<PathBuf>, declared: Vec<Declared>, ports: SourcePorts) -> Self {
        Self { declared, paths, ports, disk: Disk::default() }
    }

    /// Polls until `shutdown` completes, whenever no other process does.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send) {
        tokio::select! {
            () = shutdown => {}
            () = self.poll() => {}
        }
        // So that the next need not wait for its end.
        if let Ok(Some(holding)) = self.hold().await {
            let _ = self.ports.leases.let_go(&holding).await;
        }
    }

    async fn poll(&self) {
        loop {
            match self.hold().await {
                Ok(Some(holding)) => self.work(holding).await,
                Ok(None) => {}
                Err(error) => tracing::warn!(%error, "sources are not polled"),
            }
            self.gauge().await;
            tokio::time::sleep(RENEW).await;
        }
    }

    async fn hold(&self) -> Result<Option<Holding>, StoreError> {
        let SourcePorts { leases, holder, clock, .. } = &self.ports;
        leases.hold(LEASE_NAME, holder, clock(), LEASE).await
    }

    /// Polls as long as the lease is held. A store that fails ends nothing: what is written is
    /// written under the lease, or not at all.
    async fn work(&self, holding: Holding) {
        let scribe = Scribe::new(self.ports.clone(), holding.clone());
        let names = self.declared.iter().map(|declared| declared.name.clone()).collect();
        let mut tasks = JoinSet::new();
        let files = FileSources::new(self.paths.clone(), names, self.disk.clone());
        tasks.spawn(files.run(scribe.clone()));
        for declared in &self.declared {
            tasks.spawn(Polled::run(declared.clone(), scribe.clone()));
        }
        loop {
            self.gauge().await;
            tokio::time::sleep(RENEW).await;
            match self.hold().await {
                Ok(Some(same)) if same == holding => {}
                Ok(_) => return tracing::info!("another process polls the sources"),
                Err(error) => tracing::warn!(%error, "the lease of the sources is not extended"),
            }
        }
    }

    /// From the store, so that every process tells the same.
    async fn gauge(&self) {
        if let Ok(statuses) = source_statuses(&*self.ports.blobs).await {
            metrics::sources(&statuses, (self.ports.clock)());
        }
    }
}

#[cfg(test)]
#[path = "poller_tests.rs"]
mod tests;
