//! A process that does not decide what groups are given follows those who do.

use std::sync::Arc;
use std::time::Duration;

use store::{EditionFeed, Given, StoreError};
use tokio::time::sleep;

use super::opening::content;
use crate::Plane;
use crate::documents::Opened;
use crate::edition::Edition;

/// Between two looks.
const LOOK: Duration = Duration::from_secs(1);

impl Plane {
    /// From now on groups are given what this says. Before the plane runs.
    pub fn follow_editions(&self, editions: Arc<dyn EditionFeed>) {
        // There is one store, told once.
        let _ = self.editions.set(editions);
    }

    /// Looks once.
    pub(crate) async fn take_editions(&self) -> Result<(), StoreError> {
        let Some(editions) = self.editions.get() else { return Ok(()) };
        let Given { revision, editions: given } = editions.standing().await?.given;
        if given.is_empty() || revision == self.state().given.revision {
            return Ok(());
        }
        let mut compiled = Vec::new();
        for (groups, number) in given {
            let Some(edition) = self.read_edition(&**editions, number).await? else {
                return Ok(());
            };
            compiled.push((groups, edition));
        }
        tracing::info!(revision, "groups are given other editions");
        self.give(revision, compiled);
        Ok(())
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

    pub(crate) async fn keep_editions(self: Arc<Self>) {
        loop {
            sleep(LOOK).await;
            if let Err(error) = self.take_editions().await {
                tracing::debug!(%error, "editions cannot be read; groups keep what they have");
            }
        }
    }
}
