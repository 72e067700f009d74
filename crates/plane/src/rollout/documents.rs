//! Documents of sources, rolled out like templates: a change is another edition, with what groups have
//! else. So what the configuration is, and what sources have, wait for one another in nothing.

use std::collections::BTreeSet;

use store::{Standing, StoreError};

use super::opening::{content, keep};
use super::{RolloutError, Rollouts};
use crate::edition::Content;

/// Editions of which it is remembered what they are without their documents.
const KNOWN_MAX: usize = 1_000;
/// Roll-outs that are looked through for one that was tried.
const TRIED_MAX: usize = 200;

impl Rollouts {
    /// What an edition is without its documents.
    pub(super) async fn bare(&self, number: u64) -> Result<u64, StoreError> {
        if let Some(bare) = self.seen().bare.get(&number).copied() {
            return Ok(bare);
        }
        let bare = match content(&*self.editions, number).await? {
            Some(content) if !content.documents.is_empty() => {
                let without = content.with(Default::default());
                keep(&*self.editions, &without, self.now()).await?
            }
            _ => number,
        };
        let known = &mut self.seen().bare;
        if known.len() > KNOWN_MAX {
            known.clear();
        }
        known.insert(number, bare);
        Ok(bare)
    }

    /// Whether an edition is `offered`, with whatever documents.
    pub(super) async fn is_offered(&self, number: u64, offered: u64) -> Result<bool, StoreError> {
        Ok(number == offered || self.bare(number).await? == offered)
    }

    /// Whether every group has what is `offered`.
    pub(super) async fn is_given(
        &self,
        offered: u64,
        standing: &Standing,
    ) -> Result<bool, StoreError> {
        for (_, number) in &standing.given.editions {
            if !self.is_offered(*number, offered).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// What groups have that no stage was reached of.
    pub(super) async fn base_content(&self) -> Result<Option<Content>, RolloutError> {
        Ok(content(&*self.editions, self.base().await?).await?)
    }

    /// This, with the documents that groups have.
    pub(super) async fn with_given(&self, content: &Content) -> Result<Content, RolloutError> {
        let base = self.base_content().await?;
        Ok(content.with(base.map(|base| base.documents).unwrap_or_default()))
    }

    /// The sources of whose documents groups have not the latest.
    pub(super) async fn waiting(&self, standing: &Standing) -> Result<Vec<String>, StoreError> {
        let latest = self.plane.state().given.staged.clone();
        let mut waiting = BTreeSet::new();
        for (_, number) in &standing.given.editions {
            let Some(content) = content(&*self.editions, *number).await? else { continue };
            let is_other = |(name, revision): &(&String, &u64)| {
                content.documents.get(*name) != Some(*revision)
            };
            let others = latest.iter().filter(is_other).map(|(name, _)| name.clone());
            waiting.extend(others);
            waiting.extend(content.documents.into_keys().filter(|name| !latest.contains_key(name)));
        }
        Ok(waiting.into_iter().collect())
    }

    /// The edition with the latest documents of sources and all else as it is given, unless that is
    /// given or was tried.
    pub(super) async fn with_latest(&self) -> Result<Option<u64>, RolloutError> {
        let latest = self.plane.state().given.staged.clone();
        let now = (self.base().await?, latest);
        if self.seen().settled.as_ref() == Some(&now) {
            return Ok(None);
        }
        let number = match self.base_content().await? {
            Some(base) if base.documents != now.1 => {
                Some(keep(&*self.editions, &base.with(now.1.clone()), self.now()).await?)
            }
            _ => None,
        };
        let tried = self.editions.rollouts(TRIED_MAX).await?;
        let is_tried = |number: u64| {
            let is_refused = self.seen().refused.contains(&number);
            is_refused || tried.iter().any(|rollout| rollout.to == number)
        };
        let number = number.filter(|number| !is_tried(*number));
        if number.is_none() {
            self.seen().settled = Some(now);
        }
        Ok(number)
    }

    /// Forgets documents that no edition has any more.
    pub(super) async fn forget_documents(&self) -> Result<(), StoreError> {
        let mut needed = BTreeSet::new();
        let all = self.editions.editions(usize::MAX).await?;
        for row in all {
            let Some(content) = content(&*self.editions, row.number).await? else { continue };
            needed.extend(content.documents);
        }
        context::forget_versions(&*self.plane.blobs, &needed).await
    }
}
