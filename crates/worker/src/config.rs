//! The worker's limits, each with the reason for its number.

use std::time::Duration;

/// How the runner leases and watches jobs.
#[derive(Debug, Clone)]
pub struct Config {
    /// Jobs carried out at once; 1 or more. Most of a job's time is waiting for proxies.
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
    /// The limits of each operation.
    pub limits: Limits,
}

/// How long and how often an operation tries.
#[derive(Debug, Clone)]
pub struct Limits {
    /// From acceptance to publish. Beyond it the operation is undone.
    pub deadline: Duration,
    /// How often a step is begun, and again how often its undo is, before it gives up.
    pub attempts: u32,
    /// The longest delay before the second attempt; doubled for each further one.
    pub backoff: Duration,
    /// The longest delay before any attempt.
    pub backoff_max: Duration,
    /// How long the proxies have to follow a publish.
    pub converge: Duration,
    /// How long a step waits for the proxies before it tells how far they are.
    pub slice: Duration,
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
            limits: Limits::default(),
        }
    }
}

impl Default for Limits {
    /// Twelve attempts with these delays span about two minutes on average, four at most.
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(15 * 60),
            attempts: 12,
            backoff: Duration::from_millis(200),
            backoff_max: Duration::from_secs(60),
            converge: Duration::from_secs(60),
            slice: Duration::from_secs(1),
        }
    }
}

/// A duration on the scale of [`model::Millis`].
pub(crate) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
