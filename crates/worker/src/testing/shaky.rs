//! Ports through which a worker sees the world in a simulation: every call is a boundary at which
//! it may stall, die, fail or happen twice, as the seed will have it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;
use model::{Hostname, Instance, InstanceId, Millis, Operation, OperationId, Spec};
use store::{
    Accept, Accepted, Changes, Cursor, Filter, HostnameOwner, Page, Save, Store, StoreError,
};

use super::memory::Memory;
use super::world::{TestCloud, TestFleet, lock};
use crate::{Cloud, CloudError, Convergence, Fleet, Record};

/// Numbers from a seed (splitmix64).
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Evenly below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }

    /// In so many cases of a hundred.
    pub(crate) fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// What one worker sees.
#[derive(Clone)]
pub(crate) struct Shaky {
    pub(crate) store: Arc<Memory>,
    pub(crate) cloud: Arc<TestCloud>,
    pub(crate) fleet: Arc<TestFleet>,
    pub(crate) dice: Arc<Mutex<Dice>>,
    /// Off when the simulation is brought to its end.
    pub(crate) faults: Arc<AtomicBool>,
    /// The worker stalled for longer than its lease. Its watch drops it before it acts on the world
    /// again; a write that was under way may still arrive at the store.
    pub(crate) expired: Arc<AtomicBool>,
    /// Set when it dies.
    pub(crate) dead: Arc<AtomicBool>,
}

impl Shaky {
    fn percent(&self, percent: u64) -> bool {
        self.faults.load(Ordering::Relaxed) && lock(&self.dice).percent(percent)
    }

    async fn die(&self) {
        self.dead.store(true, Ordering::Relaxed);
        std::future::pending().await
    }

    /// Lets others go first; dies here now and then.
    async fn boundary(&self) {
        let mut first = true;
        std::future::poll_fn(|context| {
            context.waker().wake_by_ref();
            if std::mem::take(&mut first) { Poll::Pending } else { Poll::Ready(()) }
        })
        .await;
        if self.percent(2) {
            self.die().await;
        }
    }

    async fn reads(&self) -> Result<(), StoreError> {
        self.boundary().await;
        let fails = self.percent(2);
        if fails { Err(StoreError::Unavailable("it is full".into())) } else { Ok(()) }
    }

    /// Makes a call to the cloud: not at all, once or twice, and with either answer.
    async fn acts<F>(&self, call: impl Fn() -> F) -> Result<(), CloudError>
    where
        F: Future<Output = Result<(), CloudError>>,
    {
        self.boundary().await;
        if self.expired.load(Ordering::Relaxed) {
            self.die().await;
        }
        let transient = || Err(CloudError::Transient("the line is bad".into()));
        if self.percent(5) {
            return transient();
        }
        if self.percent(2) {
            return Err(CloudError::Permanent("no more records".into()));
        }
        let answer = call().await;
        if self.percent(5) {
            call().await?;
        }
        self.boundary().await;
        if self.percent(5) { transient() } else { answer }
    }
}

#[async_trait]
impl Cloud for Shaky {
    async fn upsert_record(&self, token: &str, record: &Record) -> Result<(), CloudError> {
        self.acts(|| self.cloud.upsert_record(token, record)).await
    }

    async fn delete_record(
        &self,
        token: &str,
        hostname: &Hostname,
        instance: &InstanceId,
    ) -> Result<(), CloudError> {
        self.acts(|| self.cloud.delete_record(token, hostname, instance)).await
    }

    async fn record(&self, hostname: &Hostname) -> Result<Option<Record>, CloudError> {
        self.boundary().await;
        self.cloud.record(hostname).await
    }
}

#[async_trait]
impl Fleet for Shaky {
    async fn check(&self, _instance: &InstanceId, _spec: &Spec) -> Result<(), String> {
        self.boundary().await;
        if self.percent(10) { Err("the template says no".into()) } else { Ok(()) }
    }

    async fn converged(&self, id: &InstanceId, revision: u64, within: Duration) -> Convergence {
        self.boundary().await;
        let why = "proxy a is silent".to_owned();
        let told = if self.percent(10) {
            Convergence::Rejected { reason: "a proxy refused it".into() }
        } else if self.percent(30) {
            Convergence::Behind { have: 1, ready: 2, why }
        } else if self.faults.load(Ordering::Relaxed)
            && self.store.state().published.get(id).is_none_or(|p| p.revision != revision)
        {
            // Only a worker that was overtaken asks for what is no longer published.
            Convergence::Behind { have: 0, ready: 2, why }
        } else {
            self.fleet.converged(id, revision, within).await
        };
        self.boundary().await;
        told
    }
}

#[async_trait]
impl Store for Shaky {
    async fn operation(&self, id: &OperationId) -> Result<Option<Operation>, StoreError> {
        self.reads().await?;
        self.store.operation(id).await
    }

    async fn operations(
        &self,
        instance: &InstanceId,
        limit: usize,
    ) -> Result<Vec<Operation>, StoreError> {
        self.reads().await?;
        self.store.operations(instance, limit).await
    }

    async fn claims(&self, instance: &InstanceId) -> Result<Vec<HostnameOwner>, StoreError> {
        self.reads().await?;
        self.store.claims(instance).await
    }

    async fn save(&self, save: Save) -> Result<Option<u64>, StoreError> {
        self.reads().await?;
        let saved = self.store.save(save).await;
        self.boundary().await;
        saved
    }

    // What follows is the broker's and the control plane's; no worker calls it.

    async fn epoch(&self) -> Result<u64, StoreError> {
        unreachable!("a worker has no need of it")
    }

    async fn accept(&self, _: Accept, _: Option<Millis>) -> Result<Accepted, StoreError> {
        unreachable!("a worker has no need of it")
    }

    async fn instance(&self, _: &InstanceId) -> Result<Option<Instance>, StoreError> {
        unreachable!("a worker has no need of it")
    }

    async fn instances(&self, _: Filter) -> Result<Page<Instance>, StoreError> {
        unreachable!("a worker has no need of it")
    }

    async fn hostname(&self, _: &Hostname) -> Result<Option<HostnameOwner>, StoreError> {
        unreachable!("a worker has no need of it")
    }

    async fn changes(&self, _: Option<Cursor>, _: usize) -> Result<Changes, StoreError> {
        unreachable!("a worker has no need of it")
    }

    async fn changed(&self, _: &Cursor, _: Duration) {
        unreachable!("a worker has no need of it")
    }

    async fn forget(&self, _: Millis) -> Result<usize, StoreError> {
        unreachable!("a worker has no need of it")
    }
}
