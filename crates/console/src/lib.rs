//! Pages for people, rendered here: what a service is, what is being done to it, and what was.
//!
//! They need no script; where there is one, it only fetches the same page again when something has
//! happened. Every string of a tenant is escaped by the templates, and the policy of the pages lets
//! nothing run that is not a file of ours.
//!
//! *Architecture invariant:* the console reads. What it writes are sessions, and nothing else.

mod door;
mod instance;
mod list;
mod live;
pub mod metrics;
mod page;
mod port;
mod router;
mod words;

pub use port::{Standing, View};
pub use router::{Config, Parts, router};
