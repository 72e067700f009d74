//! Everything that the plane knows, behind one lock; nothing here waits or renders.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use model::{InstanceId, Millis, Node, Published, TypeUrl};
use render::{Complaint, Draft};
use tokio::time::Instant;
use xds::{Event, Guard, Owner, StreamId};

use crate::behind::Behind;
use crate::diff::Wish;
use crate::edition::{Edition, Given};
use crate::good::Earlier;
use crate::group::{Group, Outcome, Refusal, Stamp};
use crate::grouping::Grouping;
use crate::renderer::Stage;
use crate::rollout::RenderedAt;
use crate::tenant::{Fallback, Target, Tenant, Terms};
use crate::{metrics, words};

/// The owner of what a group gets beside its instances. No instance's id has a slash.
pub(crate) const PLATFORM: &str = "platform/group";

/// What was rendered: for each group its resources, or why not.
pub(crate) type Rendered = Result<BTreeMap<Arc<str>, Vec<Draft>>, Vec<Complaint>>;

/// The state.
#[derive(Debug)]
pub(crate) struct State {
    /// The store's epoch.
    pub(crate) epoch: u64,
    /// Up to which revision the change feed is taken in.
    pub(crate) position: u64,
    /// What each group is rendered with.
    pub(crate) given: Given,
    pub(crate) tenants: HashMap<InstanceId, Tenant>,
    pub(crate) groups: BTreeMap<Arc<str>, Group>,
    streams: HashMap<StreamId, Arc<str>>,
    /// Which proxies get the same.
    pub(crate) grouping: Grouping,
    /// How many canaries a group has.
    pub(crate) canaries: usize,
    /// Epoch and revision of the backup that the store was restored from, while what is ahead of it
    /// is held back.
    pub(crate) restored_from: Option<(u64, u64)>,
    /// What groups guard.
    pub(crate) guard: Guard,
    /// Instances that the store does not know any more: so many at once that they are served until
    /// an operator confirms.
    pub(crate) held_removals: BTreeSet<InstanceId>,
    /// Whether the store may have come further than its feed tells.
    pub(crate) may_lag: bool,
    /// Groups that have proxies at other replicas.
    pub(crate) elsewhere: BTreeSet<String>,
    /// Up to where groups have what they are given.
    pub(crate) rendered_at: RenderedAt,
    /// What the life before has left.
    pub(crate) earlier: Earlier,
    /// What groups had that are forgotten, and is still kept.
    pub(crate) unkept: Vec<(Arc<str>, Owner)>,
    /// What was taken in and not given to all.
    pub(crate) behind: Behind,
}

impl State {
    /// Nothing but what is rendered with.
    pub(crate) fn new(edition: Edition, restored_from: Option<(u64, u64)>) -> Self {
        Self {
            epoch: 0,
            position: 0,
            given: Given::all(edition),
            tenants: HashMap::new(),
            groups: BTreeMap::new(),
            streams: HashMap::new(),
            grouping: Grouping::default(),
            canaries: 0,
            restored_from,
            guard: Guard::default(),
            held_removals: BTreeSet::new(),
            may_lag: false,
            elsewhere: BTreeSet::new(),
            rendered_at: RenderedAt::default(),
            earlier: Earlier::default(),
            unkept: Vec::new(),
            behind: Behind::default(),
        }
    }

    /// The feed begins, or begins anew after the store was restored.
    pub(crate) fn begin(&mut self, epoch: u64) {
        self.epoch = epoch;
        self.position = 0;
    }

    /// All was taken in, up to the revision that was given last.
    pub(crate) fn read_to_the_end(&mut self, revision: u64) {
        self.position = self.position.max(revision);
        self.guard_groups();
    }

    /// Takes in one entry of the feed. An instance that is gone goes at once; returns whether there
    /// is one to be rendered.
    pub(crate) fn publish(&mut self, published: Published) -> bool {
        let Published { instance, revision, spec, good, callers, withheld } = published;
        self.position = self.position.max(revision);
        let Some(spec) = spec.map(Arc::new) else {
            if self.was_newer(&instance, revision) {
                return false;
            }
            self.remove(&instance);
            return false;
        };
        self.held_removals.remove(&instance);
        let good = good.map(|(revision, spec)| (revision, Arc::new(spec)));
        let has_canaries = self.groups.values().any(Group::has_canaries);
        let tenant = self.tenants.entry(instance.clone());
        tenant.or_insert_with(|| Tenant::new(revision, spec.clone())).publish(
            (revision, spec),
            good,
            Terms { callers: callers.into(), withheld: withheld.into() },
            has_canaries,
        );
        self.look_behind(&instance);
        true
    }

