//! The resources of one group, whose they are, and the order in which they changed.

use std::sync::Arc;

use model::{Resource, TypeUrl};

/// Whose a resource is: an instance's id, or the platform's.
pub type Owner = Arc<str>;

/// All that changes for one owner at once.
#[derive(Debug, Clone)]
pub struct Change {
    /// Whose.
    pub owner: Owner,
    /// New or changed resources.
    pub set: Vec<Resource>,
    /// Resources that go.
    pub remove: Vec<(TypeUrl, Arc<str>)>,
}

/// The resources of one group. Shared by its streams.
#[derive(Debug, Default)]
pub struct Cache {}

impl Cache {
    /// Applies changes, each owner's atomically; returns the sequence number of the last.
    /// Sequence numbers rise by one with each change.
    pub fn apply(&self, _changes: Vec<Change>) -> u64 {
        0
    }

    /// From now on streams are answered: the cache holds what it should. Before, they wait, so
    /// that no proxy is ever emptied for want of data.
    pub fn open(&self) {}
}
