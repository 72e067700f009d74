//! Clusters that a client on streams of single types has acknowledged and does not use yet.
//!
//! On one stream, a client acknowledges a cluster when it has its endpoints. On streams of single
//! types it does so at once, opens a stream for the endpoints, and uses the new or changed cluster
//! when they have come. Until then what names the cluster must wait.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::cache::Key;
use crate::lane::Lane;

/// A client that was sent a cluster asks for its endpoints within this, unless nothing was new to
/// it.
const ASKS_WITHIN: Duration = Duration::from_secs(1);

/// What is awaited of one cluster's endpoints.
#[derive(Debug)]
struct Awaited {
    /// They are asked for on a lane after this one.
    after: Lane,
    /// Until when, while they are not.
    until: Option<Instant>,
}

/// Endpoints of clusters that were sent.
#[derive(Debug, Default)]
pub(crate) struct Warming {
    awaited: HashMap<Key, Awaited>,
    last: Lane,
}

impl Warming {
    /// A lane began to ask for a type.
    pub(crate) fn began(&mut self, lane: Lane) {
        self.last = self.last.max(lane);
    }

    /// A cluster was sent on a lane, which these endpoints may be of.
    pub(crate) fn sent(&mut self, lane: Lane, endpoints: impl Iterator<Item = Key>, now: Instant) {
        if lane == Lane::ONLY {
            return;
        }
        for key in endpoints {
            let awaited = Awaited { after: self.last, until: Some(now + ASKS_WITHIN) };
            self.awaited.insert(key, awaited);
        }
    }

    /// A resource was asked for.
    pub(crate) fn asked(&mut self, lane: Lane, key: Key) {
        if let Some(awaited) = self.awaited.get_mut(&key).filter(|it| lane > it.after) {
            awaited.until = None;
        }
    }

    /// The lane ended on which a resource was asked for, and maybe not answered. Who comes back with
    /// what it has is not sent it again.
    pub(crate) fn left(&mut self, key: Key, now: Instant) {
        if let Some(awaited) = self.awaited.get_mut(&key) {
            awaited.until = Some(now + ASKS_WITHIN);
        }
    }

    /// A resource was acknowledged on a lane. One that has many is `shared` by clusters: it is
    /// asked on for those that come, too.
    pub(crate) fn taken(&mut self, lane: Lane, shared: bool, key: Key) {
        if self.awaited.get(&key).is_some_and(|it| shared || lane > it.after) {
            self.awaited.remove(&key);
        }
    }

    /// Whether one of those is awaited that matter.
    pub(crate) fn awaits(&self, matters: impl Fn(Key) -> bool, now: Instant) -> bool {
        let mut awaited =
            self.awaited.iter().filter(|(_, it)| it.until.is_none_or(|until| now < until));
        awaited.any(|(key, _)| matters(*key))
    }

    /// Keeps those that are there.
    pub(crate) fn retain(&mut self, is_there: impl Fn(Key) -> bool) {
        self.awaited.retain(|key, _| is_there(*key));
    }

    /// Gives back memory that is not needed.
    pub(crate) fn fit(&mut self) {
        self.awaited.shrink_to_fit();
    }

    /// When something ends to be awaited though nothing happens.
    pub(crate) fn ends(&self) -> impl Iterator<Item = Instant> {
        self.awaited.values().filter_map(|it| it.until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: Key = Key { table: 1, slot: 7 };

    #[test]
    fn endpoints_are_awaited_on_a_lane_of_their_own() {
        let now = Instant::now();
        let late = now + ASKS_WITHIN;
        let mut warming = Warming::default();
        warming.began(Lane(3));
        let awaits = |warming: &Warming, at| warming.awaits(|key| key == KEY, at);
        warming.sent(Lane::ONLY, [KEY].into_iter(), now);
        assert!(!awaits(&warming, now), "on one stream the acknowledgement says it");
        warming.sent(Lane(2), [KEY].into_iter(), now);
        assert!(awaits(&warming, now) && !awaits(&warming, late));
        warming.taken(Lane(3), false, KEY);
        assert!(awaits(&warming, now), "that was of the cluster before");
        warming.asked(Lane(4), KEY);
        assert!(awaits(&warming, late), "asked for, they will be taken");
        warming.left(KEY, now);
        assert!(awaits(&warming, now) && !awaits(&warming, late), "its stream ended");
        warming.taken(Lane(4), false, KEY);
        assert!(!awaits(&warming, now));
        warming.sent(Lane(2), [KEY].into_iter(), now);
        warming.taken(Lane(3), true, KEY);
        assert!(!awaits(&warming, now), "on a lane of many none of its own is opened");
    }
}