    /// An instance is gone.
    pub(crate) fn remove(&mut self, id: &InstanceId) {
        self.held_removals.remove(id);
        if let Some(mut tenant) = self.tenants.remove(id) {
            self.behind.forget(id, &mut tenant);
        }
        let owner = owner_of(id);
        for group in self.groups.values_mut() {
            group.cache.pardon(&owner);
            group.remove(&owner);
        }
    }

    /// Notes whether all have been given what an instance has become.
    pub(crate) fn look_behind(&mut self, id: &InstanceId) {
        let is_tried = self.is_tried(id.as_str());
        if let Some(tenant) = self.tenants.get_mut(id) {
            self.behind.note(id, tenant, is_tried);
        }
    }

    /// Tries the latest revision of all again: what the platform gives to templates has changed.
    pub(crate) fn retry_all(&mut self) {
        let ids: Vec<InstanceId> = self.tenants.keys().cloned().collect();
        self.retry(ids);
    }

    /// The same of these.
    pub(crate) fn retry(&mut self, ids: impl IntoIterator<Item = InstanceId>) {
        for id in ids {
            self.tenants.get_mut(&id).into_iter().for_each(Tenant::retry);
            self.look_behind(&id);
        }
    }

    /// What to render an instance from.
    pub(crate) fn target(&self, id: &InstanceId) -> Option<Target> {
        self.tenants.get(id)?.target()
    }

    /// What instances are rendered with, and for whom.
    pub(crate) fn stage(&self) -> Stage {
        let mut stage = Stage { generation: self.given.generation, ..Stage::default() };
        for (name, group) in &self.groups {
            stage.add(self.given.to(name), name.clone(), group.node.clone());
        }
        stage
    }

    /// Takes in what was rendered of an instance, unless the instance has become something else
    /// meanwhile. Returns whether it must be rendered again, from an older spec.
    pub(crate) fn rendered(
        &mut self,
        id: &InstanceId,
        target: &Target,
        rendered: Rendered,
        notices: Vec<String>,
    ) -> bool {
        let again = self.take(id, target, rendered, notices);
        self.look_behind(id);
        again
    }

    fn take(
        &mut self,
        id: &InstanceId,
        target: &Target,
        rendered: Rendered,
        notices: Vec<String>,
    ) -> bool {
        let Some(tenant) = self.tenants.get_mut(id) else { return false };
        if tenant.target().is_none_or(|now| !now.is(target)) {
            // News of the feed are rendered as such; but a trial that has ended meanwhile is none.
            return tenant.pending && tenant.wanted.0 == target.wanted;
        }
        match rendered {
            Ok(drafts) => {
                tenant.notices = notices;
                self.serve(id, target, drafts);
                self.tenants.get(id).is_some_and(|tenant| tenant.pending)
            }
            Err(complaints) => {
                let reason = words::complaints(id, &complaints);
                tracing::warn!(instance = %id, revision = target.revision, %reason, "not rendered");
                let fallback = tenant.refuse_render(reason.clone());
                if fallback == Fallback::Nothing {
                    let owner = owner_of(id);
                    self.groups.values_mut().for_each(|group| group.withdraw(&owner, &reason));
                }
                fallback == Fallback::Render
            }
        }
    }

    fn serve(&mut self, id: &InstanceId, target: &Target, drafts: BTreeMap<Arc<str>, Vec<Draft>>) {
        let owner = owner_of(id);
        let is_proven = self.is_proven(&owner);
        let is_new = self.tenants.get(id).is_some_and(|tenant| tenant.is_new(target));
        let revision = target.wanted.max(self.given.revision);
        let stamp = Stamp { epoch: self.epoch, revision, served: target.revision };
        for (name, drafts) in drafts {
            if let Some(group) = self.groups.get_mut(&name) {
                let wishes = drafts.into_iter().map(Wish::from).collect();
                metrics::applied(match is_new {
                    true => group.try_first(&owner, stamp, wishes),
                    false => group.put(&owner, stamp, wishes),
                });
            }
        }
        let is_tried = self.is_tried(&owner);
        tracing::debug!(instance = %id, revision = target.revision, "applied");
        let is_unchanged = self.is_proven(&owner);
        let Some(tenant) = self.tenants.get_mut(id) else { return };
        tenant.serve(target, is_proven);
        if !is_tried {
            tenant.pass();
            tenant.owes(target);
        }
        if is_unchanged {
            tenant.prove();
        }
    }

