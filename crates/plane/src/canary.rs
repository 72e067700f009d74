//! Who of a group is a canary: the proxies that get a tenant's change before the others do, and
//! whose word on it counts.
//!
//! A canary is served from a cache of its own, a fork of the group's. A proxy that is to become one
//! is recalled, and moves there on the streams that it has, or comes back. One that no longer counts stays there until
//! nothing is under trial: what it has may be newer than what the others have, and no proxy goes
//! backwards.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use model::{Node, TypeUrl, Version};
use tokio::time::Instant;
use xds::{Cache, Owner};

/// Smaller groups have no canaries.
pub(crate) const GROUP_MIN: usize = 3;
/// So long a canary that is silent is waited for, or one that has not come yet, or for which there is
/// no other; then the next proxy becomes one.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);
/// So long a canary whose stream broke is waited for while another could be one. An Envoy tries to
/// connect again within half a second, at first.
pub(crate) const RECONNECT: Duration = Duration::from_secs(1);
/// So many times a change waits that long. Then it goes to all, as where there is no canary.
pub(crate) const TRIES_MAX: usize = 3;
/// Canaries that go away while a change is on its way to them: one is an accident.
pub(super) const BROKE_MAX: usize = 2;
/// For so long a canary's lone verdict is remembered: it convicts nobody else alone meanwhile. And
/// so long a proxy that was wrong is no canary again.
const MEMORY: Duration = Duration::from_mins(10);
/// Verdicts remembered of one proxy.
const VERDICTS_MAX: usize = 100;
/// Proxies of which something is remembered.
const RECORDS_MAX: usize = 1_000;

/// The canaries of a group, and what is under trial there.
#[derive(Debug, Default)]
pub(crate) struct Canaries {
    /// How many there shall be.
    pub(crate) wanted: usize,
    /// What they are served from; made when there is the first.
    pub(super) cache: Option<Arc<Cache>>,
    /// Who is served from it, or shall be, by `node.id`.
    pub(super) members: BTreeMap<String, Member>,
    pub(super) trials: BTreeMap<Owner, Trial>,
    records: BTreeMap<String, Record>,
}

/// A proxy that is served from the canaries' cache.
#[derive(Debug)]
pub(crate) struct Member {
    /// Its word counts, and it is waited for.
    pub(super) counts: bool,
    /// Since when it has no stream.
    pub(super) away_since: Option<Instant>,
    /// It had one here.
    pub(super) was_here: bool,
    /// When it was last given the canaries' cache: its stream may not have been heard of yet.
    assigned: Option<Instant>,
}

impl Member {
    fn new(counts: bool) -> Self {
        Self { counts, away_since: None, was_here: false, assigned: None }
    }

    /// Whether it is away for too long. `has_next`: another could take its place.
    pub(super) fn is_lost(&self, has_next: bool, now: Instant) -> bool {
        let patience = if has_next && self.was_here { RECONNECT } else { PATIENCE };
        self.away_since.is_some_and(|since| now.duration_since(since) >= patience)
    }

    /// Whether a stream of it may be on its way.
    pub(super) fn may_come(&self, now: Instant) -> bool {
        self.assigned.is_some_and(|at| now.duration_since(at) < PATIENCE)
    }
}

/// A change that canaries have and others have not.
#[derive(Debug)]
pub(crate) struct Trial {
    /// When canaries were last given time for it.
    pub(super) since: Instant,
    pub(super) begun: Instant,
    pub(super) tries: usize,
    /// Names that went meanwhile.
    pub(super) gone: Vec<(TypeUrl, Arc<str>)>,
    /// Canaries that went away while it was on its way to them.
    pub(super) broke: BTreeSet<String>,
    /// Others that went away since the first of those did, though they were never given it.
    pub(super) left: usize,
    /// It was refused: what it goes back to is being prepared.
    pub(super) is_condemned: bool,
}

