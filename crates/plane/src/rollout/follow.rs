//! What groups are given is read with the feed, at one moment: a change and a decision that came one
//! after the other are never rendered as if the later had come first. Two processes, or one after the
//! other, would else have two contents of one version.

use std::sync::{Arc, PoisonError};

use store::{EditionFeed, Given, Standing, StoreError};

use super::opening::content;
use crate::Plane;
use crate::documents::Opened;
use crate::edition::Edition;

/// Is told what groups are about to be given.
pub(crate) type Herald = Arc<dyn Fn(&Standing) + Send + Sync>;

/// Editions that groups are given from a revision on.
pub(crate) type Decided = (u64, Vec<(String, Arc<Edition>)>);

impl Plane {
    /// From now on groups are given what this says. Before the plane runs.
    pub fn follow_editions(&self, editions: Arc<dyn EditionFeed>) {
        // There is one store, told once.
        let _ = self.editions.set(editions);
    }

    /// From now on this is told before groups are given something else.
    pub(crate) fn herald(&self, herald: Herald) {
        *self.herald.lock().unwrap_or_else(PoisonError::into_inner) = Some(herald);
    }

    /// What the store says that groups are given; none where nobody says anything.
    pub(crate) async fn standing(&self) -> Result<Option<Standing>, StoreError> {
        let Some(editions) = self.editions.get() else { return Ok(None) };
        editions.standing().await.map(Some)
    }

    /// What groups are given now and were not before.
    pub(crate) async fn decided(&self, standing: &Standing) -> Result<Option<Decided>, StoreError> {
        let Some(editions) = self.editions.get() else { return Ok(None) };
        let Given { revision, editions: given } = &standing.given;
        if given.is_empty() || *revision == self.state().given.revision {
            return Ok(None);
        }
        let mut compiled = Vec::new();
        for (groups, number) in given {
            let Some(edition) = self.read_edition(&**editions, *number).await? else {
                return Ok(None);
            };
            compiled.push((groups.clone(), edition));
        }
        tracing::info!(revision, editions = ?given, "groups are given editions");
        let herald = self.herald.lock().unwrap_or_else(PoisonError::into_inner).clone();
        herald.inspect(|herald| herald(standing));
        Ok(Some((*revision, compiled)))
    }

    /// An edition; none when this release cannot use it: groups keep what they have then.
    async fn read_edition(
        &self,
        editions: &dyn EditionFeed,
        number: u64,
    ) -> Result<Option<Arc<Edition>>, StoreError> {
        if let Some(edition) = self.state().given.numbered(number) {
            return Ok(Some(edition));
        }
        let Some(content) = content(editions, number).await? else { return Ok(None) };
        let own = Opened::read(&*self.blobs, &*self.vault, &content.documents).await?;
        let seen = self.state().given.seen.clone();
        match Edition::compile(number, &content, own, &seen) {
            Ok(edition) => Ok(Some(Arc::new(edition))),
            Err(complaints) => {
                tracing::error!(edition = number, ?complaints, "an edition cannot be used");
                Ok(None)
            }
        }
    }
}
