//! Carries out operations: leases jobs, runs pipelines of steps, resumes where it was interrupted.
//!
//! Reading order: [`pipeline`] says what is done, [`engine`] decides what comes next, `carry` does
//! it for one leased job, [`run`] does that for all of them.
//!
//! *Architecture invariant:* nothing here reads a clock or draws a random number; both are handed
//! in with [`Ports`]. Only the runner waits for time.

mod carry;
pub mod cloud;
mod config;
pub mod engine;
mod holdings;
pub mod metrics;
pub mod pipeline;
mod port;
pub mod run;
mod step;
mod steps;

pub use config::{Config, Limits};
pub use holdings::Holdings;
pub use pipeline::Pipeline;
pub use port::{Clock, Cloud, CloudError, Convergence, Fleet, Jitter, Ports, Record};
pub use run::Worker;
pub use step::{Budget, Done, Outcome, Step, Work};

#[cfg(test)]
mod testing;