/// What is remembered of a proxy that was a canary.
#[derive(Debug, Default)]
struct Record {
    /// Whom it convicted, with nobody else's word.
    convicted: Vec<(Owner, Instant)>,
    banned_until: Option<Instant>,
}

impl Canaries {
    /// Whether a change of a group of so many ready proxies waits for a canary.
    pub(crate) fn take_first(&self, ready: usize) -> bool {
        let counting = || self.members.values().filter(|member| member.counts);
        let away = counting().filter(|member| member.away_since.is_some()).count();
        self.cache.is_some() && counting().count() > 0 && ready + away >= GROUP_MIN
    }

    /// How many count, those included who are on their way.
    pub(super) fn counting(&self) -> usize {
        self.members.values().filter(|member| member.counts).count()
    }

    /// Whether this proxy's word counts.
    pub(crate) fn counts(&self, id: &str) -> bool {
        self.members.get(id).is_some_and(|member| member.counts)
    }

    /// Whether this owner's latest change is under trial.
    pub(crate) fn tries(&self, owner: &str) -> bool {
        self.trials.contains_key(owner)
    }

    /// How many changes are under trial.
    pub(crate) fn trials(&self) -> usize {
        self.trials.len()
    }

    /// What a proxy is served from, if it is not what all are. `is_here`: it has a stream there.
    pub(super) fn assign(&mut self, id: &str, is_here: bool) -> Option<Arc<Cache>> {
        let now = Instant::now();
        let member = self.members.get_mut(id)?;
        // It cannot have anything that the others have not.
        if !member.counts && self.trials.is_empty() && !is_here && !member.may_come(now) {
            self.members.remove(id);
            return None;
        }
        member.assigned = Some(now);
        self.cache.clone()
    }

    /// A stream to the canaries' cache is there.
    pub(super) fn came(&mut self, id: &str) {
        let member = self.members.entry(id.to_owned()).or_insert_with(|| Member::new(false));
        (member.was_here, member.away_since) = (true, None);
    }

    /// A proxy becomes a canary.
    pub(super) fn appoint(&mut self, id: &str) {
        self.members.insert(id.to_owned(), Member::new(true));
    }

    /// A stream has ended that was not to the canaries' cache. (One of a member is on its way there.)
    pub(super) fn another_left(&mut self, id: &str) {
        if !self.members.contains_key(id) {
            let broken = self.trials.values_mut().filter(|trial| !trial.broke.is_empty());
            broken.for_each(|trial| trial.left += 1);
        }
    }

    /// It counts no more.
    pub(super) fn retire(&mut self, id: &str) {
        if let Some(member) = self.members.get_mut(id) {
            member.counts = false;
        }
    }

    /// In which order proxies become canaries: those that are marked (`canary: true` in their
    /// metadata), then by a hash of their names, which is the same in every process. None: not
    /// this one.
    pub(super) fn turn(&self, node: &Node, now: Instant) -> Option<(bool, u64)> {
        if node.id.is_empty()
            || self.is_banned(&node.id, now)
            || self.members.contains_key(&node.id)
        {
            return None;
        }
        let is_marked = node.metadata.get("canary").is_some_and(|value| value == "true");
        Some((!is_marked, Version::hash_of(node.id.as_bytes())))
    }

    /// Whether it was wrong lately.
    pub(super) fn is_banned(&self, id: &str, now: Instant) -> bool {
        let record = self.records.get(id);
        record.and_then(|record| record.banned_until).is_some_and(|until| until > now)
    }

    /// Whether a canary's word alone is not enough against this owner: it has convicted another
    /// lately.
    pub(super) fn is_doubted(&self, id: &str, owner: &Owner, now: Instant) -> bool {
        let convicted = self.records.get(id).map_or(&[][..], |record| &record.convicted);
        convicted.iter().any(|(other, at)| other != owner && now.duration_since(*at) < MEMORY)
    }

