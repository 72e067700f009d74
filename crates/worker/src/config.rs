//! The worker's limits, each with the reason for its number.

use std::time::Duration;

use model::OperationKind;

use crate::Budget;

/// How the runner leases and watches jobs.
#[derive(Debug, Clone)]
pub struct Config {
    /// Jobs carried out at once; 1 or more. What waits, for proxies or for people, is none of them.
    /// A team has more of these slots only while it holds less than four times what is free: one
    /// team takes 52 of 64 at most, however slow its steps are, and the next still 10.
    pub concurrency: usize,
    /// How long a job is leased. A worker that dies holds its jobs up for this long.
    pub lease: Duration,
    /// Between two extensions of a lease: a third of it, so that two may fail.
    pub beat: Duration,
    /// How long a single step may say nothing before its lease is given up; longer than any call
    /// to the cloud or the fleet may take.
    pub stuck: Duration,
    /// How long the runner sleeps when the queue does not wake it.
    pub idle: Duration,
    /// Between two searches for operations that have no job.
    pub sweep: Duration,
    /// How long a shutdown waits for running steps; what is still running then is resumed by
    /// whoever leases it next.
    pub grace: Duration,
    /// Operations that are told at once when the proxies have followed, without a worker; what is
    /// beyond them is looked at now and then. Each costs a task that sleeps.
    pub watched: usize,
    /// The limits of each operation.
    pub limits: Limits,
}

/// How long and how often an operation tries.
#[derive(Debug, Clone)]
pub struct Limits {
    /// From acceptance to publish, waits for a person or for the outside world apart. Beyond it the
    /// operation is undone.
    pub deadline: Duration,
    /// The same of a deprovision, of which nothing can be undone: it is given up.
    pub deadline_deprovision: Duration,
    /// What a step has unless it says otherwise.
    pub budget: Budget,
    /// How long the proxies have to follow a publish.
    pub converge: Duration,
    /// How long a worker itself waits for the proxies, most of which follow within milliseconds.
    /// Then it leaves the operation, which holds no worker any more and is told when they have.
    pub slice: Duration,
    /// Until a step that waits is first looked at again; later after half of what it has waited.
    pub look: Duration,
    /// The longest until it is, where proxies are waited for: they have not long.
    pub look_fleet_max: Duration,
    /// The longest until it is, where a person or the outside world is.
    pub look_max: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            concurrency: 64,
            lease: Duration::from_secs(30),
            beat: Duration::from_secs(10),
            stuck: Duration::from_secs(120),
            idle: Duration::from_secs(1),
            sweep: Duration::from_secs(60),
            grace: Duration::from_secs(10),
            watched: 4_096,
            limits: Limits::default(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(15 * 60),
            deadline_deprovision: Duration::from_secs(24 * 60 * 60),
            budget: Budget::default(),
            converge: Duration::from_secs(60),
            slice: Duration::from_millis(100),
            look: Duration::from_secs(1),
            look_fleet_max: Duration::from_secs(5),
            look_max: Duration::from_secs(5 * 60),
        }
    }
}

impl Default for Budget {
    /// Twelve attempts with these delays span about two minutes on average, four at most. A person
    /// has a week, as long as the most patient platform polls.
    fn default() -> Self {
        Self {
            attempts: 12,
            backoff: Duration::from_millis(200),
            backoff_max: Duration::from_secs(60),
            patience: Duration::from_secs(7 * 24 * 60 * 60),
        }
    }
}

impl Limits {
    /// From acceptance to publish, for an operation of this kind.
    pub(crate) fn deadline(&self, kind: OperationKind) -> Duration {
        match kind {
            OperationKind::Deprovision => self.deadline_deprovision,
            OperationKind::Provision | OperationKind::Update => self.deadline,
        }
    }
}

/// A duration on the scale of [`model::Millis`].
pub(crate) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
