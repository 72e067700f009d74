//! What a control plane serves, kept beside it: so that it serves at once after a restart, whatever
//! has become of the store.

use async_trait::async_trait;
use model::{Node, Resource};

use crate::StoreError;

/// What one owner has in one group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// The group.
    pub group: String,
    /// What the group is rendered for.
    pub node: Node,
    /// Whose.
    pub owner: String,
    /// All that it has; nothing: it is gone.
    pub resources: Vec<Resource>,
}

/// Epoch and revision of a store's feed.
pub type Mark = (u64, u64);

/// All that was kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Good {
    /// The highest that the feed had come to.
    pub mark: Mark,
    /// What is not gone.
    pub kept: Vec<Kept>,
    /// How much could not be read, and is not in `kept`.
    pub damaged: usize,
}

/// Where a control plane keeps what its proxies have proven. Its own: no other process reads or
/// writes it.
#[async_trait]
pub trait LastGood: Send + Sync {
    /// All that was kept. What is damaged is counted and left out.
    async fn read(&self) -> Result<Good, StoreError>;

    /// Keeps these, each in place of what its owner had, in one transaction. Durable against the end
    /// of the process, not of the machine.
    async fn keep(&self, mark: Mark, kept: Vec<Kept>) -> Result<(), StoreError>;

    /// How large it is, in bytes.
    async fn bytes(&self) -> u64;
}
