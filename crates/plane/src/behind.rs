//! Up to which revision proxies have been given everything.
//!
//! A proxy that comes from another replica may have been given more there. It is told nothing here
//! until as much is given here: what it was told now could take it backwards.

use std::collections::BTreeSet;

use model::InstanceId;

use crate::tenant::Tenant;

/// The revisions of instances that were published and not yet given to proxies.
#[derive(Debug, Default)]
pub(crate) struct Behind {
    /// Not rendered: nobody has them.
    unrendered: BTreeSet<(u64, InstanceId)>,
    /// Not rendered, or on trial: at most canaries have them.
    ungiven: BTreeSet<(u64, InstanceId)>,
}

/// Since which revision an instance is behind, in one way and the other. What came after that is not
/// noted: until it has caught up, proxies may have any of it elsewhere.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Since {
    unrendered: Option<u64>,
    ungiven: Option<u64>,
}

impl Behind {
    /// Looks at an instance of which something has changed. `is_tried`: it is on trial.
    pub(crate) fn note(&mut self, id: &InstanceId, tenant: &mut Tenant, is_tried: bool) {
        let is_unrendered = tenant.pending && tenant.target().is_some();
        let revision = tenant.wanted.0;
        let since = &mut tenant.since;
        mark(&mut self.unrendered, id, &mut since.unrendered, is_unrendered, revision);
        mark(&mut self.ungiven, id, &mut since.ungiven, is_unrendered || is_tried, revision);
    }

    /// An instance is gone.
    pub(crate) fn forget(&mut self, id: &InstanceId, tenant: &mut Tenant) {
        let since = &mut tenant.since;
        mark(&mut self.unrendered, id, &mut since.unrendered, false, 0);
        mark(&mut self.ungiven, id, &mut since.ungiven, false, 0);
    }

    /// The revision before the first that canaries have not, of those up to `position`.
    pub(crate) fn rendered(&self, position: u64) -> u64 {
        before_first(&self.unrendered, position)
    }

    /// The revision before the first that not all proxies are given.
    pub(crate) fn given(&self, position: u64) -> u64 {
        before_first(&self.ungiven, position)
    }
}

fn before_first(behind: &BTreeSet<(u64, InstanceId)>, position: u64) -> u64 {
    behind.first().map_or(position, |(first, _)| position.min(first.saturating_sub(1)))
}

fn mark(
    all: &mut BTreeSet<(u64, InstanceId)>,
    id: &InstanceId,
    since: &mut Option<u64>,
    is_behind: bool,
    revision: u64,
) {
    match (*since, is_behind) {
        (None, true) => {
            all.insert((revision, id.clone()));
            *since = Some(revision);
        }
        (Some(first), false) => {
            all.remove(&(first, id.clone()));
            *since = None;
        }
        _ => {}
    }
}
