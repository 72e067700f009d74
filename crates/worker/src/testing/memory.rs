//! What the ports of the store mean, in maps: a model to judge the worker by, not a store to use.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use model::{
    Direction, Hostname, Instance, InstanceId, InstanceState, Job, Millis, Operation, OperationId,
    OperationKind, OperationState, Published,
};
use store::{
    Accept, Accepted, Changes, Cursor, Fence, Filter, HostnameOwner, Lease, Page, Queue, Refusal,
    Save, Store, StoreError, Write,
};

/// As few as make a test of what is forgotten short.
pub(crate) const OPERATIONS_KEPT: usize = 8;

#[derive(Default)]
pub(crate) struct Memory(Mutex<State>);

#[derive(Default)]
pub(crate) struct State {
    pub(crate) instances: BTreeMap<InstanceId, Instance>,
    pub(crate) operations: Vec<Operation>,
    pub(crate) jobs: BTreeMap<OperationId, Waiting>,
    pub(crate) fences: BTreeMap<OperationId, u64>,
    pub(crate) claims: BTreeMap<Hostname, (InstanceId, Millis)>,
    pub(crate) published: BTreeMap<InstanceId, Published>,
    pub(crate) revision: u64,
    pub(crate) saves: usize,
    /// Nothing can be read or written.
    pub(crate) down: bool,
    /// An operation whose publish was committed although it had one before.
    pub(crate) published_twice: Option<OperationId>,
}

pub(crate) struct Waiting {
    /// When it may be leased: the end of its lease, or what `release` said.
    pub(crate) ready_at: Millis,
    since: Millis,
    leased: bool,
    tries: u32,
    /// The lease that was taken away.
    pub(crate) revoked: Option<Fence>,
}

impl Waiting {
    fn new(now: Millis) -> Self {
        Self { ready_at: now, since: now, leased: false, tries: 0, revoked: None }
    }

    /// Waits for whoever still holds the job in whose place this one comes.
    fn take_over(&mut self, job: Option<Self>, operation: &OperationId, fence: Option<&u64>) {
        let Some(job) = job else { return };
        let held = fence.filter(|_| job.leased);
        let held = held.map(|number| Fence { operation: operation.clone(), number: *number });
        self.revoked = held.or(job.revoked);
        if self.revoked.is_some() {
            self.ready_at = job.ready_at;
        }
    }
}

impl Memory {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn up(&self) -> Result<MutexGuard<'_, State>, StoreError> {
        let state = self.state();
        if state.down { Err(StoreError::Unavailable("the disk is full".into())) } else { Ok(state) }
    }
}

impl State {
    /// An operator's word, as the store takes it.
    pub(crate) fn direct(&mut self, id: &OperationId, direction: &Direction, now: Millis) {
        let found = self.operations.iter_mut().find(|operation| operation.id == *id);
        found.expect("is there").direct(direction, "an operator", now).expect("makes sense");
        let mut job = Waiting::new(now);
        job.take_over(self.jobs.remove(id), id, self.fences.get(id));
        self.jobs.insert(id.clone(), job);
    }

    fn operation(&self, id: &OperationId) -> Option<&Operation> {
        self.operations.iter().find(|operation| operation.id == *id)
    }

    /// Whose the instance of an operation is.
    fn team(&self, id: &OperationId) -> String {
        let instance = self.operation(id).and_then(|of| self.instances.get(&of.instance));
        instance.map_or_else(String::new, |instance| instance.owner.space.clone())
    }

    fn owner(&self, hostname: &Hostname) -> Option<HostnameOwner> {
        let (id, since) = self.claims.get(hostname)?;
        let instance = self.instances.get(id)?;
        Some(HostnameOwner {
            hostname: hostname.clone(),
            instance: id.clone(),
            service: instance.spec.parameters.service.to_string(),
            owner: instance.owner.clone(),
            since: *since,
        })
    }

