//! The store, watched: it is the real one, in memory; what was committed is remembered, and what
//! may never be is told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use model::{
    AuditEntry, Direction, Hostname, Instance, InstanceId, Millis, Operation, OperationId,
    OperationState, Published, Requester, StepState,
};
use store::sqlite::{JobSeen, Options, Sqlite};
use store::{
    Accept, Accepted, Audit, AuditFilter, Changes, Cursor, Directed, Fence, Filter, HostnameOwner,
    Lease, Operators, Page, Queue, Save, Store, StoreError, Write,
};

use super::super::world::{lock, now};
use crate::Clock;
use crate::carry::TRIES_MAX;
use crate::config::millis;

pub(crate) struct Witness {
    sqlite: Mutex<Sqlite>,
    name: String,
    clock: Clock,
    pub(crate) watched: Mutex<Watched>,
}

/// What was committed, as far as laws speak of it.
#[derive(Default)]
pub(crate) struct Watched {
    /// Every operation that was ever accepted, as last committed, in the order of acceptance.
    pub(crate) operations: BTreeMap<OperationId, Operation>,
    /// The newest operation of each instance.
    pub(crate) newest: BTreeMap<InstanceId, OperationId>,
    /// Who works on an instance.
    pub(crate) holders: BTreeMap<InstanceId, Holder>,
    /// Instances of which something was committed since this was last emptied.
    pub(crate) touched: BTreeSet<InstanceId>,
    /// Operations that have ended since this was last emptied.
    pub(crate) ended: Vec<Operation>,
    /// Operations that were accepted since this was last emptied, and what their instance held
    /// before.
    pub(crate) accepted: Vec<(Operation, Vec<Hostname>)>,
    /// What operators have said, and was done.
    pub(crate) directed: Vec<(OperationId, Direction)>,
    /// What was given up.
    pub(crate) buried: BTreeSet<OperationId>,
    /// Leases of a job that a worker took up, since anything came of one.
    fruitless: BTreeMap<OperationId, u32>,
    /// What may never be.
    pub(crate) wrongs: Vec<String>,
    revision: u64,
}

/// The lease that was given last.
#[derive(Debug, Clone)]
pub(crate) struct Holder {
    pub(crate) fence: Fence,
    until: Millis,
    /// Neither given back nor ended.
    holds: bool,
}

static MADE: AtomicU32 = AtomicU32::new(0);

impl Witness {
    pub(crate) fn new(clock: Clock) -> Self {
        let name = format!("world-{}", MADE.fetch_add(1, Ordering::Relaxed));
        let sqlite = Mutex::new(open(&name, &clock));
        Self { sqlite, name, clock, watched: Mutex::default() }
    }

    /// The process that has the store dies, and another opens it.
    pub(crate) fn reopen(&self) {
        let again = open(&self.name, &self.clock);
        *lock(&self.sqlite) = again;
        lock(&self.watched).holders.values_mut().for_each(|holder| holder.holds = false);
    }

    pub(crate) fn sqlite(&self) -> Sqlite {
        lock(&self.sqlite).clone()
    }

    pub(crate) fn jobs(&self) -> Vec<JobSeen> {
        self.sqlite().jobs().expect("jobs are read")
    }

    pub(crate) fn published(&self, id: &InstanceId) -> Option<Published> {
        self.sqlite().published(id).expect("the feed is read")
    }

    /// The operation has no job any more, nor a lease of it.
    pub(crate) fn lose_job(&self, id: &OperationId) {
        self.sqlite().lose_job(id).expect("is lost");
        let mut watched = lock(&self.watched);
        watched.fruitless.remove(id);
        let instance = watched.operations.get(id).map(|operation| operation.instance.clone());
        let holder = instance.and_then(|instance| watched.holders.get_mut(&instance));
        holder.into_iter().for_each(|holder| holder.holds = false);
    }

    /// An instance, whatever workers can see of it.
    pub(crate) fn find(&self, id: &InstanceId) -> Option<Instance> {
        now(self.sqlite().instance(id)).expect("instances are read")
    }

    /// The names that an instance holds.
    pub(crate) fn claims_of(&self, id: &InstanceId) -> Vec<Hostname> {
        let claims = now(self.sqlite().claims(id)).expect("claims are read");
        claims.into_iter().map(|claim| claim.hostname).collect()
    }

