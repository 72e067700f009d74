//! A step of a pipeline: a change, its opposite, and the sentence that the user sees meanwhile.

use std::time::Duration;

use async_trait::async_trait;
use model::{Millis, Operation, WaitsFor};
use store::Write;

use crate::{Holdings, Limits, Ports};

/// One step. `apply` and `undo` are idempotent: they may be run again after any interruption, also
/// when they had already succeeded. What they change in the store they hand back as `Write`s, which
/// are committed together with the record of the step.
#[async_trait]
pub trait Step: Send + Sync {
    /// The step's name, unique in its pipeline; kept in records, so it does not change.
    fn name(&self) -> &'static str;

    /// What the user sees while it runs.
    fn says(&self, operation: &Operation) -> String;

    /// Whether this time it changes the world outside the store, or waits for it. Then its record
    /// is on disk before it begins, and so a worker that resumes knows that it may have acted. A
    /// step that does not act costs no commit of its own. Must depend on the arguments alone.
    fn acts(&self, _operation: &Operation, _held: &Holdings) -> bool {
        false
    }

    /// How often and how long it is tried.
    fn budget(&self, limits: &Limits) -> Budget {
        limits.budget
    }

    /// Whether an operator may pass it over, having seen to what it does.
    fn is_skippable(&self) -> bool {
        false
    }

    /// What stays in the world when it is given up, each in a few words.
    fn leaves(&self, _operation: &Operation, _held: &Holdings) -> Vec<String> {
        Vec::new()
    }

    /// Makes it so.
    async fn apply(&self, work: &Work<'_>) -> Outcome;

    /// Makes it as it was before the operation, whether or not `apply` came to an end. Never
    /// called on a commit step, nor on what follows it.
    async fn undo(&self, _work: &Work<'_>) -> Outcome {
        Outcome::done()
    }
}

/// What a step works on.
pub struct Work<'a> {
    /// The operation as it now is.
    pub operation: &'a Operation,
    /// What the instance held before it.
    pub held: &'a Holdings,
    /// The world.
    pub ports: &'a Ports,
    /// How long to wait.
    pub limits: &'a Limits,
    /// When this worker began to run. Who is waited for may have had to come back as well.
    pub began: Millis,
}

/// How often and how long a step is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// How often it is begun, and again how often its undo is, before it gives up.
    pub attempts: u32,
    /// The longest delay before the second attempt; doubled for each further one.
    pub backoff: Duration,
    /// The longest delay before any attempt.
    pub backoff_max: Duration,
    /// How long it may wait for a person or for the outside world.
    pub patience: Duration,
}

/// How an `apply` or an `undo` came out.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// It has happened.
    Done(Done),
    /// Not yet, and nothing is left to do but to wait. The step holds no worker meanwhile; `apply`
    /// or `undo` is called again to look, after delays that grow with the wait.
    Wait {
        /// For what.
        on: WaitsFor,
        /// What exactly, or how far it is.
        note: String,
    },
    /// It failed, and trying again may help.
    Retry {
        /// Why, in the tenant's words.
        why: String,
    },
    /// It has waited for as long as it may.
    Late {
        /// For what, in the tenant's words.
        why: String,
    },
    /// It failed, and trying again will not help: the same wish fails again.
    Refused {
        /// Why, in the tenant's words.
        why: String,
    },
}

/// What a step that has happened leaves.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Done {
    /// Its effects inside the store.
    pub writes: Vec<Write>,
    /// What its record says from now on.
    pub note: Option<String>,
    /// What the operation shall say beside success.
    pub notice: Option<String>,
}

impl Outcome {
    /// It has happened, and leaves nothing in the store.
    pub fn done() -> Self {
        Self::Done(Done::default())
    }

    /// It has happened, with these effects in the store.
    pub fn writes(writes: Vec<Write>) -> Self {
        Self::Done(Done { writes, ..Done::default() })
    }
}