    fn refusal(&self, accept: &Accept, expected: Option<Millis>) -> Option<Refusal> {
        let id = &accept.operation.instance;
        let running = |o: &&Operation| o.instance == *id && o.state == OperationState::InProgress;
        let stands = |o: &&Operation| {
            accept.over.as_ref() != Some(&o.id) || !o.gives_way_to(&accept.operation)
        };
        if let Some(busy) = self.operations.iter().find(running).filter(stands) {
            return Some(Refusal::Busy(Box::new(busy.clone())));
        }
        if self.instances.get(id).map(|instance| instance.updated_at) != expected {
            return Some(Refusal::Changed);
        }
        let owners = accept.claim.iter().filter_map(|name| self.owner(name));
        let taken: Vec<_> = owners.filter(|owner| owner.instance != *id).collect();
        (!taken.is_empty()).then_some(Refusal::Taken(taken))
    }

    fn accept(&mut self, accept: Accept) {
        let (operation, id) = (accept.operation, accept.instance.id.clone());
        let afresh = self.instances.get(&id).is_none_or(|instance| {
            matches!(instance.state, InstanceState::Deleted | InstanceState::Failed)
        });
        for name in accept.claim {
            self.claims.entry(name).or_insert_with(|| (id.clone(), operation.created_at));
        }
        let mut job = Waiting::new(operation.created_at);
        if let Some(over) = accept.over {
            let older = self.operations.iter_mut().find(|older| older.id == over);
            older.into_iter().for_each(|older| older.give_way_to(&operation));
            job.take_over(self.jobs.remove(&over), &over, self.fences.get(&over));
        }
        self.jobs.insert(operation.id.clone(), job);
        if afresh && operation.kind == OperationKind::Provision {
            self.instances.insert(id, accept.instance);
        } else if let Some(instance) = self.instances.get_mut(&id) {
            instance.updated_at = operation.created_at.max(instance.updated_at + 1);
            if operation.kind == OperationKind::Deprovision {
                instance.state = InstanceState::Deprovisioning;
            }
        }
        let of = |o: &Operation| o.instance == operation.instance;
        if self.operations.iter().filter(|o| of(o)).count() >= OPERATIONS_KEPT {
            let oldest = self.operations.iter().position(of);
            oldest.map(|at| self.operations.remove(at));
        }
        self.operations.push(operation);
    }

    fn fenced(&self, fence: &Fence) -> bool {
        !self.jobs.get(&fence.operation).is_some_and(|job| job.leased)
            || self.fences.get(&fence.operation) != Some(&fence.number)
    }

    fn reschedule(&mut self, fence: &Fence, at: Millis, held: bool) -> Result<(), StoreError> {
        let holds = !self.fenced(fence);
        let revoked = |job: &&mut Waiting| job.revoked.as_ref() == Some(fence);
        let job = match holds {
            true => self.jobs.get_mut(&fence.operation),
            false => self.jobs.values_mut().find(revoked),
        };
        let job = job.ok_or(StoreError::Fenced)?;
        job.ready_at = at;
        if !held {
            (job.leased, job.revoked, job.tries) = (false, None, 0);
        }
        Ok(())
    }

    fn write(&mut self, id: &InstanceId, write: Write) -> Option<u64> {
        match write {
            Write::Publish(spec) => {
                if let Some(instance) = self.instances.get_mut(id) {
                    instance.spec = spec.clone();
                    instance.state = InstanceState::Ready;
                }
                return Some(self.publish(id, Some(spec)));
            }
            Write::Unpublish => return Some(self.publish(id, None)),
            Write::MarkGood(revision) => {
                let published = self.published.get_mut(id);
                if let Some(published) = published.filter(|p| p.revision == revision) {
                    published.good = None;
                }
            }
            Write::Release(names) => {
                self.claims.retain(|name, (holder, _)| holder != id || !names.contains(name));
            }
            Write::ReleaseAll => self.claims.retain(|_, (holder, _)| holder != id),
            Write::State(state) => {
                if let Some(instance) = self.instances.get_mut(id) {
                    instance.state = state;
                }
            }
        }
        None
    }

