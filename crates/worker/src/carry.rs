//! Carries out one leased job: does what the engine says, and tells it what happened.
//!
//! Holds nothing that the store does not: whoever drops this at any await loses no more than the
//! step that was running, and the next lease takes it up from its record.

use std::panic::AssertUnwindSafe;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use futures::FutureExt;
use model::{InstanceId, Millis, Operation, OperationState, StepRecord, Waits, WaitsFor};
use store::{Lease, Save, StoreError, Write};
use tracing::Instrument;

use crate::engine::{Effect, Event, advance};
use crate::{Holdings, Limits, Outcome, Pipeline, Ports, Work, metrics};

/// What the one who watches over a job sees of it, and may ask of it.
#[derive(Default)]
pub(crate) struct Watch {
    /// Set to stop after the step that runs now.
    pub(crate) drain: AtomicBool,
    /// When anything last came about.
    pub(crate) moved_at: AtomicI64,
    /// When the worker began to run.
    pub(crate) began: Millis,
    /// What the operation waits for as it is left, where the fleet can tell.
    pub(crate) awaits: OnceLock<Awaited>,
}

/// A revision that the fleet is to follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Awaited {
    pub(crate) instance: InstanceId,
    pub(crate) revision: u64,
}

/// How a job was left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Left {
    /// The operation has ended, and its job with it.
    Ended(OperationState),
    /// It waits, and the lease should be given back until then.
    Until(Millis),
}

/// Where pipelines come from: [`Pipeline::of`], but for tests that bend its steps.
pub(crate) type Pipelines = dyn Fn(&Operation, Holdings, Limits) -> Pipeline + Send + Sync;

/// Leases of one job of which nothing came, after which it is not carried out any more: it has
/// broken as many workers. That a worker dies for another reason this often in a row, each time
/// before its first save, does not happen.
pub(crate) const TRIES_MAX: u32 = 10;

/// What is said of an operation that broke every worker that took it.
pub(crate) const POISON: &str =
    "every worker that took this operation broke; the log of the platform tells how";

/// Whether a job has broken as many workers as it may.
pub(crate) fn is_poison(lease: &Lease) -> bool {
    lease.tries > TRIES_MAX
}

/// Carries out a leased job until it ends, must wait, or cannot be saved.
pub(crate) async fn carry(
    ports: &Ports,
    limits: &Limits,
    pipelines: &Pipelines,
    lease: &Lease,
    watch: &Watch,
) -> Result<Left, StoreError> {
    let leased_at = (ports.clock)();
    let id = &lease.job.operation_id;
    let Some(operation) = ports.store.operation(id).await? else {
        return Err(StoreError::Corrupt("a job names an operation that is not there".into()));
    };
    let held = Holdings::read(ports.store.as_ref(), &operation).await?;
    let pipeline = pipelines(&operation, held, limits.clone());
    let span = tracing::info_span!(
        "operation", %id, kind = metrics::name(operation.kind), instance = %operation.instance
    );
    let writes = Vec::new();
    let carrier =
        Carrier { ports, pipeline: &pipeline, lease, watch, leased_at, operation, writes };
    carrier.run().instrument(span).await
}

struct Carrier<'a> {
    ports: &'a Ports,
    pipeline: &'a Pipeline,
    lease: &'a Lease,
    watch: &'a Watch,
    leased_at: Millis,
    operation: Operation,
    writes: Vec<Write>,
}

