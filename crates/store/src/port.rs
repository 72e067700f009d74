//! The ports, a file each. Each method is one transaction: it happens whole and durably, or not at all.

mod audit;
mod bindings;
mod blobs;
mod contexts;
mod credentials;
mod editions;
mod feed;
mod leases;
mod nodes;
mod operators;
mod proofs;
mod queue;
mod recovery;
mod search;
mod sessions;
mod store;
mod teams;

pub use audit::*;
pub use bindings::*;
pub use blobs::*;
pub use contexts::*;
pub use credentials::*;
pub use editions::*;
pub use feed::*;
pub use leases::*;
pub use nodes::*;
pub use operators::*;
pub use proofs::*;
pub use queue::*;
pub use recovery::*;
pub use search::*;
pub use sessions::*;
pub use store::*;
pub use teams::*;