    /// The first operation that is in progress.
    pub(crate) fn open_operation(&self) -> Option<Operation> {
        lock(&self.watched).open().next().cloned()
    }

    /// The newest operation of an instance.
    pub(crate) async fn newest(&self, id: &InstanceId) -> Option<Operation> {
        self.operations(id, 1).await.expect("operations are read").pop()
    }

    /// Does what an operator says.
    pub(crate) async fn direct(
        &self,
        id: &OperationId,
        direction: Direction,
        at: Millis,
    ) -> Result<Directed, StoreError> {
        let by = Requester {
            credential: "operator".into(),
            originating_identity: None,
            request_identity: None,
        };
        let answer = self.sqlite().direct(id, direction.clone(), by, at).await?;
        if let Directed::Yes(operation) = &answer {
            lock(&self.watched).directed(operation, direction);
        }
        Ok(answer)
    }

    /// Writes the last entry of the audit log once more.
    pub(crate) async fn tell_again(&self) -> Result<(), StoreError> {
        let filter = AuditFilter { latest_first: true, limit: 1, ..AuditFilter::default() };
        let last = self.sqlite().entries(filter).await?.records.pop();
        let last: Option<AuditEntry> = last.map(|record| record.entry()).transpose()?;
        match last.filter(|entry| entry.action.starts_with("operation.")) {
            Some(entry) => self.sqlite().append((self.clock)(), entry).await,
            None => Ok(()),
        }
    }
}

fn open(name: &str, clock: &Clock) -> Sqlite {
    Sqlite::in_memory(name, Options::new(clock.clone())).expect("opens")
}

impl Watched {
    fn wrong(&mut self, what: impl Into<String>) {
        self.wrongs.push(what.into());
    }

    /// Whether somebody else was given the instance after this lease.
    pub(crate) fn is_overtaken(&self, fence: &Fence) -> bool {
        let instance = self.operations.get(&fence.operation).map(|o| &o.instance);
        let holder = instance.and_then(|instance| self.holders.get(instance));
        holder.is_some_and(|holder| holder.fence != *fence)
    }

    fn accept(&mut self, operation: &Operation, over: Option<Operation>, claims: Vec<Hostname>) {
        self.accepted.push((operation.clone(), claims));
        let instance = operation.instance.clone();
        let before = self.newest.insert(instance.clone(), operation.id.clone());
        // It may have ended by itself meanwhile.
        let is_open = |o: &Operation| o.state == OperationState::InProgress;
        let cut = over.filter(|over| self.operations.get(&over.id).is_some_and(is_open));
        if let Some(cut) = cut {
            self.saved(&cut);
        }
        let before = before.and_then(|id| self.operations.get(&id));
        if before.is_some_and(|before| before.state == OperationState::InProgress) {
            self.wrong(format!("{instance} has two operations in progress"));
        }
        self.operations.insert(operation.id.clone(), operation.clone());
        self.touched.insert(instance);
    }

    /// The operations that are in progress.
    pub(crate) fn open(&self) -> impl Iterator<Item = &Operation> {
        self.operations.values().filter(|o| o.state == OperationState::InProgress)
    }

    fn saved(&mut self, operation: &Operation) {
        let id = operation.id.clone();
        let before = self.operations.insert(id.clone(), operation.clone());
        if before.as_ref().is_some_and(|before| before.state != OperationState::InProgress) {
            self.wrong(format!("{id} has ended and was written again"));
        }
        if let Some(wrong) = before.and_then(|before| forgotten(&before, operation)) {
            self.wrong(format!("{id} {wrong}"));
        }
        self.touched.insert(operation.instance.clone());
        if operation.state != OperationState::InProgress {
            self.ended.push(operation.clone());
        }
    }

    /// An operator has said something, and it was done.
    fn directed(&mut self, operation: &Operation, direction: Direction) {
        self.fruitless.remove(&operation.id);
        self.directed.push((operation.id.clone(), direction));
        self.saved(operation);
    }

