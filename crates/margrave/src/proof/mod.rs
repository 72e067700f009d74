//! Looks for the TXT records by which teams prove that a public hostname is theirs. Only here does
//! Margrave ask DNS for what strangers have written.

mod look;
mod message;
pub mod metrics;
mod servers;
mod txt;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use futures::future::join_all;
use futures::stream;
use model::Zone;
use store::{Look, Proof, Proofs, StoreError, Teams};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::clock;
pub use servers::Servers;

/// Between two looks at what is due: what is asked for with a change shall be looked for at once, and
/// to ask an index costs nothing.
const LOOK: Duration = Duration::from_secs(1);
/// Between two counts of what is awaited.
const COUNT_EACH: u32 = 15;
/// Hostnames that are looked for at the same time by themselves; and as many on somebody's request.
const AT_ONCE: usize = 8;
/// Taken from the store at a time.
const BATCH: usize = 64;
/// The longest that one hostname keeps a place.
const LOOK_MAX: Duration = Duration::from_secs(10);

/// What looks for proofs.
pub struct Prover {
    proofs: Arc<dyn Proofs>,
    teams: Arc<dyn Teams>,
    zones: Arc<[Zone]>,
    servers: Servers,
    /// Places of those who ask.
    places: Semaphore,
}

impl Prover {
    /// One that asks these servers.
    pub fn new(
        proofs: Arc<dyn Proofs>,
        teams: Arc<dyn Teams>,
        zones: Arc<[Zone]>,
        servers: Servers,
    ) -> Arc<Self> {
        let places = Semaphore::new(AT_ONCE);
        Arc::new(Self { proofs, teams, zones, servers, places })
    }

    /// Looks for whatever is due.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) -> anyhow::Result<()> {
        let work = async {
            for round in (0..COUNT_EACH).cycle() {
                if let Err(error) = self.round(round == 0).await {
                    tracing::warn!(%error, "proofs cannot be looked for now; tried again in a moment");
                }
                sleep(LOOK).await;
            }
        };
        stop.run_until_cancelled(work).await;
        Ok(())
    }

    async fn round(self: &Arc<Self>, count: bool) -> Result<(), StoreError> {
        if count {
            metrics::awaited(self.proofs.awaited_proofs().await?);
        }
        let due = self.proofs.due_proofs(clock::now(), BATCH).await?;
        let judge = |proof: Proof| {
            let prover = Arc::clone(self);
            async move { prover.judge(&proof).await }
        };
        let mut looks = stream::iter(due).map(judge).buffer_unordered(AT_ONCE);
        while let Some(looked) = looks.next().await {
            looked?;
        }
        Ok(())
    }

    /// Looks for one, and writes down what was found.
    async fn judge(&self, proof: &Proof) -> Result<(), StoreError> {
        let team = self.teams.team(&proof.owner).await?;
        let zones = self.zones.iter().chain(&team.policy.zones);
        let look = match look::covered(&proof.hostname, zones) {
            Some(covered) => covered,
            None => self.look_up(proof).await,
        };
        metrics::looked(&look);
        if let Look::Proven(by) = &look {
            tracing::info!(hostname = %proof.hostname, instance = %proof.instance, by, "proven");
        }
        self.proofs.looked(proof, look, clock::now()).await?;
        Ok(())
    }

    /// All names at once, the nearest of which decides what is told.
    async fn look_up(&self, proof: &Proof) -> Look {
        let one = |name: String| async {
            let texts = timeout(LOOK_MAX, txt::texts(&self.servers, &name)).await;
            let texts = texts.unwrap_or_else(|_| Err("the name servers are too slow".to_owned()));
            if texts.is_err() {
                metrics::lookup_failed();
            }
            (name, texts)
        };
        let found = join_all(proof.hostname.proof_records().map(one)).await;
        look::judge(proof, &found, clock::now())
    }
}

#[async_trait]
impl broker::Prover for Prover {
    async fn look(&self, proof: &Proof) -> Result<bool, StoreError> {
        let Ok(_place) = self.places.try_acquire() else { return Ok(false) };
        self.judge(proof).await?;
        Ok(true)
    }
}