impl Carrier<'_> {
    async fn run(mut self) -> Result<Left, StoreError> {
        let mut event = Event::Leased { again: self.again() };
        loop {
            let now = (self.ports.clock)();
            self.watch.moved_at.store(now, Ordering::Relaxed);
            let (operation, effects) = advance(self.pipeline, self.operation.clone(), event, now);
            self.operation = operation;
            match self.follow(effects).await? {
                Next::Left(left) => return Ok(left),
                Next::Event(next) => event = next,
            }
        }
    }

    /// Whether another may have held this job: it has records, or is so old that a lease may have
    /// run out.
    fn again(&self) -> bool {
        let age = self.leased_at - self.operation.created_at;
        !self.operation.steps.is_empty() || age >= self.lease.until - self.leased_at
    }

    /// Does what the engine said; its last effect is a step, a yield or the save of the end.
    async fn follow(&mut self, effects: Vec<Effect>) -> Result<Next, StoreError> {
        for effect in effects {
            match effect {
                Effect::Write(writes) => self.writes.extend(writes),
                Effect::Save => self.save().await?,
                Effect::Yield { at } => return Ok(self.leave(at)),
                Effect::Apply(_) | Effect::Undo(_) if self.draining() => return self.drain().await,
                Effect::Apply(at) => return Ok(self.step(at, false).await),
                Effect::Undo(at) => return Ok(self.step(at, true).await),
            }
        }
        Ok(Next::Left(Left::Ended(self.operation.state)))
    }

    async fn save(&mut self) -> Result<(), StoreError> {
        let save = Save {
            fence: self.lease.fence.clone(),
            operation: self.operation.clone(),
            writes: std::mem::take(&mut self.writes),
            now: (self.ports.clock)(),
        };
        if let Some(revision) = self.ports.store.save(save).await? {
            self.operation.revision = Some(revision);
        }
        metrics::commit();
        if self.operation.state != OperationState::InProgress {
            self.report_end();
        }
        Ok(())
    }

    fn report_end(&self) {
        let Operation { kind, state, error, created_at, finished_at, .. } = &self.operation;
        let took = finished_at.map_or(0, |at| at - created_at);
        metrics::ended(*kind, *state, took);
        match error {
            None => tracing::info!(took_ms = took, "operation succeeded"),
            Some(error) => tracing::warn!(took_ms = took, error, "operation failed"),
        }
    }

    fn leave(&self, at: Millis) -> Next {
        let waits = self.operation.steps.iter().find_map(StepRecord::waits_now);
        if let Some(Waits { on, .. }) = waits {
            metrics::waits(on);
            let fleet = self.operation.revision.filter(|_| on == WaitsFor::Fleet);
            let instance = self.operation.instance.clone();
            let awaited = fleet.map(|revision| Awaited { instance, revision });
            awaited.map(|awaited| self.watch.awaits.set(awaited));
        }
        Next::Left(Left::Until(at))
    }

    fn draining(&self) -> bool {
        self.watch.drain.load(Ordering::Relaxed)
    }

    /// Keeps what has been done, and leaves the rest to the next lease.
    async fn drain(&mut self) -> Result<Next, StoreError> {
        self.save().await?;
        Ok(Next::Left(Left::Until((self.ports.clock)())))
    }

    async fn step(&self, at: usize, undo: bool) -> Next {
        let step = self.pipeline.step(at);
        let work = Work {
            operation: &self.operation,
            held: &self.pipeline.held,
            ports: self.ports,
            limits: &self.pipeline.limits,
            began: self.watch.began,
        };
        let span = tracing::info_span!("step", name = step.name(), undo);
        let begun = (self.ports.clock)();
        let attempt = async {
            let running =
                async { if undo { step.undo(&work).await } else { step.apply(&work).await } };
            let outcome = AssertUnwindSafe(running).catch_unwind().await;
            let outcome = outcome.unwrap_or_else(|_| panicked());
            report(step.name(), &outcome);
            outcome
        };
        let outcome = attempt.instrument(span).await;
        metrics::step(step.name(), (self.ports.clock)() - begun);
        Next::Event(Event::Reported { outcome, jitter: (self.ports.jitter)() })
    }
}

enum Next {
    Event(Event),
    Left(Left),
}

/// The panic's own words are for the log, where the panic hook has written them.
fn panicked() -> Outcome {
    metrics::panic();
    tracing::error!("a step panicked");
    Outcome::Retry { why: "an internal error interrupted this step".into() }
}

fn report(step: &'static str, outcome: &Outcome) {
    match outcome {
        Outcome::Done(_) => tracing::debug!("done"),
        Outcome::Wait { on, note } => tracing::debug!(?on, note, "not yet"),
        Outcome::Late { why } => tracing::warn!(why, "too late"),
        Outcome::Retry { why } => {
            metrics::retry(step);
            tracing::warn!(why, "failed, will be tried again");
        }
        Outcome::Refused { why } => tracing::warn!(why, "refused"),
    }
}
