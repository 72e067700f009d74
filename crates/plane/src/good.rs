//! Last good: what proxies have proven is kept beside the plane, and served at once after a restart,
//! before the store has been read.
//!
//! Nothing waits for it: what has landed is marked, and written by a task of its own. What comes back
//! keeps its versions and bytes, so that proxies that come back are sent nothing.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use model::{InstanceId, Resource, Version};
use store::{Cursor, Good, Kept, LastGood, Mark};
use tokio::time::sleep;
use xds::{Change, Owner};

use crate::diff::{self, Wish};
use crate::group::{Group, Held};
use crate::state::State;
use crate::{Plane, metrics};

/// So long what lands is gathered, to be written at once.
const GATHER: Duration = Duration::from_millis(100);
/// Owners that are written at once: what the plane's lock is held for is short.
const WRITTEN_AT_ONCE: usize = 500;
/// A store that is behind is looked at at least so often.
const BEHIND: Duration = Duration::from_secs(1);
/// Fewer removals at once than this are never held back.
const REMOVALS_MIN: usize = 10;
/// More than one instance in so many, gone at once, is held back.
const REMOVALS_PART: usize = 20;
/// Between two attempts to write a file that fails.
const AGAIN: Duration = Duration::from_secs(5);

/// What is left of the life before, until the store has been read.
#[derive(Debug, Default)]
pub(crate) struct Earlier {
    /// What the feed had come to: a store that is behind it is not believed.
    mark: Option<Mark>,
    /// Instances that were served, and the newest version that each had.
    instances: HashMap<InstanceId, Mark>,
    /// An operator has confirmed that what the store does not know may go.
    is_confirmed: bool,
}

impl Plane {
    /// Serves what was kept, if anything was.
    pub(crate) async fn recall_good(&self) {
        let Some(file) = &self.last_good else { return };
        let good = match file.read().await {
            Ok(good) => good,
            Err(error) => {
                tracing::error!(%error, "the last good configuration cannot be read; the store is waited for");
                return metrics::good_ignored(1);
            }
        };
        if good.damaged > 0 {
            tracing::error!(
                rows = good.damaged,
                "some of the last good configuration is damaged, and left out"
            );
            metrics::good_ignored(good.damaged);
        }
        if good.kept.is_empty() {
            return;
        }
        let (owners, mark) = (good.kept.len(), good.mark);
        let groups = self.state().adopt(good);
        tracing::info!(
            owners,
            groups,
            epoch = mark.0,
            revision = mark.1,
            "serving what was good last; the store is not read yet"
        );
        self.tell();
    }

    /// Whether the store, read to its end, is behind what was served before; then waits a while for it
    /// to change.
    pub(crate) async fn waits_for_store(&self, read_to: &Cursor) -> bool {
        let is_behind = self.state().is_behind_itself();
        metrics::store_behind(is_behind);
        if is_behind {
            tracing::error!(
                "the store is behind what was served before: that is served until the store has come as far, or an operator confirms"
            );
            self.store.changed(read_to, BEHIND).await;
        }
        is_behind
    }

    /// Writes what has landed, as it lands.
    pub(crate) async fn keep_good(self: Arc<Self>) {
        let Some(file) = self.last_good.clone() else { return std::future::pending().await };
        let mut news = self.listen_to_news();
        loop {
            while self.keep_some(&*file).await {}
            let _ = news.changed().await;
            sleep(GATHER).await;
        }
    }

    /// Whether there is more to write.
    async fn keep_some(&self, file: &dyn LastGood) -> bool {
        let (mark, kept) = self.state().take_unkept(WRITTEN_AT_ONCE);
        if kept.is_empty() {
            return false;
        }
        let again: Vec<(Arc<str>, Owner)> =
            kept.iter().map(|it| (it.group.as_str().into(), it.owner.as_str().into())).collect();
        if let Err(error) = file.keep(mark, kept).await {
            tracing::error!(%error, "the last good configuration cannot be kept");
            metrics::good_failed();
            self.state().mark_unkept(again);
            sleep(AGAIN).await;
        }
        metrics::good_bytes(file.bytes().await);
        true
    }
}

impl State {
    /// Serves what was kept; returns how many groups there are of it.
    fn adopt(&mut self, good: Good) -> usize {
        self.epoch = good.mark.0;
        self.earlier.mark = Some(good.mark);
        // Until the store says how far it is, whoever has something newer keeps it.
        self.guard = xds::Guard { epoch: self.epoch, lost_after: None, waits: true };
        let mut names = BTreeSet::new();
        for Kept { group: name, node, owner, resources } in good.kept {
            let newest = resources.iter().map(|it| mark_of(it.version)).max().unwrap_or_default();
            if let Ok(id) = owner.parse() {
                let before = self.earlier.instances.entry(id).or_default();
                *before = newest.max(*before);
            }
            let on_demand = self.given.to(&name).platform.on_demand;
            let group = self.groups.entry(name.as_str().into()).or_insert_with(|| {
                let mut group = Group::new(&name, on_demand);
                group.node = node;
                group
            });
            group.adopt(&owner.into(), resources);
            names.insert(name);
        }
        self.guard_groups();
        for name in &names {
            if let Some(group) = self.groups.get_mut(name.as_str()) {
                group.open = true;
                group.cache.open();
            }
        }
        names.len()
    }

