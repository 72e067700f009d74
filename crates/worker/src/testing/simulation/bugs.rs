//! Mistakes that an engine, a worker or a store could make. Each is planted in turn, and must be
//! found by the seeds that every run of the tests takes; one that is not shows that the simulation
//! is too weak.

use std::sync::Arc;

use async_trait::async_trait;
use model::{Operation, StepRecord, StepState};

use crate::{Budget, Holdings, Limits, Outcome, Pipeline, Step, Work};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bug {
    /// Whoever writes is believed to hold the lease.
    NoFence,
    /// The queue gives away jobs that somebody holds.
    LeasedTwice,
    /// A step acts on the world before it is saved as begun.
    NoPersist,
    /// A write whose answer was lost is made again, without looking.
    BlindRetry,
    /// Each repetition of a call to the cloud has a token of its own.
    NoToken,
    /// A worker does not notice that its lease has run out.
    IgnoresExpiry,
    /// The successor of a cancelled operation begins before the holder has brought its step to an
    /// end.
    DoesNotWait,
    /// Operations without a job are not looked for.
    NoSweep,
    /// The DNS records of an operation that failed stay.
    ForgottenUndo,
    /// Names are given back before their records are gone.
    UndoOutOfOrder,
    /// What is served has no records yet.
    PublishedFirst,
    /// Success is told without asking the proxies.
    NotAwaited,
    /// Names and records that an instance had before are taken for those of the operation.
    ForgetsThePast,
    /// An update never takes old records away.
    NeverTidies,
    /// What an operator has tried again begins with its first step.
    RetriesFromTheFirst,
    /// What an operator has cancelled goes on.
    CancelIgnored,
    /// What an operator has passed over is not told.
    SkipUnrecorded,
    /// An operator passes over what nobody has seen to.
    PassedOverBlindly,
    /// What an operator says is told twice by the audit log.
    SaidTwice,
    /// A forced deprovision stops at what fails, like any other.
    ForceStops,
    /// A forced deprovision keeps its names.
    ForceKeepsNames,
    /// What breaks each worker is never given up.
    NeverBuries,
    /// A name that was served and let go is anybody's at once.
    KeepsNoName,
}

impl Bug {
    pub(crate) const ALL: [Self; 23] = [
        Self::NoFence,
        Self::LeasedTwice,
        Self::NoPersist,
        Self::BlindRetry,
        Self::NoToken,
        Self::IgnoresExpiry,
        Self::DoesNotWait,
        Self::NoSweep,
        Self::ForgottenUndo,
        Self::UndoOutOfOrder,
        Self::PublishedFirst,
        Self::NotAwaited,
        Self::ForgetsThePast,
        Self::NeverTidies,
        Self::RetriesFromTheFirst,
        Self::CancelIgnored,
        Self::SkipUnrecorded,
        Self::PassedOverBlindly,
        Self::SaidTwice,
        Self::ForceStops,
        Self::ForceKeepsNames,
        Self::NeverBuries,
        Self::KeepsNoName,
    ];
}

/// The operation as a worker reads it.
pub(crate) fn read(bug: Option<Bug>, mut operation: Operation) -> Operation {
    match bug {
        Some(Bug::RetriesFromTheFirst) => {
            let tried_again = |step: &StepRecord| {
                step.attempts == 0 && step.state == StepState::Running && step.started_at.is_some()
            };
            if operation.steps.iter().any(tried_again) {
                operation.steps.clear();
            }
        }
        Some(Bug::CancelIgnored) => {
            operation.error.take_if(|error| error.starts_with("cancelled by"));
        }
        Some(Bug::ForceStops) => operation.force = false,
        _ => {}
    }
    operation
}

/// The pipelines as they are, but for the bug.
pub(crate) fn pipeline(
    bug: Option<Bug>,
    operation: &Operation,
    held: Holdings,
    limits: Limits,
) -> Pipeline {
    let forgets = bug == Some(Bug::ForgetsThePast);
    let held = if forgets { Holdings { settled: true, ..Holdings::default() } } else { held };
    let mut pipeline = Pipeline::of(operation.kind, held, limits);
    match bug {
        Some(Bug::ForgottenUndo) => {
            bend(&mut pipeline.before, "dns-records", Bend::NoUndo);
        }
        Some(Bug::UndoOutOfOrder) if pipeline.before.len() == 2 => {
            let both = [pipeline.before[0].clone(), pipeline.before[1].clone()];
            for (at, other) in [(0, 1), (1, 0)] {
                let (does, undoes) = (both[at].clone(), both[other].clone());
                pipeline.before[at] = Arc::new(Bent(does, Bend::Undoes(undoes)));
            }
        }
        Some(Bug::PublishedFirst) if pipeline.before.len() == 2 => {
            let records = pipeline.before.remove(1);
            pipeline.after.insert(0, records);
        }
        Some(Bug::ForceKeepsNames) if operation.force => {
            bend(&mut pipeline.after, "release-hostnames", Bend::Nothing);
        }
        Some(Bug::NotAwaited) => bend(&mut pipeline.after, "converge", Bend::Nothing),
        Some(Bug::NeverTidies) => bend(&mut pipeline.after, "old-records", Bend::Nothing),
        _ => {}
    }
    pipeline
}

fn bend(steps: &mut [Arc<dyn Step>], name: &str, bend: Bend) {
    for step in steps.iter_mut().filter(|step| step.name() == name) {
        *step = Arc::new(Bent(step.clone(), bend.clone()));
    }
}

#[derive(Clone)]
enum Bend {
    Nothing,
    NoUndo,
    Undoes(Arc<dyn Step>),
}

struct Bent(Arc<dyn Step>, Bend);

#[async_trait]
impl Step for Bent {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn says(&self, operation: &Operation) -> String {
        self.0.says(operation)
    }

    fn acts(&self, operation: &Operation, held: &Holdings) -> bool {
        self.0.acts(operation, held)
    }

    fn is_skippable(&self) -> bool {
        self.0.is_skippable()
    }

    fn leaves(&self, operation: &Operation, held: &Holdings) -> Vec<String> {
        self.0.leaves(operation, held)
    }

    fn budget(&self, limits: &Limits) -> Budget {
        self.0.budget(limits)
    }

    async fn apply(&self, work: &Work<'_>) -> Outcome {
        match self.1 {
            Bend::Nothing => Outcome::done(),
            _ => self.0.apply(work).await,
        }
    }

    async fn undo(&self, work: &Work<'_>) -> Outcome {
        match &self.1 {
            Bend::NoUndo => Outcome::done(),
            Bend::Undoes(other) => other.undo(work).await,
            Bend::Nothing => self.0.undo(work).await,
        }
    }
}