    /// A canary has convicted an owner alone.
    pub(super) fn remember(&mut self, id: &str, owner: &Owner, now: Instant) {
        self.records.retain(|_, record| record.is_fresh(now));
        if self.records.len() >= RECORDS_MAX {
            return;
        }
        let convicted = &mut self.records.entry(id.to_owned()).or_default().convicted;
        convicted.retain(|(other, _)| other != owner);
        if convicted.len() < VERDICTS_MAX {
            convicted.push((owner.clone(), now));
        }
    }

    /// A canary refused what another took: it is none for a while. Returns whom it had convicted
    /// alone.
    pub(super) fn ban(&mut self, id: &str, now: Instant) -> Vec<Owner> {
        self.retire(id);
        let record = self.records.entry(id.to_owned()).or_default();
        record.banned_until = Some(now + MEMORY);
        std::mem::take(&mut record.convicted).into_iter().map(|(owner, _)| owner).collect()
    }
}

impl Record {
    fn is_fresh(&self, now: Instant) -> bool {
        self.banned_until.is_some_and(|until| until > now)
            || self.convicted.iter().any(|(_, at)| now.duration_since(*at) < MEMORY)
    }
}

impl Trial {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            since: now,
            begun: now,
            tries: 0,
            gone: Vec::new(),
            broke: BTreeSet::new(),
            left: 0,
            is_condemned: false,
        }
    }

    /// Whether more canaries broke off under it than proxies go by themselves. One is an accident,
    /// and where others go as well the network may be at fault.
    pub(super) fn is_deadly(&self) -> bool {
        self.broke.len() >= BROKE_MAX + self.left
    }

    /// Whether canaries have had their time.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        !self.is_condemned && now.duration_since(self.since) >= PATIENCE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(id: &str, canary: &str) -> Node {
        let metadata = [("canary".to_owned(), canary.to_owned())].into();
        Node { id: id.to_owned(), metadata, ..Node::default() }
    }

    #[tokio::test(start_paused = true)]
    async fn a_lone_verdict_is_enough_once_and_a_wrong_one_costs_the_role() {
        let mut canaries = Canaries { wanted: 1, ..Canaries::default() };
        let (a, b): (Owner, Owner) = ("a".into(), "b".into());
        let now = Instant::now();
        canaries.appoint("p1");
        assert!(!canaries.is_doubted("p1", &a, now));
        canaries.remember("p1", &a, now);
        assert!(!canaries.is_doubted("p1", &a, now), "the same once more");
        assert!(canaries.is_doubted("p1", &b, now));
        assert!(!canaries.is_doubted("p1", &b, now + MEMORY));
        assert_eq!(canaries.ban("p1", now), [a]);
        assert!(!canaries.counts("p1"));
        canaries.members.clear();
        assert_eq!(canaries.turn(&node("p1", "true"), now), None);
        assert!(canaries.turn(&node("p1", "true"), now + MEMORY).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_marked_is_preferred_and_a_proxy_without_a_name_is_none() {
        let canaries = Canaries::default();
        let now = Instant::now();
        let turn = |id: &str, canary: &str| canaries.turn(&node(id, canary), now);
        assert!(turn("p1", "true") < turn("p2", "false"));
        assert!(turn("p2", "true") < turn("p1", ""));
        assert_eq!(turn("p1", ""), turn("p1", "no"));
        assert_eq!(turn("", "true"), None);
    }

    #[tokio::test(start_paused = true)]
    async fn small_groups_have_none_and_a_canary_that_is_away_for_a_moment_is_one() {
        let mut canaries = Canaries { wanted: 1, ..Canaries::default() };
        assert!(!canaries.take_first(9));
        canaries.cache = Some(Arc::new(Cache::default()));
        canaries.appoint("p1");
        assert!(canaries.take_first(3));
        assert!(!canaries.take_first(2));
        canaries.members.get_mut("p1").unwrap().away_since = Some(Instant::now());
        assert!(canaries.take_first(2));
        canaries.retire("p1");
        assert!(!canaries.take_first(9));
    }
}