    /// What a group gets beside its instances is this, or is not made.
    pub(crate) fn serve_group(&mut self, name: &str, made: Result<Vec<Draft>, Vec<Complaint>>) {
        let stamp = Stamp { epoch: self.epoch, revision: self.given.revision, served: 0 };
        let Some(group) = self.groups.get_mut(name) else { return };
        match made {
            Ok(drafts) => {
                group.unmade = None;
                group.put(&PLATFORM.into(), stamp, drafts.into_iter().map(Wish::from).collect());
            }
            Err(complaints) => {
                let message = complaints.first().map_or("", |first| first.message.as_str());
                tracing::error!(group = name, ?complaints, "listeners are not made, or refused");
                let what =
                    if group.open { "it keeps those that it has" } else { "it is not opened" };
                group.unmade = Some(format!("listeners of group {name}: {message}; {what}"));
            }
        }
        metrics::unmade(self.groups.values().filter(|group| group.unmade.is_some()).count());
    }

    /// Whether the fleet has taken what the groups hold of this owner. Groups without proxies have
    /// no say.
    fn is_proven(&self, owner: &str) -> bool {
        self.groups.values().any(|group| group.has_proven(owner))
            && !self.groups.values().any(|group| group.is_proving(owner))
    }

    /// Forgets groups that have had no proxy for so long.
    pub(crate) fn forget_groups(&mut self, after: Duration) {
        for group in self.groups.values_mut() {
            if group.pollers.forget_gone() && group.streams.is_empty() {
                group.alone_since = Instant::now();
            }
        }
        self.groups.retain(|name, group| {
            let is_alone = group.streams.is_empty() && group.pollers.len() == 0;
            let is_over = is_alone && group.alone_since.elapsed() >= after;
            let stays = &**name == crate::DEFAULT_GROUP || !group.open || !is_over;
            if !stays {
                self.unkept.extend(group.held.keys().map(|owner| (name.clone(), owner.clone())));
            }
            stays
        });
    }

    /// Takes in what happened on a stream. Returns instances to be rendered again, and whether
    /// anybody who waits should look again.
    pub(crate) fn happened(&mut self, event: Event, now: Millis) -> (Vec<InstanceId>, bool) {
        if let Event::Polled { node, type_url, version } = event {
            return (Vec::new(), self.polled(&node, type_url, &version, now));
        }
        let is_ordinary = matches!(event, Event::Settled { .. } | Event::Synced { .. });
        let ready = |state: &Self| state.groups.values().map(Group::ready).sum::<usize>();
        let before = ready(self);
        let outcomes = self.dispatch(event, now).unwrap_or_default();
        let is_news = !is_ordinary || !outcomes.is_empty() || ready(self) != before;
        (outcomes.into_iter().filter_map(|outcome| self.conclude(outcome)).collect(), is_news)
    }

    /// A proxy that polls was answered; whether it is new.
    fn polled(&mut self, node: &Arc<Node>, type_url: TypeUrl, version: &str, now: Millis) -> bool {
        let name = self.grouping.name(node).ok();
        let Some(group) = name.and_then(|name| self.groups.get_mut(name.as_str())) else {
            return false;
        };
        group.is_known = true;
        group.pollers.polled(node, type_url, version, now)
    }

    /// An Envoy was asked whose fault a refusal is, of what had these marks: of anything else nothing
    /// is known. Returns instances to be rendered again.
    pub(crate) fn heard(
        &mut self,
        group: &str,
        stream: StreamId,
        owner: &Owner,
        asked: &[u64],
        too: Option<String>,
    ) -> Vec<InstanceId> {
        let group = self.groups.get_mut(group).filter(|group| group.marks(owner) == asked);
        let outcomes = group.map(|group| group.heard(stream, owner, too)).unwrap_or_default();
        outcomes.into_iter().filter_map(|outcome| self.conclude(outcome)).collect()
    }

    fn dispatch(&mut self, event: Event, now: Millis) -> Option<Vec<Outcome>> {
        let event = match event {
            Event::Ahead { stream, resources } => {
                self.came_ahead(stream, resources);
                return None;
            }
            other => other,
        };
        if let Event::Opened { stream, node, .. } = &event {
            self.streams.insert(*stream, self.grouping.name(node).ok()?.into());
        }
        let name = self.streams.get(&stream_of(&event)?)?;
        let group = self.groups.get_mut(name)?;
        let outcomes = match event {
            Event::Opened { stream, node, early } => {
                group.opened(stream, node, early, now);
                Vec::new()
            }
            Event::Synced { stream, seq } => group.synced(stream, seq),
            Event::Settled { stream, owner, seq } => group.settled(stream, &owner, seq),
            Event::Rejected { stream, owner, seq, type_url, name, message } => {
                // Envoy's words may quote what it was sent.
                let message = self.given.seen.redactor.text(&message).into_owned();
                let proxy = group.proxy(stream);
                tracing::warn!(%proxy, %owner, seq, %type_url, %name, %message, "refused by a proxy");
                metrics::refused();
                group.rejected(stream, &owner, seq, Refusal { type_url, name, message })
            }
            // Taken in above, as they concern no group's changes.
            Event::Ahead { .. } | Event::Polled { .. } => Vec::new(),
            Event::Closed { stream } => {
                let outcomes = group.closed(stream);
                self.streams.remove(&stream);
                outcomes
            }
        };
        Some(outcomes)
    }