    /// A worker begins to work under a lease.
    pub(crate) fn taken_up(&mut self, lease: &Lease) {
        let id = &lease.fence.operation;
        let fruitless = self.fruitless.entry(id.clone()).or_default();
        *fruitless += 1;
        if *fruitless > TRIES_MAX + 1 {
            self.wrong(format!("{id} was taken up time and again, and nothing came of it"));
        }
    }

    /// What a worker has committed.
    fn committed(&mut self, save: &Save, revision: Option<u64>) {
        let id = &save.operation.id;
        if self.is_overtaken(&save.fence) {
            self.wrong(format!("a worker that was fenced out has written {id}"));
        }
        if let Some(revision) = revision {
            self.publishes(save, revision);
        }
        let mut operation = save.operation.clone();
        operation.revision = revision.or(operation.revision);
        if operation.state != OperationState::InProgress
            && let Some(holder) = self.holders.get_mut(&operation.instance)
        {
            holder.holds = false;
        }
        self.fruitless.remove(&operation.id);
        self.saved(&operation);
    }

    fn publishes(&mut self, save: &Save, revision: u64) {
        let operation = &save.operation;
        let id = &operation.id;
        if revision <= self.revision {
            self.wrong(format!("{id} has published revision {revision} after {}", self.revision));
        }
        self.revision = revision;
        if self.operations.get(id).is_some_and(|before| before.revision.is_some()) {
            self.wrong(format!("{id} has published twice"));
        }
        if self.newest.get(&operation.instance) != Some(id) {
            self.wrong(format!("{id} has published after another had come in its place"));
        }
        let asked = |write: &Write| match write {
            Write::Publish(spec) => operation.target.as_ref() == Some(spec),
            Write::Unpublish => operation.target.is_none(),
            _ => true,
        };
        if !save.writes.iter().all(asked) {
            self.wrong(format!("{id} has published what was not asked"));
        }
    }

    pub(crate) fn leased(&mut self, lease: &Lease, now: Millis) {
        // What has run out once has, also where the clock is set back after it.
        for holder in self.holders.values_mut() {
            holder.holds &= holder.until > now;
        }
        let id = &lease.job.operation_id;
        let Some(operation) = self.operations.get(id) else { return };
        let (instance, ended) =
            (operation.instance.clone(), operation.state != OperationState::InProgress);
        if ended {
            self.wrong(format!("{id} has ended and was leased"));
        }
        let holder = Holder { fence: lease.fence.clone(), until: lease.until, holds: true };
        let before = self.holders.insert(instance, holder);
        if let Some(before) = before.filter(|before| before.holds) {
            self.wrong(format!("{id} was leased while {:?} held it", before.fence));
        }
    }

    fn rescheduled(&mut self, fence: &Fence, until: Millis, holds: bool) {
        if !holds {
            self.fruitless.remove(&fence.operation);
        }
        let holder = self.holders.values_mut().find(|holder| holder.fence == *fence);
        if let Some(holder) = holder {
            (holder.until, holder.holds) = (until, holds);
        }
    }
}

/// What the newer record of an operation does not know any more: what was done stays done, and is not
/// begun again; what has failed or was cancelled only goes back.
fn forgotten(before: &Operation, after: &Operation) -> Option<String> {
    if before.error.is_some() && after.error.is_none() {
        return Some("has forgotten that it had failed or was cancelled".to_owned());
    }
    let back = after.error.is_some();
    before.steps.iter().find_map(|old| {
        let new = after.steps.iter().find(|new| new.name == old.name);
        let state = new.map_or(StepState::Pending, |new| new.state);
        let stays = match old.state {
            StepState::Done => back || state == StepState::Done,
            StepState::Undone => state == StepState::Undone,
            _ => true,
        };
        let is_told = new.is_some_and(|new| new.skipped == old.skipped) || old.skipped.is_none();
        let name = &old.name;
        (!stays || !is_told).then(|| format!("had {name} behind it, and does it again: {state:?}"))
    })
}

#[async_trait]
impl Store for Witness {
    async fn epoch(&self) -> Result<u64, StoreError> {
        self.sqlite().epoch().await
    }

