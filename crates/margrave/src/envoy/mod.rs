//! The real Envoy of `margrave dev`: found, given a bootstrap, started, watched, stopped.

mod bootstrap;
mod find;
mod identity;
mod log;
mod process;
mod supervise;
mod validators;

pub use bootstrap::{Bootstrap, GROUP};
pub use find::{Found, find};
pub use identity::Identity;
pub use process::access_log;
pub use supervise::{Health, Supervisor};
pub use validators::validators;