    fn publish(&mut self, id: &InstanceId, spec: Option<model::Spec>) -> u64 {
        self.revision += 1;
        let before = self.published.get(id);
        let good = before.and_then(|p| match &p.good {
            Some(good) => Some(good.clone()),
            None => p.spec.clone().map(|spec| (p.revision, spec)),
        });
        let good = good.filter(|_| spec.is_some());
        let published = Published {
            instance: id.clone(),
            revision: self.revision,
            spec,
            good,
            callers: vec![],
            withheld: vec![],
        };
        self.published.insert(id.clone(), published);
        if let Some(instance) = self.instances.get_mut(id) {
            instance.revision = Some(self.revision);
        }
        self.revision
    }
}

#[async_trait]
impl Store for Memory {
    async fn epoch(&self) -> Result<u64, StoreError> {
        Ok(1)
    }

    async fn accept(
        &self,
        accept: Accept,
        expected: Option<Millis>,
    ) -> Result<Accepted, StoreError> {
        let mut state = self.state();
        if let Some(refusal) = state.refusal(&accept, expected) {
            return Ok(Accepted::No(refusal));
        }
        state.accept(accept);
        Ok(Accepted::Yes)
    }

    async fn instance(&self, id: &InstanceId) -> Result<Option<Instance>, StoreError> {
        Ok(self.up()?.instances.get(id).cloned())
    }

    async fn instances(&self, _filter: Filter) -> Result<Page<Instance>, StoreError> {
        Ok(Page { items: self.up()?.instances.values().cloned().collect(), next: None })
    }

    async fn operation(&self, id: &OperationId) -> Result<Option<Operation>, StoreError> {
        Ok(self.up()?.operation(id).cloned())
    }

    async fn operations(
        &self,
        instance: &InstanceId,
        limit: usize,
    ) -> Result<Vec<Operation>, StoreError> {
        let state = self.up()?;
        let of = state.operations.iter().rev().filter(|o| o.instance == *instance);
        Ok(of.take(limit).cloned().collect())
    }

    async fn hostname(&self, hostname: &Hostname) -> Result<Option<HostnameOwner>, StoreError> {
        Ok(self.up()?.owner(hostname))
    }

    async fn claims(&self, instance: &InstanceId) -> Result<Vec<HostnameOwner>, StoreError> {
        let state = self.up()?;
        let names = state.claims.iter().filter(|(_, claim)| claim.0 == *instance);
        Ok(names.filter_map(|(name, _)| state.owner(name)).collect())
    }

    async fn save(&self, save: Save) -> Result<Option<u64>, StoreError> {
        let mut state = self.up()?;
        if state.fenced(&save.fence) {
            return Err(StoreError::Fenced);
        }
        state.saves += 1;
        let Save { mut operation, writes, fence, .. } = save;
        let mut revision = None;
        for write in writes {
            revision = state.write(&operation.instance, write).or(revision);
        }
        let stored = state.operation(&operation.id).and_then(|stored| stored.revision);
        if revision.is_some() && stored.is_some() {
            state.published_twice = Some(operation.id.clone());
        }
        operation.revision = revision.or(operation.revision);
        state.jobs.entry(fence.operation.clone()).and_modify(|job| job.tries = 1);
        if operation.state != OperationState::InProgress {
            state.jobs.remove(&fence.operation);
        }
        if let Some(stored) = state.operations.iter_mut().find(|o| o.id == operation.id) {
            *stored = operation;
        }
        Ok(revision)
    }

