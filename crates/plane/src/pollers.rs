//! Proxies that poll. They never say what they make of an answer, so nothing is known of them but
//! what they were given last, and when: they are waited for by nobody, and prove nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use model::{Millis, Node, TypeUrl, Version, type_urls};
use tokio::time::Instant;

/// Proxies that are remembered in a group. More are answered and not shown.
const POLLERS_MAX: usize = 10_000;
/// Polls that may be missed before a proxy is believed to be gone.
const MISSED_POLLS: u32 = 4;
/// It is not believed before this, nor while nobody knows how often it polls.
const GONE_MIN: Duration = Duration::from_secs(15);
const GONE_UNKNOWN: Duration = Duration::from_secs(60);
/// Whoever polls less often than this is gone and comes back each time.
const GONE_MAX: Duration = Duration::from_secs(600);

/// A proxy that polls.
#[derive(Debug)]
pub(crate) struct Poller {
    pub(crate) node: Arc<Node>,
    /// When it came, and when it was last heard of.
    pub(crate) since: Millis,
    pub(crate) seen: Millis,
    /// The newest version that it was given.
    version: Option<Version>,
    heard: Instant,
    /// When it last asked for everything of a type, and how long it took to ask again.
    asked: BTreeMap<TypeUrl, Instant>,
    pause: Option<Duration>,
}

impl Poller {
    /// The newest version that it was given.
    pub(crate) fn version(&self) -> Option<String> {
        self.version.map(|version| version.to_string())
    }

    fn is_gone(&self) -> bool {
        let patience = self.pause.map_or(GONE_UNKNOWN, |pause| pause * MISSED_POLLS);
        self.heard.elapsed() > patience.clamp(GONE_MIN, GONE_MAX)
    }

    fn asks(&mut self, type_url: TypeUrl) {
        self.heard = Instant::now();
        // Of other types it asks for many things, one at a time.
        if matches!(type_url.as_str(), type_urls::CLUSTER | type_urls::LISTENER)
            && let Some(before) = self.asked.insert(type_url, self.heard)
        {
            self.pause = self.pause.max(Some(self.heard - before));
        }
    }
}

/// Those of a group, by `node.id`.
#[derive(Debug, Default)]
pub(crate) struct Pollers(BTreeMap<String, Poller>);

impl Pollers {
    /// A proxy was answered; whether it had not been here.
    pub(crate) fn polled(
        &mut self,
        node: &Arc<Node>,
        type_url: TypeUrl,
        version: &str,
        now: Millis,
    ) -> bool {
        let is_new = !self.0.contains_key(&node.id);
        if is_new && self.0.len() >= POLLERS_MAX {
            return false;
        }
        let poller = self.0.entry(node.id.clone()).or_insert_with(|| Poller {
            node: node.clone(),
            since: now,
            seen: now,
            version: None,
            heard: Instant::now(),
            asked: BTreeMap::new(),
            pause: None,
        });
        poller.asks(type_url);
        poller.seen = now;
        let order = |version: &Version| (version.epoch, version.revision);
        let given = Version::parse(version);
        if given.as_ref().map(order) >= poller.version.as_ref().map(order) {
            poller.version = given;
        }
        is_new
    }

    /// Forgets those that have missed too many polls; whether there were any.
    pub(crate) fn forget_gone(&mut self) -> bool {
        let before = self.0.len();
        self.0.retain(|_, poller| !poller.is_gone());
        self.0.len() < before
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Poller> {
        self.0.values().filter(|poller| !poller.is_gone())
    }

    pub(crate) fn get(&self, id: &str) -> Option<&Poller> {
        self.0.get(id).filter(|poller| !poller.is_gone())
    }

    pub(crate) fn len(&self) -> usize {
        self.iter().count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_misses_polls_is_gone() {
        let mut pollers = Pollers::default();
        let node = Arc::new(Node { id: "p".into(), ..Node::default() });
        let clusters = || TypeUrl::new(type_urls::CLUSTER);
        let poll =
            |pollers: &mut Pollers, version: &str| pollers.polled(&node, clusters(), version, 7);
        assert!(poll(&mut pollers, "1.4-000000000000000a"));
        assert_eq!(
            pollers.get("p").and_then(Poller::version).as_deref(),
            Some("1.4-000000000000000a")
        );
        tokio::time::advance(Duration::from_secs(59)).await;
        assert_eq!(pollers.len(), 1, "nobody knows how often it polls");
        tokio::time::advance(Duration::from_secs(2)).await;
        assert!(pollers.forget_gone());
        assert!(poll(&mut pollers, ""), "it is back");
        tokio::time::advance(Duration::from_secs(5)).await;
        assert!(!poll(&mut pollers, "1.9-000000000000000b"));
        tokio::time::advance(Duration::from_secs(19)).await;
        assert_eq!(pollers.len(), 1);
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(pollers.len(), 0, "four polls were missed");
    }
}
