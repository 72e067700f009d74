//! What is done for each kind of operation, in order. Read it as a runbook.

use std::sync::Arc;

use model::{Operation, OperationKind, StepRecord};

use crate::steps::{
    ClaimHostnames, Converge, DnsRecords, OldRecords, Publish, ReleaseHostnames, Unpublish,
};
use crate::{Holdings, Limits, Step};

/// The steps of one operation. What fails up to and including `commit` is undone, in reverse; what
/// fails after it ends the operation as it is, and may be asked for again.
pub struct Pipeline {
    /// Before anything can be seen.
    pub before: Vec<Arc<dyn Step>>,
    /// The point of no return. Its effects are `Write`s only, so that they are committed with its
    /// record or not at all; it is never undone.
    pub commit: Arc<dyn Step>,
    /// Only forward.
    pub after: Vec<Arc<dyn Step>>,
    /// What the instance held before the operation.
    pub held: Holdings,
    /// How long and how often to try.
    pub limits: Limits,
}

impl Pipeline {
    /// The pipeline of an operation of this kind.
    pub fn of(kind: OperationKind, held: Holdings, limits: Limits) -> Self {
        let (before, commit, after) = steps(kind);
        Self { before, commit, after, held, limits }
    }

    /// All steps, in order.
    pub fn steps(&self) -> impl Iterator<Item = &Arc<dyn Step>> {
        self.before.iter().chain([&self.commit]).chain(&self.after)
    }

    /// How many steps there are.
    pub fn len(&self) -> usize {
        self.before.len() + 1 + self.after.len()
    }

    /// Never: there is always a commit.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// The place of the commit step.
    pub fn commit_at(&self) -> usize {
        self.before.len()
    }

    /// The step at a place; the last one beyond the end.
    pub fn step(&self, at: usize) -> &Arc<dyn Step> {
        match at.checked_sub(self.before.len()) {
            None => &self.before[at],
            Some(0) => &self.commit,
            Some(beyond) => {
                self.after.get(beyond - 1).or(self.after.last()).unwrap_or(&self.commit)
            }
        }
    }
}

/// What will be done for an operation, in order; each as it is before it has begun.
pub fn runbook(operation: &Operation) -> Vec<StepRecord> {
    let (before, commit, after) = steps(operation.kind);
    let all = before.into_iter().chain([commit]).chain(after);
    all.map(|step| StepRecord::new(step.name(), step.says(operation))).collect()
}

type Steps = (Vec<Arc<dyn Step>>, Arc<dyn Step>, Vec<Arc<dyn Step>>);

fn steps(kind: OperationKind) -> Steps {
    match kind {
        OperationKind::Provision => (
            vec![Arc::new(ClaimHostnames), Arc::new(DnsRecords)],
            Arc::new(Publish),
            vec![Arc::new(Converge)],
        ),
        OperationKind::Update => (
            vec![Arc::new(ClaimHostnames), Arc::new(DnsRecords)],
            Arc::new(Publish),
            vec![Arc::new(Converge), Arc::new(OldRecords), Arc::new(ReleaseHostnames)],
        ),
        OperationKind::Deprovision => (
            vec![],
            Arc::new(Unpublish),
            vec![Arc::new(Converge), Arc::new(OldRecords), Arc::new(ReleaseHostnames)],
        ),
    }
}