    fn conclude(&mut self, outcome: Outcome) -> Option<InstanceId> {
        let id = outcome.owner().parse::<InstanceId>().ok();
        let again = self.conclude_with(outcome);
        id.inspect(|id| self.look_behind(id));
        again
    }

    fn conclude_with(&mut self, outcome: Outcome) -> Option<InstanceId> {
        match outcome {
            Outcome::Landed(owner) => {
                if self.is_proven(&owner)
                    && let Some(tenant) = self.tenant_of(&owner)
                {
                    tenant.prove();
                }
                None
            }
            Outcome::Passed(owner) => {
                if !self.is_tried(&owner)
                    && let Some(tenant) = self.tenant_of(&owner)
                {
                    tenant.pass();
                }
                None
            }
            Outcome::Wronged(owner) => {
                let tenant = self.tenant_of(&owner)?;
                tenant.retry();
                if tenant.pending { owner.parse().ok() } else { None }
            }
            Outcome::Refused(owner, refusal) => self.quarantine(&owner, &refusal),
        }
    }

    /// Whether canaries have something of this owner that others have not.
    fn is_tried(&self, owner: &str) -> bool {
        self.groups.values().any(|group| group.canaries.tries(owner))
    }

    /// Looks after the canaries of all groups. Returns instances to be rendered again, and whether
    /// anybody who waits should look again.
    pub(crate) fn keep_canaries(&mut self) -> (Vec<InstanceId>, bool) {
        let wanted = self.canaries;
        let groups = self.groups.values_mut();
        let outcomes: Vec<Outcome> = groups
            .flat_map(|group| {
                group.canaries.wanted = wanted;
                group.keep_canaries()
            })
            .collect();
        let is_news = !outcomes.is_empty();
        (outcomes.into_iter().filter_map(|outcome| self.conclude(outcome)).collect(), is_news)
    }

    fn tenant_of(&mut self, owner: &str) -> Option<&mut Tenant> {
        self.tenants.get_mut(&owner.parse::<InstanceId>().ok()?)
    }

    fn quarantine(&mut self, owner: &Owner, refusal: &Refusal) -> Option<InstanceId> {
        let Ok(id) = owner.parse::<InstanceId>() else {
            let why = words::refusal_of_platform(refusal);
            tracing::error!(%why, "the platform's own resources are refused");
            self.given.refused = Some(why);
            let stamp = Stamp { epoch: self.epoch, revision: 0, served: 0 };
            for group in self.groups.values_mut() {
                // Without an earlier version proxies keep the listeners that they have.
                let _ = group.revert(owner, stamp);
            }
            return None;
        };
        let tenant = self.tenants.get_mut(&id)?;
        let reason = words::refusal(&id, refusal);
        tracing::warn!(instance = %id, revision = tenant.wanted.0, %reason, "quarantined");
        let fallback = tenant.refuse_served(reason.clone());
        let (revision, served) = (tenant.wanted.0, tenant.served().unwrap_or(0));
        let stamp = Stamp { epoch: self.epoch, revision, served };
        let groups = self.groups.values_mut();
        let must_render = match fallback {
            Fallback::Stay => false,
            Fallback::Render => true,
            Fallback::Before => {
                let unknown = groups.filter_map(|group| group.revert(owner, stamp).err());
                unknown.count() > 0
            }
            Fallback::Nothing => {
                groups.for_each(|group| group.withdraw(owner, &reason));
                false
            }
        };
        must_render.then_some(id)
    }
}

/// An instance as the owner of resources.
pub(crate) fn owner_of(id: &InstanceId) -> Owner {
    id.as_str().into()
}

fn stream_of(event: &Event) -> Option<StreamId> {
    match event {
        Event::Opened { stream, .. }
        | Event::Synced { stream, .. }
        | Event::Settled { stream, .. }
        | Event::Rejected { stream, .. }
        | Event::Ahead { stream, .. }
        | Event::Closed { stream } => Some(*stream),
        Event::Polled { .. } => None,
    }
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
