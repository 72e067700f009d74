//! The real Envoy of `margrave dev`: found, given a bootstrap, started, watched, stopped.

mod bootstrap;
mod find;
mod log;
mod process;
mod supervise;

pub use bootstrap::Bootstrap;
pub use find::{Found, find};
pub use process::access_log;
pub use supervise::{Health, Supervisor};
