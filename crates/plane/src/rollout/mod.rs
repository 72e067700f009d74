//! Roll-outs: the platform goes from one edition to another, by stages of groups, watched; and back
//! by itself when a gate says so.
//!
//! What is so stands in the store: a process that starts gives groups what they had. Here is
//! decided what comes next: `gates` is a pure function of what `watch` has seen.

mod command;
mod documents;
mod drive;
mod flapping;
mod follow;
mod gates;
mod opening;
mod plan;
mod policy;
mod stands;
mod traffic;
mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::{Millis, Rollout};
use store::{EditionRow, Editions, StoreError};
use tokio::sync::Notify;

pub use command::Wish;
pub use gates::Limits;
pub use opening::{Ledger, Opening, OpeningError};
pub use plan::{Planned, Sample};
pub use policy::Policy;

pub(crate) use follow::{Decided, Herald};
pub(crate) use stands::{RenderedAt, Stands, Told};
pub(crate) use traffic::Traffic;

use crate::{Plane, Revisions};
use watch::Watch;

/// Why a roll-out does not begin, or go on.
#[derive(Debug, thiserror::Error)]
pub enum RolloutError {
    /// Templates do not compile, or services would be refused.
    #[error("{0}")]
    Refused(String),
    /// Something else is under way, or nothing is.
    #[error("{0}")]
    Conflict(String),
    /// There is no such edition.
    #[error("there is no edition {0}; `margrave rollout list` tells which there are")]
    Unknown(u64),
    /// The store does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// How everything stands.
#[derive(Debug, Clone)]
pub struct Status {
    /// Patterns of groups and the edition that they are given; the first that has a group's name.
    pub given: Vec<(String, u64)>,
    /// What the configuration is, if groups have not been given that.
    pub offered: Option<u64>,
    /// Sources of whose latest documents the same holds.
    pub sources: Vec<String>,
    /// Why the templates of the configuration are not used.
    pub trouble: Option<String>,
    /// The latest roll-out.
    pub rollout: Option<Rollout>,
    /// The editions that there are, latest first.
    pub editions: Vec<EditionRow>,
}

/// Decides which groups have which edition.
pub struct Rollouts {
    plane: Arc<Plane>,
    editions: Arc<dyn Editions>,
    policy: Policy,
    clock: Arc<dyn Fn() -> Millis + Send + Sync>,
    started_at: Millis,
    seen: Mutex<Seen>,
    nudge: Notify,
    /// One plan at a time: it takes all cores.
    planning: tokio::sync::Mutex<()>,
}

/// What only this process knows.
#[derive(Debug, Default)]
struct Seen {
    /// Of which roll-out and stage, and what was seen of it.
    watch: Option<(u64, usize, Watch)>,
    trouble: Option<String>,
    /// Why what would have begun by itself did not.
    refusal: Option<String>,
    /// What sources have goes back and forth, and that was told.
    flaps: bool,
    /// Editions that were refused, the last few: they are not tried again each second.
    refused: BTreeSet<u64>,
    /// What each edition is without its documents.
    bare: BTreeMap<u64, u64>,
    /// With what is offered, and given since then, there is nothing to do.
    settled_offer: Option<(u64, u64)>,
    /// With what is given and the latest documents there is nothing to do.
    settled: Option<(u64, Revisions)>,
}

impl Rollouts {
    /// Decides for this plane.
    pub fn new(
        plane: Arc<Plane>,
        editions: Arc<dyn Editions>,
        policy: Policy,
        clock: Arc<dyn Fn() -> Millis + Send + Sync>,
    ) -> Arc<Self> {
        let started_at = clock();
        Arc::new(Self {
            plane,
            editions,
            policy,
            clock,
            started_at,
            seen: Mutex::default(),
            nudge: Notify::new(),
            planning: tokio::sync::Mutex::default(),
        })
    }

    /// How everything stands.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn status(&self) -> Result<Status, StoreError> {
        /// Editions that are told.
        const EDITIONS_TOLD_MAX: usize = 20;
        let standing = self.editions.standing().await?;
        let trouble = {
            let seen = self.seen();
            seen.trouble.clone().or_else(|| seen.refusal.clone())
        };
        let offered = match standing.offered {
            Some((number, _)) if !self.is_given(number, &standing).await? => Some(number),
            _ => None,
        };
        Ok(Status {
            offered,
            sources: self.waiting(&standing).await?,
            given: standing.given.editions,
            trouble,
            rollout: standing.rollout,
            editions: self.editions.editions(EDITIONS_TOLD_MAX).await?,
        })
    }

    /// The latest roll-outs, latest first.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn list(&self, limit: usize) -> Result<Vec<Rollout>, StoreError> {
        self.editions.rollouts(limit).await
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Millis {
        (self.clock)()
    }
}
