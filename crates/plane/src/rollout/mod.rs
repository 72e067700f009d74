//! Roll-outs: the platform goes from one edition to another, by stages of groups, watched; and back
//! by itself when a gate says so.
//!
//! What is so stands in the store: a process that starts gives groups what they had. Here is
//! decided what comes next: `gates` is a pure function of what `watch` has seen.

mod command;
mod drive;
mod follow;
mod gates;
mod opening;
mod plan;
mod policy;
mod stands;
mod traffic;
mod watch;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::{Millis, Rollout};
use store::{EditionRow, Editions, StoreError};
use tokio::sync::Notify;

pub use command::Wish;
pub use gates::Limits;
pub use opening::{Opening, OpeningError};
pub use plan::{Planned, Sample};
pub use policy::Policy;

pub(crate) use stands::{RenderedAt, Stands, Told};
pub(crate) use traffic::Traffic;

use crate::Plane;
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
    /// Why the templates of the configuration are not used.
    pub trouble: Option<String>,
    /// The latest roll-out.
    pub rollout: Option<Rollout>,
    /// The editions that there are, latest first.
    pub editions: Vec<EditionRow>,
}

/// What refuses an edition: see [`Planned::refused`].
pub type Refusal = (String, String);

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
    /// The offer that was refused: it is not tried again each second.
    refused: Option<u64>,
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
        let trouble = self.seen().trouble.clone();
        let is_given = |number: u64| standing.given.editions.iter().all(|(_, it)| *it == number);
        Ok(Status {
            offered: standing.offered.map(|(number, _)| number).filter(|it| !is_given(*it)),
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
