//! What templates see beside an instance's own spec: documents of sources, and where upstream names
//! lead.

mod lookup;
mod memory;
pub mod metrics;
mod policy;
mod resolver;
mod table;

pub use lookup::{Lookup, SystemLookup};
pub use policy::{AddressPolicy, Refused};
pub use resolver::{Jitter, Pending, Resolved, Resolver};
