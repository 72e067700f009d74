//! What is seen of the groups that have a new edition, since a stage began: here and at other replicas.

use std::collections::{BTreeMap, BTreeSet};

use tokio::time::Instant;
use xds::Owner;

use super::gates::{Coverage, Facts};
use super::stands::{Count, Told};
use super::traffic::{Mark, Traffic};
use crate::state::{State, owner_of};

/// Of those that lack something, so many are named.
pub(super) const NAMED_MAX: usize = 20;
/// Refusals that are told.
const REFUSALS_MAX: usize = 20;

/// How things were when a stage began.
#[derive(Debug)]
pub(crate) struct Watch {
    /// When.
    pub(crate) since: Instant,
    /// The edition that is watched.
    edition: u64,
    groups: BTreeMap<String, Start>,
    /// Connections that had ended, by replica and group.
    ended: BTreeMap<(String, String), u64>,
    /// Whose resources were refused already.
    known: BTreeSet<Owner>,
    mark: Mark,
}

#[derive(Debug, Default)]
struct Start {
    expected: usize,
    ended: u64,
    /// The sequence number of its cache by which all of the edition was there.
    rendered_at: Option<u64>,
}

impl Watch {
    /// Begins, before groups are given the edition.
    pub(crate) fn new(
        state: &State,
        traffic: &Traffic,
        edition: u64,
        (told, there): (&[Told], &BTreeSet<String>),
    ) -> Self {
        let groups = state.groups.iter().map(|(name, group)| {
            let start = Start { ended: group.ended, ..Start::default() };
            (name.to_string(), start)
        });
        let groups = groups.collect();
        let ended = told.iter().flat_map(|(replica, it)| {
            let ended = it.stands.ended();
            ended.map(|(group, ended)| ((replica.clone(), group.to_owned()), ended))
        });
        let ended = ended.collect();
        let known = refused(state).map(|(owner, ..)| owner);
        let known = known.chain(there.iter().map(|owner| owner.as_str().into())).collect();
        let mark = traffic.mark();
        Self { since: Instant::now(), edition, groups, ended, known, mark }
    }

    /// What was seen until now.
    pub(crate) fn facts(&mut self, state: &State, traffic: &Traffic, told: &[Told]) -> Facts {
        let is_rendered = state.given.rendered >= state.given.generation;
        let given = state.given.revision;
        let edition = self.edition;
        let of = |name: &str| state.given.to(name).number == edition;
        let mut count = self.here(state, is_rendered, of);
        for (replica, summary) in told {
            let ended = |name: &str, now: u64| {
                *self.ended.entry((replica.clone(), name.to_owned())).or_insert(now)
            };
            count.told(&summary.stands, given, of, ended);
        }
        let groups = count.all().map(|mut cover| {
            let start = self.groups.entry(cover.group.clone()).or_default();
            start.expected = start.expected.max(cover.expected);
            cover.expected = start.expected;
            cover
        });
        let groups = groups.collect();
        let (before, now) = traffic.between(&self.mark, of);
        let is_rendered = is_rendered && told.iter().all(|(_, it)| it.stands.follows(given));
        Facts { is_rendered, groups, refusals: self.refusals(state, told), before, now }
    }

    fn here(&mut self, state: &State, is_rendered: bool, of: impl Fn(&str) -> bool) -> Count {
        let mut count = Count::default();
        for (name, group) in state.groups.iter().filter(|(name, _)| of(name)) {
            let start = self.groups.entry(name.to_string()).or_default();
            if is_rendered && start.rendered_at.is_none() {
                start.rendered_at = Some(group.cache.seq());
            }
            let lacking = start.rendered_at.map(|seq| group.lacking(seq)).unwrap_or_default();
            let lack = lacking.iter().take(NAMED_MAX).map(|id| group.proxy(*id).to_owned());
            let cover = Coverage {
                group: name.to_string(),
                expected: group.ready(),
                have: if is_rendered { group.ready().saturating_sub(lacking.len()) } else { 0 },
                lack: lack.collect(),
                ended: group.ended.saturating_sub(start.ended),
            };
            let ready = group.streams.values().filter(|stream| stream.ready);
            count.here(cover, ready.map(|stream| stream.id().to_owned()).collect());
        }
        count
    }

    /// What is refused that was not before; of tenants only what they have not changed since.
    fn refusals(&self, state: &State, told: &[Told]) -> Vec<String> {
        let there = told.iter().flat_map(|(_, it)| {
            let refusals = it.stands.refusals.iter();
            refusals.map(|(owner, (revision, why))| (owner.as_str().into(), *revision, why.clone()))
        });
        let mut new = BTreeMap::new();
        for (owner, revision, why) in refused(state).chain(there) {
            if revision <= state.given.revision && !self.known.contains(&owner) {
                new.entry(owner).or_insert(why);
            }
        }
        new.into_values().take(REFUSALS_MAX).collect()
    }
}

/// What is refused: whose, at which revision, and why.
pub(super) fn refused(state: &State) -> impl Iterator<Item = (Owner, u64, String)> {
    let quarantined = state.tenants.iter().filter_map(|(id, tenant)| {
        let why = tenant.quarantine.as_ref()?;
        Some((owner_of(id), tenant.wanted.0, format!("service {id}: {why}")))
    });
    let alone = state.groups.iter().flat_map(move |(name, group)| {
        group.refused().map(move |(owner, refusal)| {
            let why = format!("{}, by a proxy of {name}: {}", refusal.name, refusal.message);
            let tenant = owner.parse().ok();
            let tenant = tenant.and_then(|id: model::InstanceId| state.tenants.get(&id));
            (owner.clone(), tenant.map_or(0, |tenant| tenant.wanted.0), why)
        })
    });
    let unmade = state.groups.values().filter_map(|group| group.unmade.as_ref());
    let listeners = state.given.refused.iter().chain(unmade);
    let listeners = listeners.map(|why| (crate::state::PLATFORM.into(), 0, why.clone()));
    listeners.chain(quarantined).chain(alone)
}
