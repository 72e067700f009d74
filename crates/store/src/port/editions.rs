//! What the platform renders with: editions, which of them groups are given, and the roll-out from
//! one to another.

use async_trait::async_trait;
use model::{AuditEntry, Millis, Rollout};

use crate::StoreError;

/// The largest edition.
pub const EDITION_BYTES_MAX: usize = 4 << 20;
/// Editions that are kept. Beyond it the oldest that nobody is given goes.
pub const EDITIONS_MAX: u64 = 200;
/// Roll-outs that are remembered.
pub const ROLLOUTS_MAX: u64 = 1_000;

/// Which edition each group is given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Given {
    /// Of the counter of publishes: what comes of this never has a lower version. 0: nothing was
    /// given yet.
    pub revision: u64,
    /// Patterns of groups and the edition's number; the first that has a group's name is its.
    pub editions: Vec<(String, u64)>,
}

/// All that decides what is rendered with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// Which edition each group is given.
    pub given: Given,
    /// What the configuration was last, as an edition; and whether a roll-out to it was begun.
    pub offered: Option<(u64, bool)>,
    /// The latest roll-out, over or not.
    pub rollout: Option<Rollout>,
}

/// An edition as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EditionRow {
    /// Its number, rising.
    pub number: u64,
    /// SHA-256 of its content.
    pub digest: [u8; 32],
    /// When it was first kept.
    pub at: Millis,
}

/// A step of a roll-out, all of it in one transaction.
#[derive(Debug, Clone)]
pub struct RollStep {
    /// As it becomes. With `id` 0 it is a new one, which there can be when none is under way; else
    /// its `turn` is the one that was seen.
    pub rollout: Rollout,
    /// It takes up what the configuration offers.
    pub takes_offer: bool,
    /// When.
    pub at: Millis,
    /// Who asked for it, if anybody.
    pub entry: Option<AuditEntry>,
}

/// What was decided, for whoever only follows it.
#[async_trait]
pub trait EditionFeed: Send + Sync {
    /// The content of an edition.
    async fn edition(&self, number: u64) -> Result<Option<Vec<u8>>, StoreError>;
    /// How everything stands, at one moment.
    async fn standing(&self) -> Result<Standing, StoreError>;
}

/// Editions and roll-outs.
#[async_trait]
pub trait Editions: EditionFeed {
    /// Keeps an edition; equal content has one number for ever.
    async fn keep_edition(&self, content: &[u8], at: Millis) -> Result<u64, StoreError>;
    /// The latest editions, latest first.
    async fn editions(&self, limit: usize) -> Result<Vec<EditionRow>, StoreError>;
    /// The configuration is this edition now; `is_taken`: there is no need to roll it out. The first
    /// that there ever is, every group is given at once.
    async fn offer_edition(&self, number: u64, is_taken: bool) -> Result<(), StoreError>;
    /// Gives every group this edition: the process was configured so, and no proxy is answered yet.
    async fn give_all(&self, number: u64) -> Result<(), StoreError>;
    /// Writes a step, and gives groups what follows of it, at a new revision. `None`: another wrote
    /// first, and nothing happened.
    async fn roll(&self, step: RollStep) -> Result<Option<Rollout>, StoreError>;
    /// The latest roll-outs, latest first.
    async fn rollouts(&self, limit: usize) -> Result<Vec<Rollout>, StoreError>;
}
