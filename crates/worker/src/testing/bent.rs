//! A step that goes wrong in a given way, so that laws can be asked of every step there is.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use model::{Operation, WaitsFor};

use super::world::{World, plain};
use crate::carry::Pipelines;
use crate::{Holdings, Outcome, Pipeline, Step, Work};

/// Looks at what waits: at a minute each more than the deadline, and than attempts.
const LOOKS: u32 = 20;

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It happens twice.
    Twice,
    /// It fails once, before or after it has happened.
    Fails(When),
    /// The worker dies once, before it happens or between it and its record.
    Crashes(When),
    /// The worker stalls, another takes the operation and ends it; then it happens, or its record
    /// is written.
    Overtaken(When),
    /// It panics once. (Without the hook: thousands of backtraces take their time.)
    Panics,
    /// It cannot happen, or has happened and says that it cannot.
    Refuses(When),
    /// It panics each time, having happened.
    AlwaysPanics,
    /// It fails each time, having happened.
    AlwaysFails,
    /// The worker dies each time, it having happened.
    AlwaysCrashes,
    /// It waits for so many looks, longer than the whole operation may take.
    Waits(WaitsFor),
    /// It fails once, and that takes longer than the whole operation may.
    TakesTooLong,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    Before,
    After,
}

use When::{After, Before};

/// After these an operation ends as if nothing had been.
pub(crate) const PASSING: [Fault; 9] = [
    Fault::Twice,
    Fault::Fails(Before),
    Fault::Fails(After),
    Fault::Crashes(Before),
    Fault::Crashes(After),
    Fault::Overtaken(Before),
    Fault::Overtaken(After),
    Fault::Panics,
    Fault::TakesTooLong,
];

/// After these it fails.
pub(crate) const LASTING: [Fault; 5] = [
    Fault::AlwaysPanics,
    Fault::Refuses(Before),
    Fault::Refuses(After),
    Fault::AlwaysFails,
    Fault::AlwaysCrashes,
];

/// Where it goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Apply,
    Undo,
}

/// Faults by place and side; the pipelines of one operation, bent in these places.
pub(crate) fn bent(world: &Arc<World>, faults: &[(usize, Side, Fault)]) -> Box<Pipelines> {
    let world = world.clone();
    let faults: Vec<_> =
        faults.iter().map(|&(at, side, fault)| (at, side, fault, Arc::default())).collect();
    Box::new(move |operation: &Operation, held: Holdings, limits| {
        let mut pipeline = Pipeline::of(operation.kind, held, limits);
        for (at, side, fault, count) in &faults {
            let (before, commit) = (pipeline.before.len(), pipeline.commit.clone());
            let inner = pipeline.step(*at).clone();
            let (side, fault, count) = (*side, *fault, Arc::clone(count));
            let step = Arc::new(Bent { inner, side, fault, count, world: world.clone() });
            match at.checked_sub(before) {
                None => pipeline.before[*at] = step,
                Some(0) => pipeline.commit = step,
                Some(beyond) => pipeline.after[beyond - 1] = step,
            }
            drop(commit);
        }
        pipeline
    })
}

struct Bent {
    inner: Arc<dyn Step>,
    side: Side,
    fault: Fault,
    /// How often it was begun.
    count: Arc<AtomicU32>,
    world: Arc<World>,
}

#[async_trait]
impl Step for Bent {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn says(&self, operation: &Operation) -> String {
        self.inner.says(operation)
    }

    fn acts(&self, operation: &Operation, held: &Holdings) -> bool {
        self.inner.acts(operation, held)
    }

    fn is_skippable(&self) -> bool {
        self.inner.is_skippable()
    }

    fn leaves(&self, operation: &Operation, held: &Holdings) -> Vec<String> {
        self.inner.leaves(operation, held)
    }

    async fn apply(&self, work: &Work<'_>) -> Outcome {
        if self.side == Side::Apply { self.bend(work).await } else { self.inner.apply(work).await }
    }

    async fn undo(&self, work: &Work<'_>) -> Outcome {
        if self.side == Side::Undo { self.bend(work).await } else { self.inner.undo(work).await }
    }
}

impl Bent {
    async fn happen(&self, work: &Work<'_>) -> Outcome {
        match self.side {
            Side::Apply => self.inner.apply(work).await,
            Side::Undo => self.inner.undo(work).await,
        }
    }

    async fn bend(&self, work: &Work<'_>) -> Outcome {
        let first = self.count.fetch_add(1, Ordering::Relaxed) == 0;
        let why = || "as the test said".to_owned();
        match self.fault {
            Fault::AlwaysFails => {
                self.happen(work).await;
                Outcome::Retry { why: why() }
            }
            Fault::AlwaysPanics => {
                self.happen(work).await;
                std::panic::resume_unwind(Box::new(why()))
            }
            Fault::AlwaysCrashes => {
                self.happen(work).await;
                std::future::pending().await
            }
            Fault::Refuses(when) => {
                if when == After {
                    self.happen(work).await;
                }
                Outcome::Refused { why: why() }
            }
            Fault::Waits(on) if self.count.load(Ordering::Relaxed) <= LOOKS => {
                self.world.pass(60 * 1000);
                Outcome::Wait { on, note: why() }
            }
            _ if !first => self.happen(work).await,
            _ => self.bend_once(work, why()).await,
        }
    }

    async fn bend_once(&self, work: &Work<'_>, why: String) -> Outcome {
        if matches!(self.fault, Fault::Twice | Fault::Fails(After) | Fault::Crashes(After)) {
            self.happen(work).await;
        }
        match self.fault {
            Fault::Fails(_) => Outcome::Retry { why },
            Fault::Crashes(_) => std::future::pending().await,
            Fault::Panics => std::panic::resume_unwind(Box::new(why)),
            Fault::TakesTooLong => {
                let deadline = work.limits.deadline(work.operation.kind);
                self.world.pass(crate::config::millis(deadline));
                Outcome::Retry { why }
            }
            Fault::Overtaken(Before) => {
                self.world.finish(work.operation, &plain);
                self.happen(work).await
            }
            Fault::Overtaken(After) => {
                let outcome = self.happen(work).await;
                self.world.finish(work.operation, &plain);
                outcome
            }
            _ => self.happen(work).await,
        }
    }
}

/// The pipelines as they are, with something that happens while the step at `at` is carried out.
pub(crate) fn hooked(at: usize, hook: Arc<dyn Fn() + Send + Sync>) -> Box<Pipelines> {
    Box::new(move |operation: &Operation, held: Holdings, limits| {
        let mut pipeline = Pipeline::of(operation.kind, held, limits);
        let before = pipeline.before.len();
        let step = Arc::new(Hooked { inner: pipeline.step(at).clone(), hook: Arc::clone(&hook) });
        match at.checked_sub(before) {
            None => pipeline.before[at] = step,
            Some(0) => pipeline.commit = step,
            Some(beyond) => pipeline.after[beyond - 1] = step,
        }
        pipeline
    })
}

struct Hooked {
    inner: Arc<dyn Step>,
    hook: Arc<dyn Fn() + Send + Sync>,
}

#[async_trait]
impl Step for Hooked {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn says(&self, operation: &Operation) -> String {
        self.inner.says(operation)
    }

    fn acts(&self, operation: &Operation, held: &Holdings) -> bool {
        self.inner.acts(operation, held)
    }

    async fn apply(&self, work: &Work<'_>) -> Outcome {
        (self.hook)();
        self.inner.apply(work).await
    }
}
