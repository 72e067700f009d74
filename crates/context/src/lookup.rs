//! The question that resolution asks of the outside world.

use std::io;
use std::net::IpAddr;

use async_trait::async_trait;

/// Where names lead. A port of its own so that tests can hand in answers.
#[async_trait]
pub trait Lookup: Send + Sync {
    /// The addresses of a name, in any order. Called outside every lock; may take its time.
    async fn lookup(&self, host: &str) -> io::Result<Vec<IpAddr>>;
}

/// The operating system's resolver: hosts file, search domains and all.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemLookup;

#[async_trait]
impl Lookup for SystemLookup {
    async fn lookup(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        Ok(tokio::net::lookup_host((host, 0)).await?.map(|found| found.ip()).collect())
    }
}
