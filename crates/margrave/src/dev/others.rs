//! The other replicas of the control plane: what they tell of their proxies, put together with what
//! is known here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use model::{InstanceId, Millis};
use plane::{Convergence, Plane, Summary};
use store::{Summaries, Told};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::regions::Regions;
use crate::clock;

/// So long what changes is gathered before it is told.
const GATHER: Duration = Duration::from_millis(20);
/// A replica tells at least so often that it lives.
const BEAT: Duration = Duration::from_secs(1);
/// A replica that has told nothing for so long is not waited for, and its proxies are shown stale.
const LEASE_MS: Millis = 10_000;
/// Telling takes no more than one part in so many of a replica's time.
const PART: u32 = 10;
/// Between two looks at what the others tell.
const LOOK: Duration = Duration::from_millis(25);
/// The same while nobody tells anything: looking for nothing forty times a second would be most of what
/// a platform at rest does.
const LOOK_ALONE: Duration = Duration::from_millis(200);
/// A replica that has told nothing for so long is forgotten.
const FORGOTTEN_MS: Millis = 3_600_000;

/// Tells of the proxies of this process, until `stop`.
pub async fn tell(
    plane: Arc<Plane>,
    summaries: Arc<dyn Summaries>,
    replica: String,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let telling = async {
        loop {
            let begin = Instant::now();
            let summary = serde_json::to_vec(&plane.summary()).unwrap_or_default();
            let told = Told { replica: replica.clone(), at: clock::now(), summary };
            if let Err(error) = summaries.tell(told).await {
                tracing::warn!(%error, "nobody can be told of the proxies here");
            }
            let took = begin.elapsed();
            plane.news(BEAT).await;
            sleep(GATHER.max(took * PART)).await;
        }
    };
    stop.run_until_cancelled(telling).await;
    Ok(summaries.leave(&replica).await?)
}

/// What the others have told.
pub struct Others {
    own: String,
    known: Mutex<BTreeMap<String, Known>>,
    news: watch::Sender<()>,
    regions: Regions,
}

#[derive(Clone)]
struct Known {
    at: Millis,
    summary: Arc<Summary>,
}

impl Known {
    fn is_stale(&self, now: Millis) -> bool {
        now.saturating_sub(self.at) > LEASE_MS
    }
}

impl Others {
    /// Nobody yet; `own`: the replica that this process is.
    pub fn new(own: &str) -> Arc<Self> {
        let (own, known) = (own.to_owned(), Mutex::default());
        let (news, regions) = (watch::Sender::new(()), Regions::default());
        Arc::new(Self { own, known, news, regions })
    }

    /// Follows what they tell, until `stop`.
    pub async fn follow(
        self: Arc<Self>,
        plane: Arc<Plane>,
        summaries: Arc<dyn Summaries>,
        stop: CancellationToken,
    ) -> anyhow::Result<()> {
        let following = async {
            let mut heard = None;
            loop {
                if let Err(error) = self.look(&plane, &*summaries).await {
                    tracing::warn!(%error, "what other replicas tell cannot be read");
                    sleep(BEAT).await;
                }
                if heard.is_none_or(|at: Instant| at.elapsed() >= BEAT) {
                    heard = Some(Instant::now());
                    let (here, now) = (plane.regions(), clock::now());
                    self.regions.heard(here.iter().map(String::as_str), now);
                    self.regions.forget(now);
                }
                sleep(if self.known().is_empty() { LOOK_ALONE } else { LOOK }).await;
            }
        };
        stop.run_until_cancelled(following).await;
        Ok(())
    }

    async fn look(
        &self,
        plane: &Plane,
        summaries: &dyn Summaries,
    ) -> Result<(), store::StoreError> {
        let seen: Vec<_> = self.known().iter().map(|(name, it)| (name.clone(), it.at)).collect();
        let (told, names) = summaries.told(&seen).await?;
        let now = clock::now();
        let is_same = told.is_empty() && seen.iter().all(|(name, _)| names.contains(name));
        {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            known.retain(|name, it| {
                names.contains(name) && now.saturating_sub(it.at) < FORGOTTEN_MS
            });
            for Told { replica, at, summary } in told {
                let fresh = replica != self.own && now.saturating_sub(at) < FORGOTTEN_MS;
                if let Some(summary) = serde_json::from_slice(&summary).ok().filter(|_| fresh) {
                    let summary: Arc<Summary> = Arc::new(summary);
                    self.regions.heard(summary.proxies.iter().map(|it| it.region.as_str()), at);
                    known.insert(replica, Known { at, summary });
                }
            }
        }
        let fresh = self.fresh(now);
        metrics::gauge!("margrave_replicas").set(fresh.len() as f64);
        let oldest = self.known().values().map(|it| now.saturating_sub(it.at)).max().unwrap_or(0);
        metrics::gauge!("margrave_replicas_staleness_seconds").set(oldest as f64 / 1000.0);
        plane.elsewhere(fresh);
        if !is_same {
            self.news.send_replace(());
        }
        Ok(())
    }

