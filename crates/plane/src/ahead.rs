//! What proxies have that is ahead of the store, and what is held back until an operator decides.
//!
//! After a restore the store is older than the fleet: proxies have instances that it does not know,
//! and newer versions of those it does. What it does not know stays with them until an operator
//! confirms that it may go.

use std::collections::{BTreeMap, BTreeSet};

use model::{InstanceId, type_urls};
use serde::Serialize;
use xds::{Ahead, Guard, StreamId};

use crate::group::Group;
use crate::state::State;
use crate::{Plane, metrics};

/// Resources remembered of one proxy: enough to see what happened.
const REMEMBERED_MAX: usize = 10_000;
/// Lines told.
const TOLD_MAX: usize = 1_000;
/// Names in a line of the log.
const LOGGED_MAX: usize = 5;

/// Something that proxies have in a version that is ahead of the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AheadView {
    /// `instance`, `hostname` or `resource`.
    pub kind: &'static str,
    /// Its id or name.
    pub name: String,
    /// The epoch and revision that a proxy has; none when it is no version of ours.
    pub version: Option<(u64, u64)>,
    /// The store does not know it, and proxies keep it. Else they are given what the store has.
    pub kept: bool,
    /// How many connected proxies came back with it.
    pub proxies: usize,
}

/// What a confirmation let go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct LetGo {
    /// Instances that a store did not know any more and that were served all the same.
    pub instances: usize,
    /// Proxies that come back and are told to give up what the store does not know.
    pub proxies: usize,
}

/// What a resource is about, by its name, which the renderer has made.
fn about(ahead: &Ahead) -> (&'static str, &str) {
    let parts = ahead.name.split_once('/');
    match (ahead.type_url.as_str(), parts) {
        (type_urls::ROUTE, Some((_, instance))) => ("instance", instance),
        (type_urls::CLUSTER | type_urls::ENDPOINT, Some((instance, _))) => ("instance", instance),
        (type_urls::SCOPED_ROUTE, Some((_, hostname))) => ("hostname", hostname),
        _ => ("resource", &*ahead.name),
    }
}

impl State {
    /// From now on proxies that come back keep what the store has lost, if it has: what is newer
    /// than all that it ever published, and what was made after the backup that it was restored
    /// from.
    pub(crate) fn watch_for_loss(&mut self) {
        let waits = self.may_lag;
        self.guard = Guard { epoch: self.epoch, lost_after: self.restored_from, waits };
        self.guard_groups();
    }

    /// Gives every group the guard, how far the feed is, and how far proxies are given what it says.
    pub(crate) fn guard_groups(&self) {
        let known = self.position.max(self.given.revision);
        let complete = self.given.reached(self.position);
        for cache in self.groups.values().flat_map(Group::caches) {
            let given = match cache.is_fork() {
                true => self.behind.rendered(complete),
                false => self.behind.given(complete),
            };
            cache.reach(known);
            cache.complete(given);
            cache.guard(self.guard);
        }
    }

    /// A proxy came back with what is ahead of the store.
    pub(crate) fn came_ahead(&mut self, id: StreamId, resources: Vec<Ahead>) {
        let streams = self.groups.values_mut().find_map(|group| group.streams.get_mut(&id));
        let Some(stream) = streams else { return };
        let names: BTreeSet<_> = resources.iter().map(about).map(|(_, name)| name).collect();
        let kept = resources.iter().filter(|ahead| ahead.kept).count();
        let some: Vec<&str> = names.iter().take(LOGGED_MAX).copied().collect();
        tracing::warn!(
            proxy = stream.node.id,
            resources = resources.len(),
            kept,
            names = names.len(),
            some = some.join(" "),
            "a proxy has what is ahead of the store; what the store does not know stays until an operator confirms"
        );
        let room = REMEMBERED_MAX.saturating_sub(stream.ahead.len());
        stream.ahead.extend(resources.into_iter().take(room));
    }

    /// What proxies have that is ahead of the store, at most [`TOLD_MAX`].
    pub(crate) fn ahead(&self) -> Vec<AheadView> {
        let mut found: BTreeMap<(&str, &str), AheadView> = BTreeMap::new();
        for stream in self.groups.values().flat_map(|group| group.streams.values()) {
            let mut here = BTreeSet::new();
            for ahead in &stream.ahead {
                let (kind, name) = about(ahead);
                let view = found.entry((kind, name)).or_insert_with(|| AheadView {
                    kind,
                    name: name.to_owned(),
                    version: None,
                    kept: false,
                    proxies: 0,
                });
                view.version = view.version.max(ahead.version.map(|it| (it.epoch, it.revision)));
                view.kept |= ahead.kept && !self.is_known(kind, name);
                view.proxies += usize::from(here.insert((kind, name)));
            }
        }
        found.into_values().take(TOLD_MAX).collect()
    }

    /// Whether the store has it (again).
    fn is_known(&self, kind: &str, name: &str) -> bool {
        let id = || name.parse::<InstanceId>().ok();
        kind == "instance" && id().is_some_and(|id| self.tenants.contains_key(&id))
    }

    /// An operator has decided: what is held back goes.
    fn let_go(&mut self) -> (Vec<InstanceId>, usize) {
        self.restored_from = None;
        self.confirm_earlier();
        self.guard = Guard::default();
        self.guard_groups();
        let streams = self.groups.values().flat_map(|group| group.streams.values());
        let proxies = streams.filter(|stream| stream.ahead.iter().any(|it| it.kept)).count();
        let gone: Vec<InstanceId> = std::mem::take(&mut self.held_removals).into_iter().collect();
        gone.iter().for_each(|id| self.remove(id));
        (gone, proxies)
    }
}

impl Plane {
    /// An operator confirms that what the store does not know may go from the proxies, too.
    pub fn confirm_removals(&self) -> LetGo {
        let (gone, proxies) = self.state().let_go();
        gone.iter().for_each(|id| self.resolver.forget(id));
        metrics::removals_held(0);
        tracing::warn!(instances = gone.len(), proxies, "removals confirmed");
        self.tell();
        LetGo { instances: gone.len(), proxies }
    }
}
