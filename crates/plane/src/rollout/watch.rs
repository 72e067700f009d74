//! What is seen of the groups that have a new edition, since a stage began.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::time::Instant;
use xds::Owner;

use super::gates::{Coverage, Facts};
use super::traffic::{Mark, Traffic};
use crate::state::{State, owner_of};

/// Of those that lack something, so many are named.
const NAMED_MAX: usize = 20;
/// Refusals that are told.
const REFUSALS_MAX: usize = 20;

/// How things were when a stage began.
#[derive(Debug)]
pub(crate) struct Watch {
    /// When.
    pub(crate) since: Instant,
    /// The edition that is watched.
    edition: u64,
    groups: BTreeMap<Arc<str>, Start>,
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
    pub(crate) fn new(state: &State, traffic: &Traffic, edition: u64) -> Self {
        let groups = state.groups.iter().map(|(name, group)| {
            let start = Start { ended: group.ended, ..Start::default() };
            (name.clone(), start)
        });
        let groups = groups.collect();
        let known = refused(state, u64::MAX).map(|(owner, _)| owner).collect();
        let mark = traffic.mark();
        Self { since: Instant::now(), edition, groups, known, mark }
    }

    /// What was seen until now.
    pub(crate) fn facts(&mut self, state: &State, traffic: &Traffic) -> Facts {
        let is_rendered = state.given.rendered >= state.given.generation;
        let of = |name: &str| state.given.to(name).number == self.edition;
        let mut groups = Vec::new();
        for (name, group) in state.groups.iter().filter(|(name, _)| of(name)) {
            let start = self.groups.entry(name.clone()).or_default();
            start.expected = start.expected.max(group.ready());
            if is_rendered && start.rendered_at.is_none() {
                start.rendered_at = Some(group.cache.seq());
            }
            let lacking = start.rendered_at.map(|seq| group.lacking(seq)).unwrap_or_default();
            groups.push(Coverage {
                group: name.to_string(),
                expected: start.expected,
                have: if is_rendered { group.ready().saturating_sub(lacking.len()) } else { 0 },
                lack: lacking
                    .iter()
                    .take(NAMED_MAX)
                    .map(|id| group.proxy(*id).to_owned())
                    .collect(),
                ended: group.ended.saturating_sub(start.ended),
            });
        }
        let new =
            refused(state, state.given.revision).filter(|(owner, _)| !self.known.contains(owner));
        let refusals = new.map(|(_, why)| why).take(REFUSALS_MAX).collect();
        let (before, now) = traffic.between(&self.mark, of);
        Facts { is_rendered, groups, refusals, before, now }
    }
}

/// What is refused, and why; of tenants only what they have not changed after `until`.
fn refused(state: &State, until: u64) -> impl Iterator<Item = (Owner, String)> {
    let quarantined = state.tenants.iter().filter_map(move |(id, tenant)| {
        let why = tenant.quarantine.as_ref()?;
        (tenant.wanted.0 <= until).then(|| (owner_of(id), format!("service {id}: {why}")))
    });
    let alone = state.groups.iter().flat_map(move |(name, group)| {
        group.refused().map(move |(owner, refusal)| {
            let why = format!("{}, by a proxy of {name}: {}", refusal.name, refusal.message);
            (owner.clone(), why)
        })
    });
    let alone = alone.filter(move |(owner, _)| {
        let tenant = owner.parse().ok().and_then(|id: model::InstanceId| state.tenants.get(&id));
        tenant.is_none_or(|tenant| tenant.wanted.0 <= until)
    });
    let listeners =
        state.given.refused.iter().map(|why| (crate::state::PLATFORM.into(), why.clone()));
    listeners.chain(quarantined).chain(alone)
}
