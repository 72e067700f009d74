//! The world as one worker or one client sees it: every call is a boundary at which it may stall,
//! die, fail, happen twice or be lied about, as the seed will have it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;
use model::{Hostname, Instance, InstanceId, Millis, Operation, OperationId, OperationState, Spec};
use store::{
    Accept, Accepted, Changes, Cursor, Fence, Filter, HostnameOwner, Page, Save, Store, StoreError,
};

use super::super::world::lock;
use super::bugs::{self, Bug};
use super::cloud::{Call, Change};
use super::scene::{Poison, Scene};
use super::teams;
use crate::{Cloud, CloudError, Convergence, Fleet, Ports, Record};

#[derive(Clone)]
pub(crate) struct Eyes {
    pub(crate) scene: Arc<Scene>,
    /// Of a worker: the lease under which it works.
    pub(crate) fence: Option<Fence>,
    /// The worker stalled for longer than its lease. Its watch drops it before it acts on the world
    /// again; a write that was under way may still arrive at the store.
    pub(crate) expired: Arc<AtomicBool>,
    /// Set when it dies.
    pub(crate) dead: Arc<AtomicBool>,
}

impl Eyes {
    pub(crate) fn new(scene: &Arc<Scene>, fence: Option<Fence>) -> Self {
        let (expired, dead) = Default::default();
        Self { scene: scene.clone(), fence, expired, dead }
    }

    pub(crate) fn ports(&self) -> Ports {
        let scene = self.scene.clone();
        let eyes = Arc::new(self.clone());
        Ports {
            store: eyes.clone(),
            queue: Arc::new(self.scene.store.sqlite()),
            cloud: eyes.clone(),
            fleet: eyes,
            clock: self.scene.clock(),
            jitter: Arc::new(move || scene.below(100) as f64 / 100.0),
        }
    }

    /// Dies of the operation at hand, if that is what it does to workers.
    async fn poison(&self, when: Poison) {
        if self.fence.as_ref().is_some_and(|fence| self.scene.breaks(&fence.operation, when)) {
            self.scene.tell(|| format!("{} is broken by it", self.who()));
            self.die().await;
        }
    }

    async fn die(&self) {
        self.dead.store(true, Ordering::Relaxed);
        std::future::pending().await
    }

    /// Lets others go first; dies here now and then.
    pub(crate) async fn boundary(&self) {
        let mut first = true;
        std::future::poll_fn(|context| {
            context.waker().wake_by_ref();
            if std::mem::take(&mut first) { Poll::Pending } else { Poll::Ready(()) }
        })
        .await;
        if self.scene.strikes(self.scene.weather.dies) {
            self.scene.tell(|| format!("{} dies", self.who()));
            self.die().await;
        }
    }

    fn who(&self) -> String {
        self.fence.as_ref().map_or_else(
            || "a client".to_owned(),
            |fence| format!("worker {} of {}", fence.number, fence.operation),
        )
    }

    async fn reads(&self) -> Result<(), StoreError> {
        self.boundary().await;
        if self.scene.strikes(self.scene.weather.store_fails) {
            self.scene.tell(|| format!("the store fails {}", self.who()));
            return Err(unavailable());
        }
        Ok(())
    }

    fn loses_the_answer(&self) -> bool {
        let lost = self.scene.strikes(self.scene.weather.answers_lost);
        if lost {
            self.scene.tell(|| format!("the answer to {} is lost", self.who()));
        }
        lost
    }

    /// The write as the bug, if there is one, would have it.
    fn bent(&self, mut save: Save) -> Save {
        if self.scene.has(Bug::NoFence) {
            let watched = lock(&self.scene.store.watched);
            let holder = watched.holders.get(&save.operation.instance);
            let same = holder.filter(|holder| holder.fence.operation == save.operation.id);
            save.fence = same.map_or(save.fence, |holder| holder.fence.clone());
        }
        if self.scene.has(Bug::SkipUnrecorded) {
            save.operation.leftovers.clear();
        }
        save
    }

    /// Whether the write says no more than that a step begins.
    fn is_forgotten(&self, save: &Save) -> bool {
        self.scene.has(Bug::NoPersist)
            && save.writes.is_empty()
            && save.operation.error.is_none()
            && save.operation.state == OperationState::InProgress
            && save.operation.steps.iter().all(|step| step.next_at.is_none())
    }

    /// Makes a call to the cloud: not at all, once or twice, and with any answer.
    async fn acts(&self, token: &str, change: Change) -> Result<(), CloudError> {
        let Self { scene, .. } = self;
        let weather = &scene.weather;
        self.boundary().await;
        self.poison(Poison::AtWork).await;
        if self.expired.load(Ordering::Relaxed) && !scene.has(Bug::IgnoresExpiry) {
            scene.tell(|| format!("{} is dropped: its lease has run out", self.who()));
            self.die().await;
        }
        if scene.strikes(weather.cloud_fails) {
            if scene.strikes(weather.cloud_repeats) {
                scene.cloud.lose(token, self.form(token, change));
            }
            return Err(CloudError::Transient("the line is bad".into()));
        }
        if scene.strikes(weather.cloud_refuses) {
            return Err(CloudError::Permanent("no more records".into()));
        }
        let answer = self.call(token, change);
        self.boundary().await;
        if scene.strikes(weather.cloud_lies) {
            scene.tell(|| format!("{} is told that this failed", self.who()));
            return Err(CloudError::Transient("no answer".into()));
        }
        if answer.is_ok() && scene.strikes(weather.cloud_pends) {
            return Err(CloudError::Pending("it is under way".into()));
        }
        answer
    }

