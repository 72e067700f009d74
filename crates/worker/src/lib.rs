//! Carries out operations: leases jobs, runs pipelines of steps, resumes where it was interrupted.

mod port;

pub use port::{Cloud, CloudError, Convergence, Fleet, Record};
