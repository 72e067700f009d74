//! What groups are given when a process starts: what the store says that they had.

use std::sync::Arc;

use context::Vault;
use model::Millis;
use render::{Complaint, Platform, Templates};
use store::{Blobs, EditionFeed, Editions, StoreError};

use super::Policy;
use crate::documents::{Opened, Seen};
use crate::edition::{Content, Edition};
use crate::grouping::Grouping;
use crate::{Config, Plane};

/// What a plane begins with.
#[derive(Debug)]
pub struct Opening {
    revision: u64,
    editions: Vec<(String, Arc<Edition>)>,
}

/// Why a plane cannot begin.
#[derive(Debug)]
pub enum OpeningError {
    /// The templates cannot be used, and no others were used before.
    Unusable(Vec<Complaint>),
    /// The store does not answer.
    Store(StoreError),
}

impl From<StoreError> for OpeningError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// What the store has for those who decide what groups are given.
#[derive(Clone, Copy)]
pub struct Ledger<'a> {
    /// Editions, and who has which.
    pub editions: &'a dyn Editions,
    /// Documents of sources.
    pub blobs: &'a dyn Blobs,
    /// What opens their secrets.
    pub vault: &'a dyn Vault,
}

impl Ledger<'_> {
    async fn compile(self, number: u64, content: &Content) -> Result<Edition, OpeningError> {
        let own = Opened::read(self.blobs, self.vault, &content.documents).await?;
        let compiled = Edition::compile(number, content, own, &Seen::unread());
        compiled.map_err(OpeningError::Unusable)
    }
}

impl Opening {
    /// Reads it. What is configured is used where nothing was given before; else it is offered
    /// later. Facts about this process, such as its ports, hold at once unless they are rolled out
    /// by stages.
    ///
    /// # Errors
    /// Nothing was given before, and the configured templates cannot be used; or the store does not
    /// answer.
    pub async fn read(
        ledger: Ledger<'_>,
        configured: &Content,
        policy: &Policy,
        now: Millis,
    ) -> Result<Self, OpeningError> {
        let editions = ledger.editions;
        let standing = editions.standing().await?;
        let is_rolling = standing.rollout.is_some_and(|rollout| !rollout.state.is_over());
        let given = standing.given.editions;
        match given.last() {
            None => first(ledger, configured, now).await?,
            Some((_, base)) if policy.is_direct() && !is_rolling => {
                as_configured(ledger, *base, configured, now).await?;
            }
            Some(_) => {}
        }
        let given = editions.standing().await?.given;
        let mut compiled = Vec::new();
        for (groups, number) in given.editions {
            let content = content(editions, number).await?;
            let content = content.as_ref().unwrap_or(configured);
            compiled.push((groups, Arc::new(ledger.compile(number, content).await?)));
        }
        Ok(Self { revision: given.revision, editions: compiled })
    }

    /// What a plane is made with: templates and facts of the groups that no pattern names.
    pub fn base(&self) -> (Templates, Platform) {
        let (_, edition) = &self.editions[self.editions.len() - 1];
        (edition.templates.clone(), (*edition.platform).clone())
    }

    /// Gives groups what they had, and tells them apart by all that this or what is `configured`
    /// varies by. Before the plane runs.
    pub fn give(self, plane: &Plane, configured: &Content) {
        plane.give(self.revision, self.editions);
        let mut state = plane.state();
        let mut fields = state.given.varies_by();
        if let Ok(templates) = Templates::compile(&configured.templates) {
            fields.extend_from_slice(templates.varies_by());
        }
        fields.sort_unstable();
        fields.dedup();
        if let Ok(grouping) = Grouping::new(&fields) {
            state.grouping = grouping;
        }
    }
}

async fn first(ledger: Ledger<'_>, configured: &Content, now: Millis) -> Result<(), OpeningError> {
    ledger.compile(0, configured).await?;
    let number = keep(ledger.editions, configured, now).await?;
    Ok(ledger.editions.offer_edition(number, true).await?)
}

/// The templates that were given, with the facts of this process.
async fn as_configured(
    ledger: Ledger<'_>,
    base: u64,
    configured: &Content,
    now: Millis,
) -> Result<(), OpeningError> {
    let editions = ledger.editions;
    let facts = configured.facts.clone();
    let kept = content(editions, base).await?.map(|kept| Content { facts, ..kept });
    // What a newer release has kept may be nothing to this one.
    let kept = match kept {
        Some(kept) if ledger.compile(base, &kept).await.is_ok() => Some(kept),
        _ => None,
    };
    let given = kept.as_ref().unwrap_or(configured);
    ledger.compile(0, given).await?;
    let number = keep(editions, given, now).await?;
    editions.give_all(number).await?;
    let Some((offered, is_taken)) = editions.standing().await?.offered else { return Ok(()) };
    let before = content(editions, offered).await?;
    // Templates that were offered before are no news where only this process is another.
    if before.is_some_and(|before| before.templates == configured.templates) {
        let number = keep(editions, configured, now).await?;
        editions.offer_edition(number, is_taken).await?;
    }
    Ok(())
}

/// Keeps what can be read again.
pub(super) async fn keep(
    editions: &dyn Editions,
    content: &Content,
    now: Millis,
) -> Result<u64, StoreError> {
    editions.keep_edition(&serde_json::to_vec(content)?, now).await
}

/// An edition as it was kept; none when this release cannot read it.
pub(super) async fn content(
    editions: &(impl EditionFeed + ?Sized),
    number: u64,
) -> Result<Option<Content>, StoreError> {
    let Some(bytes) = editions.edition(number).await? else { return Ok(None) };
    let read = serde_json::from_slice(&bytes);
    if let Err(error) = &read {
        tracing::error!(edition = number, %error, "an edition cannot be read by this release");
    }
    Ok(read.ok())
}

impl Config {
    /// With what a store says that groups had.
    pub fn opened(self, opening: &Opening) -> Self {
        let (templates, platform) = opening.base();
        Self { templates, platform, ..self }
    }
}
