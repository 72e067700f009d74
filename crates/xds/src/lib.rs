//! The discovery server. Resources are opaque: type, name, version, bytes, and whose they are.
//!
//! *Architecture invariant:* this crate cannot read an Envoy resource and knows nothing of the
//! product.

mod cache;
mod event;

pub use cache::{Cache, Change, Owner};
pub use event::{Event, StreamId};

/// Which cache a node is served from.
pub trait Directory: Send + Sync {
    /// The cache of the node's group, or the reason to refuse the stream.
    fn assign(&self, node: &model::Node) -> Result<std::sync::Arc<Cache>, String>;
}