    async fn changes(&self, cursor: Option<Cursor>, _limit: usize) -> Result<Changes, StoreError> {
        let state = self.up()?;
        let after = cursor.and_then(|c| c.0.parse().ok()).unwrap_or(0);
        let mut changes: Vec<_> =
            state.published.values().filter(|p| p.revision > after).cloned().collect();
        changes.sort_by_key(|change| change.revision);
        Ok(Changes {
            reached: changes.last().map_or(0, |change| change.revision),
            changes,
            reset: after == 0,
            cursor: Cursor(state.revision.to_string()),
            more: false,
        })
    }

    async fn changed(&self, _cursor: &Cursor, _timeout: Duration) {}

    async fn forget(&self, _before: Millis) -> Result<usize, StoreError> {
        Ok(0)
    }
}

#[async_trait]
impl Queue for Memory {
    async fn lease_beside(
        &self,
        now: Millis,
        lease: Duration,
        full: &[String],
    ) -> Result<Option<Lease>, StoreError> {
        let mut state = self.up()?;
        let until = now + crate::config::millis(lease);
        let of_others = |id: &OperationId| !full.contains(&state.team(id));
        let ready = state.jobs.iter().filter(|(id, job)| job.ready_at <= now && of_others(id));
        let first = ready.min_by_key(|(_, job)| job.ready_at).map(|(id, _)| id.clone());
        let Some(id) = first else { return Ok(None) };
        let team = state.team(&id);
        let Some(job) = state.jobs.get_mut(&id) else { return Ok(None) };
        (job.ready_at, job.leased, job.revoked) = (until, true, None);
        job.tries += 1;
        let tries = job.tries;
        let number = state.fences.entry(id.clone()).or_default();
        *number += 1;
        let fence = Fence { operation: id.clone(), number: *number };
        Ok(Some(Lease { job: Job { operation_id: id }, team, fence, until, tries }))
    }

    async fn extend(&self, fence: &Fence, until: Millis) -> Result<(), StoreError> {
        self.up()?.reschedule(fence, until, true)
    }

    async fn release(&self, fence: &Fence, at: Millis) -> Result<(), StoreError> {
        self.up()?.reschedule(fence, at, false)
    }

    async fn wake(&self, operation: &OperationId, now: Millis) -> Result<(), StoreError> {
        let mut state = self.up()?;
        let job = state.jobs.get_mut(operation);
        if let Some(job) = job.filter(|job| !job.leased && job.revoked.is_none()) {
            job.ready_at = job.ready_at.min(now);
        }
        Ok(())
    }

    async fn bury(&self, fence: &Fence, why: &str, now: Millis) -> Result<(), StoreError> {
        let mut state = self.up()?;
        if state.fenced(fence) {
            return Err(StoreError::Fenced);
        }
        state.jobs.remove(&fence.operation);
        let found = state.operations.iter_mut().find(|o| o.id == fence.operation);
        found.into_iter().for_each(|operation| {
            operation.state = OperationState::Failed;
            operation.error = Some(why.to_owned());
            operation.finished_at = Some(now);
        });
        Ok(())
    }

    async fn revoked(&self, fence: &Fence) {
        let is_revoked =
            || self.state().jobs.values().any(|job| job.revoked.as_ref() == Some(fence));
        while !is_revoked() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn sweep(&self, now: Millis) -> Result<usize, StoreError> {
        let mut state = self.up()?;
        let State { operations, jobs, .. } = &mut *state;
        let open = operations.iter().filter(|o| o.state == OperationState::InProgress);
        let lost: Vec<_> =
            open.filter(|o| !jobs.contains_key(&o.id)).map(|o| o.id.clone()).collect();
        let count = lost.len();
        jobs.extend(lost.into_iter().map(|id| (id, Waiting::new(now))));
        Ok(count)
    }

    async fn depth(&self, now: Millis) -> Result<(usize, Millis), StoreError> {
        let state = self.up()?;
        let oldest = state.jobs.values().map(|job| job.since).min();
        Ok((state.jobs.len(), oldest.map_or(0, |since| now - since)))
    }

    async fn ready(&self, timeout: Duration) {
        tokio::time::sleep(timeout).await;
    }
}
