//! How proxies come in at a replica whose listener speaks TLS.

use std::sync::Arc;

use store::sqlite::Follower;
use store::{Blobs, Feed, NodeFeed};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use xds::Ads;

use super::door::Door;
use super::issuer::Issuer;
use super::pass::Passes;
use super::revoked::Revocations;
use super::{Shows, XdsTls};

/// The entrance of a replica.
pub struct Entrance {
    tls: XdsTls,
    shows: Shows,
    passes: Arc<Passes>,
    store: Arc<Follower>,
    memory: Arc<dyn Blobs>,
}

impl Entrance {
    /// Of a replica whose listener speaks TLS. `memory` is its own, and sealed.
    pub fn new(
        tls: &XdsTls,
        store: &Arc<Follower>,
        vault: Arc<dyn context::Vault>,
        memory: &Arc<dyn Blobs>,
    ) -> Option<Arc<Self>> {
        let shows = tls.shows.clone()?;
        let (store, memory) = (Arc::clone(store), Arc::clone(memory));
        let nodes: Arc<dyn NodeFeed> = Arc::<Follower>::clone(&store);
        let signs = shows == Shows::Platform;
        let passes = Passes::new(nodes, vault, Arc::clone(&memory), signs);
        Some(Arc::new(Self { tls: tls.clone(), shows, passes, store, memory }))
    }

    /// Whether proxies can come in.
    pub fn check(&self) -> Result<(), String> {
        let why = || "waiting for a certificate of the xDS listener".to_owned();
        self.passes.is_held().then_some(()).ok_or_else(why)
    }

    /// Keeps what is shown good.
    pub async fn keep(self: Arc<Self>, stop: CancellationToken) -> anyhow::Result<()> {
        stop.run_until_cancelled(self.passes.keep()).await;
        Ok(())
    }

    /// Answers proxies once there is a certificate to be shown, and whoever is known to be revoked is
    /// shut out.
    pub async fn serve(
        self: Arc<Self>,
        listener: TcpListener,
        proxies: Ads,
        stop: CancellationToken,
    ) -> anyhow::Result<()> {
        if stop.run_until_cancelled(self.passes.first()).await.is_none() {
            return Ok(());
        }
        let issuer: Arc<dyn Issuer> = Arc::<Passes>::clone(&self.passes);
        let door = Door::open((&self.tls, self.shows.clone()), issuer, self.revocations())?;
        door.recall(&proxies).await;
        let tls = door.tls();
        let keeping = door.run(proxies.clone(), stop.clone());
        let serving =
            async { Ok(xds::serve(listener, Some(tls), proxies, stop.cancelled_owned()).await?) };
        // Together: a door that nobody keeps lets in whoever is revoked.
        tokio::try_join!(serving, keeping).map(drop)
    }

    fn revocations(&self) -> Revocations {
        let nodes: Arc<dyn NodeFeed> = Arc::<Follower>::clone(&self.store);
        let feed: Arc<dyn Feed> = Arc::<Follower>::clone(&self.store);
        Revocations::new(nodes, feed, Some(Arc::clone(&self.memory)))
    }
}