    /// Whether the store is behind what was served before: as a copy that lags is, or one that was put
    /// in its place. It is not believed until it has come as far, or an operator confirms.
    pub(crate) fn is_behind_itself(&self) -> bool {
        self.earlier.mark.is_some_and(|mark| (self.epoch, self.position) < mark)
    }

    /// An operator confirms: what the store does not know may go.
    pub(crate) fn confirm_earlier(&mut self) {
        self.earlier.mark = None;
        self.earlier.is_confirmed = true;
    }

    /// The feed was read to its end: what it does not know is gone, of all that is served or was in
    /// the life before. And whether that is not to be believed: so much at once is more likely a
    /// fault of the store than anybody's wish, and so is what was made after the backup that the
    /// store was restored from.
    pub(crate) fn census(&mut self, census: &HashSet<InstanceId>) -> (Vec<InstanceId>, bool) {
        let earlier = std::mem::take(&mut self.earlier);
        let known: HashSet<&InstanceId> =
            self.tenants.keys().chain(earlier.instances.keys()).collect();
        let known_count = known.len();
        let gone: Vec<InstanceId> =
            known.into_iter().filter(|id| !census.contains(*id)).cloned().collect();
        let is_lost = |id: &InstanceId| {
            let lost = self.restored_from.zip(earlier.instances.get(id));
            lost.is_some_and(|(after, newest)| newest.0 < self.epoch && *newest > after)
        };
        let too_many = gone.len() >= REMOVALS_MIN && gone.len() * REMOVALS_PART > known_count;
        let is_held = !earlier.is_confirmed && (too_many || gone.iter().any(is_lost));
        (gone, is_held)
    }

    /// Whether an instance was served in a newer version than this revision, in the life before.
    pub(crate) fn was_newer(&self, id: &InstanceId, revision: u64) -> bool {
        self.earlier.instances.get(id).is_some_and(|newest| (self.epoch, revision) < *newest)
    }

    /// What has landed since it was asked last, and what the feed has come to.
    fn take_unkept(&mut self, most: usize) -> (Mark, Vec<Kept>) {
        let mark = self.earlier.mark.unwrap_or_default().max((self.epoch, self.position));
        let mut kept = Vec::new();
        for (name, group) in &mut self.groups {
            while kept.len() < most
                && let Some(owner) = group.unkept.pop_first()
            {
                kept.extend(group.to_keep(name, &owner));
            }
        }
        while kept.len() < most
            && let Some((group, owner)) = self.unkept.pop()
        {
            let node = model::Node::default();
            let (group, owner) = (group.to_string(), owner.to_string());
            kept.push(Kept { group, node, owner, resources: Vec::new() });
        }
        (mark, kept)
    }

    fn mark_unkept(&mut self, again: Vec<(Arc<str>, Owner)>) {
        for (name, owner) in again {
            match self.groups.get_mut(&name) {
                Some(group) => drop(group.unkept.insert(owner)),
                None => self.unkept.push((name, owner)),
            }
        }
    }
}

impl Group {
    /// Holds what it held in an earlier life, which was proven then.
    fn adopt(&mut self, owner: &Owner, resources: Vec<Resource>) {
        let revision = resources.iter().map(|it| it.version.revision).max().unwrap_or(0);
        let mut wishes: Vec<Wish> = resources.iter().map(Wish::from).collect();
        self.claims.admit(owner, revision, &mut wishes);
        let change = Change { owner: owner.clone(), set: resources.clone(), remove: Vec::new() };
        let seq = self.cache.apply(vec![change]);
        let kept = resources.into_iter().map(|resource| diff::Kept { resource, seq });
        self.held.insert(owner.clone(), Held { resources: kept.collect(), before: None });
    }

    /// Whose resources are to be kept: what has landed, or what nobody is there to refuse.
    pub(crate) fn mark(&mut self, owner: &Owner) {
        if !self.is_proving(owner) {
            self.unkept.insert(owner.clone());
        }
    }

    /// What an owner has, unless it is on its way again: then it is told when that has landed.
    fn to_keep(&self, name: &str, owner: &Owner) -> Option<Kept> {
        if self.is_proving(owner) {
            return None;
        }
        let held = self.held.get(owner).map_or(&[][..], |held| &held.resources);
        let resources = held.iter().map(|kept| kept.resource.clone()).collect();
        let (group, owner) = (name.to_owned(), owner.to_string());
        Some(Kept { group, node: self.node.clone(), owner, resources })
    }
}

fn mark_of(version: Version) -> Mark {
    (version.epoch, version.revision)
}
