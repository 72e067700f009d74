//! What was revoked, from whichever process, told to the streams of this one.

use std::sync::Arc;
use std::time::Duration;

use ::authority::Presented;
use store::{Blobs, Feed, NodeFeed, Revocation, StoreError};
use tokio::sync::Mutex;
use xds::Ads;

use super::roll::{Known, Roll};
use crate::clock;

/// Between two looks at the store: one step of an index.
const LOOK: Duration = Duration::from_millis(250);
/// Where a process that may be started without its store remembers them.
pub const KEY: &str = "gate/revoked";

/// Where they are read.
pub struct Revocations {
    nodes: Arc<dyn NodeFeed>,
    feed: Arc<dyn Feed>,
    memory: Option<Arc<dyn Blobs>>,
    roll: Roll,
    read: Mutex<Read>,
}

/// What was read.
#[derive(Default)]
struct Read {
    known: Known,
    at: At,
}

/// How far the store was read.
#[derive(Default)]
struct At {
    epoch: u64,
    after: i64,
}

impl Revocations {
    /// Of a store. `memory`: this process's own, where it may be started without the store.
    pub fn new(
        nodes: Arc<dyn NodeFeed>,
        feed: Arc<dyn Feed>,
        memory: Option<Arc<dyn Blobs>>,
    ) -> Self {
        Self { nodes, feed, memory, roll: Roll::default(), read: Mutex::default() }
    }

    /// Whether whoever shows this may come in; certificates by number are looked at by streams.
    pub fn admit(&self, it: &Presented) -> Result<(), String> {
        self.roll.admit(it, clock::now())
    }

    /// Tells what is remembered, and what the store has, where that can be read. Others may follow already.
    pub async fn recall(&self, proxies: &Ads) {
        let mut read = self.read.lock().await;
        read.known.join(self.remembered().await);
        self.tell(proxies, &read.known);
        while self.look(proxies, &mut read).await.unwrap_or_default() {}
    }

    /// Follows for ever. A store that cannot be read changes nothing.
    pub async fn follow(&self, proxies: &Ads) {
        loop {
            let looked = self.look(proxies, &mut *self.read.lock().await).await;
            match looked {
                Ok(true) => continue,
                Ok(false) => {}
                Err(error) => tracing::debug!(%error, "revocations were not read"),
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Whether there was anything.
    async fn look(&self, proxies: &Ads, read: &mut Read) -> Result<bool, StoreError> {
        let news = self.news(&mut read.at).await?;
        if news.is_empty() {
            return Ok(false);
        }
        read.known.forget(clock::now());
        read.known.add(news);
        tracing::info!(revoked = read.known.len(), "proxies are shut out");
        self.tell(proxies, &read.known);
        self.remember(&read.known).await;
        Ok(true)
    }

    /// What was revoked since. Another store in the place of the one before is read from its beginning,
    /// and what was revoked by that one stays so.
    async fn news(&self, at: &mut At) -> Result<Vec<Revocation>, StoreError> {
        let epoch = self.feed.epoch().await?;
        if epoch != at.epoch {
            *at = At { epoch, after: 0 };
        }
        let news = self.nodes.revocations(at.after, clock::now()).await?;
        at.after = news.last().map_or(at.after, |last| last.seq);
        Ok(news)
    }

    async fn remembered(&self) -> Known {
        let Some(memory) = &self.memory else { return Known::default() };
        let kept = memory.get(KEY).await.ok().flatten();
        let known: Option<Known> = kept.and_then(|kept| serde_json::from_slice(&kept).ok());
        let mut known = known.unwrap_or_default();
        known.forget(clock::now());
        known
    }

    async fn remember(&self, known: &Known) {
        let Some(memory) = &self.memory else { return };
        let text = serde_json::to_vec(known).unwrap_or_default();
        if let Err(error) = memory.put(KEY, &text).await {
            tracing::error!(%error, "what is revoked cannot be remembered for a start without the store");
        }
    }

    fn tell(&self, proxies: &Ads, known: &Known) {
        self.roll.revoke(known, |serials| proxies.revoke(Arc::new(serials)));
    }
}

#[cfg(test)]
mod tests {
    use store::sqlite::{Options, Sqlite};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);

    struct Nobody;

    impl xds::Directory for Nobody {
        fn assign(&self, _: &model::Node) -> Result<Arc<xds::Cache>, String> {
            Err("nobody is served".to_owned())
        }
    }

    /// The listener opens after a recall, and the follower may have begun before.
    #[tokio::test]
    async fn who_follows_holds_up_nobody_who_recalls() {
        let folder = tempfile::tempdir().unwrap();
        let options = Options::new(Arc::new(clock::now));
        let store = Arc::new(Sqlite::open(folder.path().join("store.db"), options).unwrap());
        let (nodes, feed) = (Arc::<Sqlite>::clone(&store), Arc::<Sqlite>::clone(&store));
        let revocations = Revocations::new(nodes, feed, None);
        let (events, _heard) = tokio::sync::mpsc::channel(1);
        let proxies = Ads::new(Arc::new(Nobody), events, xds::Limits::default());
        let recalled = async {
            tokio::task::yield_now().await;
            revocations.recall(&proxies).await;
        };
        let both = async {
            tokio::select! {
                biased;
                () = revocations.follow(&proxies) => {}
                () = recalled => {}
            }
        };
        tokio::time::timeout(PATIENCE, both).await.expect("it is recalled");
    }
}
