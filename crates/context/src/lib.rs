//! What templates see beside an instance's own spec: documents of sources, and where upstream names
//! lead.

mod documents;
mod lookup;
mod memory;
pub mod metrics;
mod policy;
mod resolver;
mod sources;
mod table;
#[cfg(test)]
mod testing;
mod yaml;

pub use documents::{Document, documents};
pub use lookup::{Lookup, SystemLookup};
pub use policy::{AddressPolicy, Refused};
pub use resolver::{Forbidden, Jitter, Pending, Resolved, Resolver};
pub use sources::FileSources;