    fn form(&self, token: &str, change: Change) -> Call {
        let fence = self.fence.as_ref().expect("only workers call the cloud");
        let mut token = token.to_owned();
        if self.scene.has(Bug::NoToken) {
            token = format!("{token}#{}", self.scene.number());
        }
        Call { operation: fence.operation.clone(), token, change }
    }

    fn call(&self, token: &str, change: Change) -> Result<(), CloudError> {
        let (scene, call) = (&self.scene, self.form(token, change));
        let changed = scene.cloud.call(&call);
        scene.cloud.find(token);
        scene.tell(|| format!("{} calls: {:?} → {changed:?}", self.who(), call.change));
        let overtaken = |fence| lock(&scene.store.watched).is_overtaken(fence);
        if changed == Ok(true) && self.fence.as_ref().is_some_and(overtaken) {
            scene.cloud.wrong(format!("{}, fenced out, has changed the world", self.who()));
        }
        if scene.strikes(scene.weather.cloud_repeats) {
            lock(&scene.cloud.late).push(call);
        }
        changed.map(drop)
    }
}

fn unavailable() -> StoreError {
    StoreError::Unavailable("it is full".into())
}

#[async_trait]
impl Cloud for Eyes {
    async fn upsert_record(&self, token: &str, record: &Record) -> Result<(), CloudError> {
        self.acts(token, Change::Upsert(record.clone())).await
    }

    async fn delete_record(
        &self,
        token: &str,
        hostname: &Hostname,
        instance: &InstanceId,
    ) -> Result<(), CloudError> {
        self.acts(token, Change::Delete(hostname.clone(), instance.clone())).await
    }

    async fn record(&self, hostname: &Hostname) -> Result<Option<Record>, CloudError> {
        self.boundary().await;
        Ok(lock(&self.scene.cloud.records).get(hostname).cloned())
    }
}

#[async_trait]
impl Fleet for Eyes {
    async fn check(&self, _instance: &InstanceId, _spec: &Spec) -> Result<(), String> {
        self.boundary().await;
        let refuses = self.scene.strikes(self.scene.weather.plane_refuses);
        if refuses { Err("the template says no".into()) } else { Ok(()) }
    }

    async fn converged(&self, id: &InstanceId, revision: u64, _within: Duration) -> Convergence {
        self.boundary().await;
        self.scene.plane.converged(id, revision)
    }
}

#[async_trait]
impl Store for Eyes {
    async fn accept(
        &self,
        accept: Accept,
        expected: Option<Millis>,
    ) -> Result<Accepted, StoreError> {
        self.reads().await?;
        let accepted = self.scene.store.accept(accept, expected).await;
        if self.loses_the_answer() { Err(unavailable()) } else { accepted }
    }

    async fn instance(&self, id: &InstanceId) -> Result<Option<Instance>, StoreError> {
        self.reads().await?;
        self.scene.store.instance(id).await
    }

    async fn operation(&self, id: &OperationId) -> Result<Option<Operation>, StoreError> {
        self.reads().await?;
        self.poison(Poison::AtOnce).await;
        let found = self.scene.store.operation(id).await?;
        Ok(found.map(|operation| bugs::read(self.scene.bug, operation)))
    }

    async fn operations(
        &self,
        instance: &InstanceId,
        limit: usize,
    ) -> Result<Vec<Operation>, StoreError> {
        self.reads().await?;
        self.scene.store.operations(instance, limit).await
    }

    async fn claims(&self, instance: &InstanceId) -> Result<Vec<HostnameOwner>, StoreError> {
        self.reads().await?;
        self.scene.store.claims(instance).await
    }

    async fn save(&self, save: Save) -> Result<Option<u64>, StoreError> {
        self.reads().await?;
        let save = self.bent(save);
        if self.is_forgotten(&save) {
            return Ok(None);
        }
        self.scene.tell(|| format!("{} saves {}", self.who(), in_short(&save)));
        let mut saved = self.scene.store.save(save.clone()).await;
        if self.scene.has(Bug::KeepsNoName) {
            teams::free(&self.scene);
        }
        self.boundary().await;
        if self.loses_the_answer() {
            if !self.scene.has(Bug::BlindRetry) {
                return Err(unavailable());
            }
            saved = self.scene.store.save(save).await;
        }
        saved
    }

    // What follows is the control plane's and the operators'; neither workers nor clients call it.

    async fn epoch(&self) -> Result<u64, StoreError> {
        unreachable!("nobody here has need of it")
    }

    async fn instances(&self, _: Filter) -> Result<Page<Instance>, StoreError> {
        unreachable!("nobody here has need of it")
    }

    async fn hostname(&self, _: &Hostname) -> Result<Option<HostnameOwner>, StoreError> {
        unreachable!("nobody here has need of it")
    }

    async fn changes(&self, _: Option<Cursor>, _: usize) -> Result<Changes, StoreError> {
        unreachable!("nobody here has need of it")
    }

    async fn changed(&self, _: &Cursor, _: Duration) {
        unreachable!("nobody here has need of it")
    }

    async fn forget(&self, _: Millis) -> Result<usize, StoreError> {
        unreachable!("nobody here has need of it")
    }
}

/// A write, for the history.
fn in_short(save: &Save) -> String {
    let steps: Vec<_> = save.operation.steps.iter().map(|s| format!("{:?}", s.state)).collect();
    let (state, error) = (save.operation.state, &save.operation.error);
    format!("{state:?} {steps:?} {error:?} with {:?}", kinds(save))
}

fn kinds(save: &Save) -> Vec<String> {
    let word = |write| {
        let text = format!("{write:?}");
        text.split(['(', ' ']).next().unwrap_or_default().to_owned()
    };
    save.writes.iter().map(word).collect()
}
