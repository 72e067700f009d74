//! What was revoked, from whichever process, told to the streams of this one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use model::Millis;
use store::{Blobs, Feed, NodeFeed, StoreError};
use xds::Ads;

use crate::clock;

/// Between two looks at the store: one step of an index.
const LOOK: Duration = Duration::from_millis(250);
/// Where a process that may be started without its store remembers them.
const KEY: &str = "gate/revoked";

/// Numbers of certificates, and when each would have ended.
type Known = BTreeMap<String, Millis>;

/// Where they are read.
pub struct Revocations {
    /// The store's.
    pub nodes: Arc<dyn NodeFeed>,
    /// Which store it is.
    pub feed: Arc<dyn Feed>,
    /// This process's own memory, where it has one.
    pub memory: Option<Arc<dyn Blobs>>,
}

/// How far the store was read.
#[derive(Default)]
struct At {
    epoch: u64,
    after: i64,
}

impl Revocations {
    /// Tells what is remembered.
    pub async fn recall(&self, proxies: &Ads) -> usize {
        let known = self.remembered().await;
        if !known.is_empty() {
            tell(proxies, &known);
        }
        known.len()
    }

    /// Follows for ever. A store that cannot be read changes nothing.
    pub async fn follow(&self, proxies: &Ads) {
        let (mut known, mut at) = (self.remembered().await, At::default());
        loop {
            match self.news(&mut at).await {
                Ok(news) if news.is_empty() => {}
                Ok(news) => {
                    let now = clock::now();
                    known.retain(|_, not_after| *not_after > now);
                    known.extend(news);
                    tracing::info!(certificates = known.len(), "certificates are revoked");
                    tell(proxies, &known);
                    self.remember(&known).await;
                    continue;
                }
                Err(error) => tracing::debug!(%error, "revocations were not read"),
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// What was revoked since. Another store in the place of the one before is read from its beginning,
    /// and what was revoked by that one stays so.
    async fn news(&self, at: &mut At) -> Result<Vec<(String, Millis)>, StoreError> {
        let epoch = self.feed.epoch().await?;
        if epoch != at.epoch {
            *at = At { epoch, after: 0 };
        }
        let news = self.nodes.revocations(at.after, clock::now()).await?;
        at.after = news.last().map_or(at.after, |last| last.seq);
        Ok(news.into_iter().map(|it| (it.serial, it.not_after)).collect())
    }

    async fn remembered(&self) -> Known {
        let Some(memory) = &self.memory else { return Known::new() };
        let kept = memory.get(KEY).await.ok().flatten();
        let known: Option<Known> = kept.and_then(|kept| serde_json::from_slice(&kept).ok());
        let mut known = known.unwrap_or_default();
        let now = clock::now();
        known.retain(|_, not_after| *not_after > now);
        known
    }

    async fn remember(&self, known: &Known) {
        let Some(memory) = &self.memory else { return };
        let text = serde_json::to_vec(known).unwrap_or_default();
        if let Err(error) = memory.put(KEY, &text).await {
            tracing::error!(%error, "what is revoked cannot be remembered for a start without the store");
        }
    }
}

fn tell(proxies: &Ads, known: &Known) {
    proxies.revoke(Arc::new(known.keys().cloned().collect()));
}
