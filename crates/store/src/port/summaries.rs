//! What replicas of the control plane tell of their proxies, for whoever answers for all of them.

use async_trait::async_trait;
use model::Millis;

use crate::StoreError;

/// The longest summary, in bytes: of 10,000 proxies it has about 3 MB.
pub const SUMMARY_BYTES_MAX: usize = 16 << 20;
/// Replicas that are heard.
pub const REPLICAS_MAX: usize = 64;

/// What a replica has told last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Its name.
    pub replica: String,
    /// When.
    pub at: Millis,
    /// What, in the words of the plane.
    pub summary: Vec<u8>,
}

/// Where replicas tell. Each writes what is its own, and none waits for another.
#[async_trait]
pub trait Summaries: Send + Sync {
    /// Tells, in place of what this replica has told before. Need not outlive the machine.
    async fn tell(&self, told: Told) -> Result<(), StoreError>;

    /// A replica tells nothing any more.
    async fn leave(&self, replica: &str) -> Result<(), StoreError>;

    /// What has been told, by name, and is other than in `known` (names and times); and the names of
    /// all that tell.
    async fn told(
        &self,
        known: &[(String, Millis)],
    ) -> Result<(Vec<Told>, Vec<String>), StoreError>;
}