    fn known(&self) -> BTreeMap<String, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn fresh(&self, now: Millis) -> Vec<(String, Arc<Summary>)> {
        let known = self.known().into_iter().filter(|(_, it)| !it.is_stale(now));
        known.map(|(name, it)| (name, it.summary)).collect()
    }

    /// Their proxies, each with the replica that it is connected to, and whether that has told
    /// nothing for too long. One that has moved on since is told where it is now: `here` and the
    /// replica that it connected to last come first.
    pub fn proxies(&self, here: &[plane::Proxy]) -> Vec<(String, bool, plane::Proxy)> {
        let now = clock::now();
        let mut seen: BTreeSet<String> = here.iter().map(|proxy| proxy.id.clone()).collect();
        let known = self.known();
        let all = known.iter().flat_map(|(name, it)| {
            let line = |proxy: &plane::Proxy| (name.clone(), it.is_stale(now), proxy.clone());
            it.summary.proxies.iter().map(line).collect::<Vec<_>>()
        });
        let mut all: Vec<_> = all.collect();
        all.sort_by_key(|(_, is_stale, it)| (*is_stale, std::cmp::Reverse(it.connected_at)));
        all.retain(|(_, _, proxy)| seen.insert(proxy.id.clone()));
        all
    }

    /// Instances that proxies of any replica are not served at their latest revision.
    pub fn quarantined(&self, plane: &Plane) -> BTreeSet<InstanceId> {
        let mut all = plane.quarantined();
        for (_, summary) in self.fresh(clock::now()) {
            all.extend(summary.quarantined().cloned());
        }
        all
    }

    /// The regions of all replicas, and for how long nothing was told of each; `here` are connected here.
    pub fn regions(&self, here: &[plane::Proxy]) -> Vec<(String, Millis)> {
        let now = clock::now();
        self.regions.heard(here.iter().map(|it| it.region.as_str()), now);
        self.regions.staleness(now)
    }

    /// What is measured of regions, as Prometheus reads it.
    pub fn exposition(&self) -> String {
        self.regions.exposition(clock::now())
    }

    /// How far the proxies of all replicas are: what is known here, and what the others tell.
    pub async fn converged(
        &self,
        plane: &Plane,
        id: &InstanceId,
        revision: u64,
        within: Duration,
    ) -> Convergence {
        let deadline = Instant::now() + within;
        let mut news = self.news.subscribe();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let here = plane.converged(id, revision, left).await;
            let there = self.fresh(clock::now());
            let all = there.iter().map(|(_, it)| it.converged(id, revision)).fold(here, and);
            if !matches!(all, Convergence::Behind { .. }) || Instant::now() >= deadline {
                return all;
            }
            // The lease of a replica that stopped ends without news.
            let _ =
                tokio::time::timeout_at(deadline.min(Instant::now() + BEAT), news.changed()).await;
        }
    }
}

/// Two replicas together: refused by one is refused; behind at one is behind.
fn and(one: Convergence, other: Convergence) -> Convergence {
    use Convergence::{Behind, Live, Rejected};
    match (one, other) {
        (Rejected { reason }, _) | (_, Rejected { reason }) => Rejected { reason },
        (Live { proxies: a, notice }, Live { proxies: b, notice: more }) => {
            Live { proxies: a + b, notice: notice.or(more) }
        }
        (Behind { have: a, ready: b, why }, Behind { have, ready, why: more }) => {
            Behind { have: a + have, ready: b + ready, why: both(why, &more) }
        }
        (Live { proxies, .. }, Behind { have, ready, why })
        | (Behind { have, ready, why }, Live { proxies, .. }) => {
            Behind { have: have + proxies, ready: ready + proxies, why }
        }
    }
}

/// What two replicas wait for; the same is said once.
fn both(why: String, more: &str) -> String {
    let is_said = why.split("; ").any(|said| said == more);
    if is_said { why } else { format!("{why}; {more}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_is_behind_is_behind_for_all_and_proxies_add_up() {
        let live = |proxies| Convergence::Live { proxies, notice: None };
        let behind =
            |have, ready, why: &str| Convergence::Behind { have, ready, why: why.to_owned() };
        let rejected = || Convergence::Rejected { reason: "no".to_owned() };
        assert_eq!(and(live(2), live(3)), live(5));
        assert_eq!(and(live(2), behind(1, 2, "b")), behind(3, 4, "b"));
        assert_eq!(and(behind(1, 2, "a"), behind(0, 1, "b")), behind(1, 3, "a; b"));
        assert_eq!(and(behind(0, 1, "a; b"), behind(0, 1, "b")), behind(0, 2, "a; b"));
        assert_eq!(and(behind(1, 2, "a"), rejected()), rejected());
        assert_eq!(and(rejected(), live(1)), rejected());
    }
}
