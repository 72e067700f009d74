//! What steps need of the world outside the store.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use model::{Exposure, Hostname, InstanceId, Millis, Spec};
use serde::{Deserialize, Serialize};
use store::{Queue, Store};

/// The time now.
pub type Clock = Arc<dyn Fn() -> Millis + Send + Sync>;

/// A number in `0.0..1.0`, evenly drawn, by which a delay is multiplied.
pub type Jitter = Arc<dyn Fn() -> f64 + Send + Sync>;

/// All that a worker needs from outside.
#[derive(Clone)]
pub struct Ports {
    /// Operations and their effects.
    pub store: Arc<dyn Store>,
    /// Jobs.
    pub queue: Arc<dyn Queue>,
    /// The outside world.
    pub cloud: Arc<dyn Cloud>,
    /// The control plane.
    pub fleet: Arc<dyn Fleet>,
    /// Time.
    pub clock: Clock,
    /// Randomness.
    pub jitter: Jitter,
}

/// How far the fleet is with a revision of an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Convergence {
    /// Every ready proxy has it. `notice` names groups without proxies.
    Live {
        /// How many proxies have it.
        proxies: usize,
        /// What is worth saying beside success.
        notice: Option<String>,
    },
    /// Not yet: `have` of `ready` proxies.
    Behind {
        /// Proxies that have it.
        have: usize,
        /// Proxies that are connected and heard from.
        ready: usize,
        /// The furthest behind, with what is known of why.
        why: String,
    },
    /// The renderer or Envoy refused it; the instance is served at its last good revision.
    Rejected {
        /// Why, in the tenant's own words.
        reason: String,
    },
}

/// What the worker asks of the control plane.
#[async_trait]
pub trait Fleet: Send + Sync {
    /// Whether this spec would pass the gates now; the reason if not, in the tenant's words.
    /// Asked before every publish: a refusal here costs the tenant nothing. It may wait for the
    /// control plane to be ready, but not longer than [`Config::stuck`](crate::Config).
    async fn check(&self, instance: &InstanceId, spec: &Spec) -> Result<(), String>;

    /// Waits until the fleet has this revision (also of an unpublish), it is rejected, or `within`
    /// has passed, and says how far it is. `Behind` is not answered before `within` has passed:
    /// the worker asks again at once.
    async fn converged(
        &self,
        instance: &InstanceId,
        revision: u64,
        within: Duration,
    ) -> Convergence;
}

/// A DNS record of the platform: a hostname that leads to a kind of listener.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The name.
    pub hostname: Hostname,
    /// Whose it is: a record of another instance is never touched.
    pub instance: InstanceId,
    /// Which listeners it leads to.
    pub exposure: Exposure,
}

/// Why a call to the cloud failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CloudError {
    /// Worth trying again.
    #[error("{0}")]
    Transient(String),
    /// Trying again will not help.
    #[error("{0}")]
    Permanent(String),
    /// It was taken in and is under way at the other end: nothing to do but to look again.
    #[error("{0}")]
    Pending(String),
    /// A person must do something first: what, in words that they can follow.
    #[error("{0}")]
    Person(String),
}

/// The outside world that steps change. Every call may be repeated; `token` is the same for every
/// repetition of one effect, and different otherwise. A call that takes longer than
/// [`Config::stuck`](crate::Config) is abandoned and repeated, so implementations bring timeouts
/// of their own, well below it. Errors are read by tenants: no secrets, no addresses.
#[async_trait]
pub trait Cloud: Send + Sync {
    /// Makes the record be as given.
    async fn upsert_record(&self, token: &str, record: &Record) -> Result<(), CloudError>;

    /// Makes the record of this hostname and instance be gone.
    async fn delete_record(
        &self,
        token: &str,
        hostname: &Hostname,
        instance: &InstanceId,
    ) -> Result<(), CloudError>;

    /// The record of a hostname.
    async fn record(&self, hostname: &Hostname) -> Result<Option<Record>, CloudError>;
}
