//! What templates see beside an instance's own spec: documents of sources, and where upstream names
//! lead.

mod documents;
mod lookup;
mod memory;
pub mod metrics;
mod policy;
mod polled;
mod poller;
mod resolver;
mod scribe;
mod sealing;
mod source;
mod sources;
mod status;
mod table;
#[cfg(test)]
mod testing;
mod yaml;

pub use documents::{
    Document, Reach, ResealError, Watch, documents, forget_versions, open_all, reseal,
    sealing_keys, version,
};
pub use lookup::{Lookup, SystemLookup};
pub use policy::{AddressPolicy, Refused};
pub use polled::Declared;
pub use poller::{Poller, SOURCES_MAX};
pub use resolver::{Forbidden, Jitter, Pending, Resolved, Resolver};
pub use scribe::SourcePorts;
pub use sealing::{Sealing, SecretPath, Vault};
pub use source::{
    ExecSource, FetchError, Fetched, FileSource, Format, HeaderText, HttpSource, InlineSource,
    Source, Validators,
};
pub use status::{SourceStatus, source_statuses};