    async fn accept(
        &self,
        accept: Accept,
        expected: Option<Millis>,
    ) -> Result<Accepted, StoreError> {
        let (operation, over) = (accept.operation.clone(), accept.over.clone());
        let claims = self.claims_of(&operation.instance);
        let accepted = self.sqlite().accept(accept, expected).await?;
        if accepted == Accepted::Yes {
            let over = match over {
                Some(over) => self.sqlite().operation(&over).await?,
                None => None,
            };
            lock(&self.watched).accept(&operation, over, claims);
        }
        Ok(accepted)
    }

    async fn instance(&self, id: &InstanceId) -> Result<Option<Instance>, StoreError> {
        self.sqlite().instance(id).await
    }

    async fn instances(&self, filter: Filter) -> Result<Page<Instance>, StoreError> {
        self.sqlite().instances(filter).await
    }

    async fn operation(&self, id: &OperationId) -> Result<Option<Operation>, StoreError> {
        self.sqlite().operation(id).await
    }

    async fn operations(
        &self,
        instance: &InstanceId,
        limit: usize,
    ) -> Result<Vec<Operation>, StoreError> {
        self.sqlite().operations(instance, limit).await
    }

    async fn hostname(&self, hostname: &Hostname) -> Result<Option<HostnameOwner>, StoreError> {
        self.sqlite().hostname(hostname).await
    }

    async fn claims(&self, instance: &InstanceId) -> Result<Vec<HostnameOwner>, StoreError> {
        self.sqlite().claims(instance).await
    }

    async fn save(&self, save: Save) -> Result<Option<u64>, StoreError> {
        let revision = self.sqlite().save(save.clone()).await?;
        lock(&self.watched).committed(&save, revision);
        Ok(revision)
    }

    async fn changes(&self, cursor: Option<Cursor>, limit: usize) -> Result<Changes, StoreError> {
        self.sqlite().changes(cursor, limit).await
    }

    async fn changed(&self, cursor: &Cursor, timeout: Duration) {
        self.sqlite().changed(cursor, timeout).await;
    }

    async fn forget(&self, before: Millis) -> Result<usize, StoreError> {
        self.sqlite().forget(before).await
    }
}

#[async_trait]
impl Queue for Witness {
    async fn lease_beside(
        &self,
        now: Millis,
        lease: Duration,
        full: &[String],
    ) -> Result<Option<Lease>, StoreError> {
        let leased = self.sqlite().lease_beside(now, lease, full).await?;
        if let Some(leased) = &leased {
            debug_assert_eq!(leased.until, now + millis(lease));
            lock(&self.watched).leased(leased, now);
        }
        Ok(leased)
    }

    async fn extend(&self, fence: &Fence, until: Millis) -> Result<(), StoreError> {
        self.sqlite().extend(fence, until).await?;
        lock(&self.watched).rescheduled(fence, until, true);
        Ok(())
    }

    async fn release(&self, fence: &Fence, at: Millis) -> Result<(), StoreError> {
        self.sqlite().release(fence, at).await?;
        lock(&self.watched).rescheduled(fence, at, false);
        Ok(())
    }

    async fn bury(&self, fence: &Fence, why: &str, now: Millis) -> Result<(), StoreError> {
        self.sqlite().bury(fence, why, now).await?;
        if let Some(buried) = self.sqlite().operation(&fence.operation).await? {
            let mut watched = lock(&self.watched);
            watched.buried.insert(buried.id.clone());
            watched.rescheduled(fence, now, false);
            watched.saved(&buried);
        }
        Ok(())
    }

    async fn sweep(&self, now: Millis) -> Result<usize, StoreError> {
        // What is due in hours was so before the clock was set back.
        for holder in lock(&self.watched).holders.values_mut() {
            if holder.until > now + 3_600_000 {
                holder.until = now + 60_000;
            }
        }
        self.sqlite().sweep(now).await
    }

    async fn wake(&self, operation: &OperationId, now: Millis) -> Result<(), StoreError> {
        self.sqlite().wake(operation, now).await
    }

    async fn revoked(&self, fence: &Fence) {
        self.sqlite().revoked(fence).await;
    }

    async fn depth(&self, now: Millis) -> Result<(usize, Millis), StoreError> {
        self.sqlite().depth(now).await
    }

    async fn ready(&self, timeout: Duration) {
        self.sqlite().ready(timeout).await;
    }
}
