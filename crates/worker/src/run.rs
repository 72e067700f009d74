//! The runner: leases jobs as they become ready, carries out many at once, and stops gently.

mod guard;
mod parked;
mod slots;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use model::Millis;
use store::{Lease, StoreError};
use tokio::task::JoinSet;
use tokio::time::Instant;

use self::parked::Parked;
use self::slots::Slots;
use crate::carry::{Pipelines, Watch};
use crate::{Config, Pipeline, Ports, metrics};

/// Between two readings of the queue's depth.
const DEPTH_EVERY: Duration = Duration::from_secs(10);
/// Between two looks for jobs of other teams, while a team has as many slots as it may have. The
/// queue tells of ready jobs, and not whose.
const LOOK_PAST: Duration = Duration::from_millis(100);

/// Carries out operations until told to stop.
pub struct Worker {
    ports: Ports,
    config: Config,
    pipelines: Arc<Pipelines>,
}

impl Worker {
    /// A worker over these ports.
    pub fn new(ports: Ports, config: Config) -> Self {
        let pipelines = Arc::new(|operation: &model::Operation, held, limits| {
            Pipeline::of(operation.kind, held, limits)
        });
        Self::bent(ports, config, pipelines)
    }

    /// A worker with pipelines of its own.
    pub(crate) fn bent(ports: Ports, config: Config, pipelines: Arc<Pipelines>) -> Self {
        Self { ports, config, pipelines }
    }

    /// Runs until `shutdown`, then lets every job finish the step that it is in, and gives the
    /// leases back. Never fails: while the store cannot be reached it waits, and loses nothing.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let began = self.now();
        let mut running = Running {
            worker: Arc::new(self),
            began,
            jobs: JoinSet::new(),
            slots: Slots::default(),
            past_at: Instant::now(),
            parked: JoinSet::new(),
            watches: Vec::new(),
            sweep_at: Instant::now(),
            depth_at: Instant::now(),
            failures: 0,
        };
        let mut shutdown = std::pin::pin!(shutdown);
        loop {
            let pause = running.turn().await;
            tokio::select! {
                biased;
                () = &mut shutdown => break,
                () = running.rest(pause) => {}
            }
        }
        running.stop().await;
    }

    fn now(&self) -> Millis {
        (self.ports.clock)()
    }
}

/// A worker that runs.
struct Running {
    worker: Arc<Worker>,
    began: Millis,
    jobs: JoinSet<Option<Parked>>,
    /// Whose they are.
    slots: Slots,
    /// Not before this time jobs are looked for past those of full teams: that walks all these.
    past_at: Instant,
    /// The watches over what waits for the fleet.
    parked: JoinSet<()>,
    watches: Vec<std::sync::Weak<Watch>>,
    sweep_at: Instant,
    depth_at: Instant,
    failures: u32,
}

impl Running {
    /// Leases what is ready, and says how long to rest at most.
    async fn turn(&mut self) -> Duration {
        match self.lease_all().await {
            Ok(()) => {
                self.failures = 0;
                if self.past_full() { LOOK_PAST } else { self.worker.config.idle }
            }
            Err(error) => {
                self.failures += 1;
                metrics::store_failed();
                tracing::warn!(%error, failures = self.failures, "the store gives no jobs");
                guard::pause(&self.worker, self.failures)
            }
        }
    }

    async fn lease_all(&mut self) -> Result<(), StoreError> {
        self.sweep().await?;
        while self.jobs.len() < self.worker.config.concurrency.max(1) {
            let now = self.worker.now();
            let full = self.full();
            if !full.is_empty() && Instant::now() < self.past_at {
                break;
            }
            let (queue, most) = (&self.worker.ports.queue, self.worker.config.lease);
            let Some(lease) = queue.lease_beside(now, most, &full).await? else {
                self.past_at = Instant::now() + LOOK_PAST;
                break;
            };
            self.spawn(lease);
        }
        metrics::running(self.jobs.len());
        Ok(())
    }

    fn free(&self) -> usize {
        self.worker.config.concurrency.max(1).saturating_sub(self.jobs.len())
    }

    /// The teams that are to have no more slots now.
    fn full(&self) -> Vec<String> {
        self.slots.full(self.free())
    }

    /// Whether there may be ready jobs that are passed over.
    fn past_full(&self) -> bool {
        self.free() > 0 && !self.full().is_empty()
    }

    fn spawn(&mut self, lease: Lease) {
        let watch = Arc::new(Watch { began: self.began, ..Watch::default() });
        let worker = self.worker.clone();
        self.watches.retain(|watch| watch.strong_count() > 0);
        self.watches.push(Arc::downgrade(&watch));
        let slot = self.slots.take(&lease.team);
        self.jobs.spawn(async move {
            let parked = guard::guard(&worker, lease, &watch).await;
            drop(slot);
            parked
        });
    }

    /// Finds operations without a job, and how many jobs there are, now and then.
    async fn sweep(&mut self) -> Result<(), StoreError> {
        let (now, queue) = (self.worker.now(), &self.worker.ports.queue);
        if self.sweep_at <= Instant::now() {
            let found = queue.sweep(now).await?;
            if found > 0 {
                metrics::swept(found);
                tracing::warn!(found, "operations in progress had no job");
            }
            self.sweep_at = Instant::now() + self.worker.config.sweep;
        }
        if self.depth_at <= Instant::now() {
            let (depth, age) = queue.depth(now).await?;
            metrics::queue(depth, age);
            self.depth_at = Instant::now() + DEPTH_EVERY;
        }
        Ok(())
    }

    /// Rests until a job is ready, one has ended, or the pause is over.
    async fn rest(&mut self, pause: Duration) {
        let is_deaf = self.free() == 0 || self.past_full();
        let queue = self.worker.ports.queue.clone();
        let ready = async {
            match (is_deaf, self.failures) {
                (false, 0) => queue.ready(pause).await,
                _ => tokio::time::sleep(pause).await,
            }
        };
        tokio::select! {
            () = ready => {}
            Some(ended) = self.jobs.join_next() => self.ended(ended),
            Some(_) = self.parked.join_next() => {}
        }
        while self.parked.try_join_next().is_some() {}
        metrics::watched(self.parked.len());
    }

    fn ended(&mut self, ended: Result<Option<Parked>, tokio::task::JoinError>) {
        match ended {
            Ok(Some(parked)) if self.parked.len() < self.worker.config.watched => {
                let worker = self.worker.clone();
                self.parked.spawn(async move { parked.watch(&worker).await });
            }
            Ok(_) => {}
            Err(error) => tracing::error!(%error, "a job broke off; its lease will run out"),
        }
        metrics::running(self.jobs.len());
    }

    async fn stop(mut self) {
        for watch in self.watches.iter().filter_map(std::sync::Weak::upgrade) {
            watch.drain.store(true, Ordering::Relaxed);
        }
        let all = async { while self.jobs.join_next().await.is_some() {} };
        if tokio::time::timeout(self.worker.config.grace, all).await.is_err() {
            tracing::warn!(
                "some steps did not end in time; they are resumed when their lease ends"
            );
        }
        metrics::running(0);
    }
}
