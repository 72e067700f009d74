//! What must survive: the ports [`Store`], [`Queue`], [`Blobs`] and [`Audit`], and their embedded SQLite.
//!
//! *Architecture invariant:* nothing outside this crate names a database. A second implementation
//! earns its place by passing the module `contract`, unchanged.

pub mod chain;
#[cfg(feature = "contract")]
pub mod contract;
mod error;
pub mod metrics;
mod port;
pub mod sqlite;
mod summaries;

use std::sync::Arc;

use model::Millis;

pub use error::StoreError;
pub use port::*;
pub use summaries::SummaryFolder;

/// What time it is, in milliseconds since the Unix epoch. Handed in, so that time can be simulated.
pub type Clock = Arc<dyn Fn() -> Millis + Send + Sync>;
