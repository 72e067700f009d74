//! How the proxies of one replica stand to what their groups are given: told by that replica, and taken
//! in by the one that decides.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use xds::Answers;

use super::gates::Coverage;
use super::traffic::Traffic;
use super::watch::{NAMED_MAX, refused};
use crate::Summary;
use crate::state::State;

/// Refusals that are told.
const REFUSALS_MAX: usize = 1_000;

/// What a replica tells, with its name.
pub(crate) type Told = (String, Arc<Summary>);

/// As it is told.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stands {
    /// What groups are given, as revision of when that was decided.
    given: u64,
    /// All of it was rendered.
    is_rendered: bool,
    groups: BTreeMap<String, Stand>,
    /// Whose resources are refused: the revision that is, and why.
    pub(crate) refusals: BTreeMap<String, (u64, String)>,
}

/// Of one group.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Stand {
    ready: BTreeSet<String>,
    /// Those of them that lack something.
    lack: BTreeSet<String>,
    /// How many connections have ended.
    ended: u64,
    /// Requests that were answered, refused, and failed.
    answers: (u64, u64, u64),
}

/// Up to where the cache of a group has what it is given, since when it is rendered.
#[derive(Debug, Default)]
pub(crate) struct RenderedAt {
    generation: u64,
    groups: BTreeMap<Arc<str>, u64>,
}

impl State {
    /// How the proxies here stand.
    pub(crate) fn stands(&mut self, traffic: &Traffic) -> Stands {
        let is_rendered = self.given.rendered >= self.given.generation;
        if is_rendered && self.rendered_at.generation != self.given.generation {
            let seqs = self.groups.iter().map(|(name, group)| (name.clone(), group.cache.seq()));
            self.rendered_at =
                RenderedAt { generation: self.given.generation, groups: seqs.collect() };
        }
        let known = self.groups.iter().filter(|(_, group)| group.is_known);
        let groups = known.map(|(name, group)| {
            let ids = |streams: Vec<xds::StreamId>| {
                streams.into_iter().map(|id| group.proxy(id).to_owned()).collect()
            };
            let ready = group.streams.iter().filter(|(_, stream)| stream.ready);
            // A group that came later has everything since it is open.
            let seq = self.rendered_at.groups.get(name).copied().unwrap_or_default();
            let stand = Stand {
                ready: ids(ready.map(|(id, _)| *id).collect()),
                lack: ids(group.lacking(seq)),
                ended: group.ended,
                answers: traffic.total(name).into_parts(),
            };
            (name.to_string(), stand)
        });
        let groups = groups.collect();
        let refusals =
            refused(self).map(|(owner, revision, why)| (owner.to_string(), (revision, why)));
        let refusals = refusals.take(REFUSALS_MAX).collect();
        Stands { given: self.given.revision, is_rendered, groups, refusals }
    }
}

impl Stands {
    /// Whether its proxies are given what was decided at this revision. Without proxies nobody waits.
    pub(crate) fn follows(&self, given: u64) -> bool {
        let is_idle = self.groups.values().all(|it| it.ready.is_empty());
        is_idle || (self.given >= given && self.is_rendered)
    }

    /// What groups are given, as revision of when that was decided.
    pub(crate) fn given(&self) -> u64 {
        self.given
    }

    #[cfg(test)]
    pub(crate) fn refusing(given: u64, owners: &[&str]) -> Self {
        let refusals = owners.iter().map(|owner| ((*owner).to_owned(), (1, String::new())));
        Self { given, refusals: refusals.collect(), ..Self::default() }
    }

    /// How many connections have ended, by group.
    pub(crate) fn ended(&self) -> impl Iterator<Item = (&str, u64)> {
        self.groups.iter().map(|(name, it)| (name.as_str(), it.ended))
    }

    /// What proxies have answered since the replica began, by group.
    pub(crate) fn answers(&self) -> impl Iterator<Item = (&str, Answers)> {
        self.groups.iter().map(|(name, it)| (name.as_str(), Answers::from_parts(it.answers)))
    }
}

/// Proxies of groups, each counted once: one that moves is told by two replicas for a moment.
#[derive(Debug, Default)]
pub(crate) struct Count {
    groups: BTreeMap<String, (Coverage, BTreeSet<String>)>,
}

impl Count {
    /// What stands here: `ids` are of those that are ready.
    pub(crate) fn here(&mut self, cover: Coverage, ids: BTreeSet<String>) {
        self.groups.insert(cover.group.clone(), (cover, ids));
    }

    /// And what a replica tells of a group; `ended` when this began.
    fn there(&mut self, name: &str, told: &Stand, follows: bool, ended: u64) {
        let (cover, seen) = self.groups.entry(name.to_owned()).or_default();
        name.clone_into(&mut cover.group);
        cover.ended += told.ended.saturating_sub(ended);
        for id in told.ready.iter().filter(|id| seen.insert((*id).clone())) {
            cover.expected += 1;
            if follows && !told.lack.contains(id) {
                cover.have += 1;
            } else if cover.lack.len() < NAMED_MAX {
                cover.lack.push(id.clone());
            }
        }
    }

    /// What a replica tells of the groups that are meant.
    pub(crate) fn told(
        &mut self,
        stands: &Stands,
        given: u64,
        is_meant: impl Fn(&str) -> bool,
        mut ended: impl FnMut(&str, u64) -> u64,
    ) {
        let follows = stands.follows(given);
        for (name, told) in stands.groups.iter().filter(|(name, _)| is_meant(name)) {
            self.there(name, told, follows, ended(name, told.ended));
        }
    }

    /// All of them.
    pub(crate) fn all(self) -> impl Iterator<Item = Coverage> {
        self.groups.into_values().map(|(cover, _)| cover)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn stands(given: u64, ready: &[&str], lack: &[&str]) -> Stands {
        let stand = Stand { ready: names(ready), lack: names(lack), ended: 3, ..Stand::default() };
        let groups = BTreeMap::from([("eu".to_owned(), stand)]);
        Stands { given, is_rendered: true, groups, ..Stands::default() }
    }

    fn counted(told: &[Stands]) -> (usize, usize, Vec<String>, u64) {
        let mut count = Count::default();
        let cover =
            Coverage { group: "eu".to_owned(), expected: 1, have: 1, ..Coverage::default() };
        count.here(cover, names(&["p1"]));
        for stands in told {
            count.told(stands, 7, |group| group == "eu", |_, _| 1);
        }
        let all: Vec<Coverage> = count.all().collect();
        let [cover] = all.as_slice() else { panic!("{all:?}") };
        (cover.expected, cover.have, cover.lack.clone(), cover.ended)
    }

    #[test]
    fn each_proxy_counts_once_and_only_what_follows_has_it() {
        let none = Vec::<String>::new;
        assert_eq!(counted(&[]), (1, 1, none(), 0));
        assert_eq!(counted(&[stands(7, &["p2", "p3"], &["p3"])]), (3, 2, vec!["p3".to_owned()], 2));
        assert_eq!(counted(&[stands(6, &["p2"], &[])]), (2, 1, vec!["p2".to_owned()], 2));
        let moved = [stands(7, &["p1", "p2"], &[]), stands(7, &["p2"], &[])];
        assert_eq!(counted(&moved), (2, 2, none(), 4));
        assert!(stands(6, &[], &[]).follows(7) && !stands(6, &["p"], &[]).follows(7));
    }
}
