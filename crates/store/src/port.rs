//! The ports. Each method is one transaction: it happens whole and durably, or not at all.

use std::time::Duration;

use async_trait::async_trait;
use model::{
    Hostname, Instance, InstanceId, InstanceState, Job, Millis, Operation, OperationId, Owner,
    Published, Spec,
};

use crate::StoreError;

/// A request that the broker has validated and wants accepted.
#[derive(Debug, Clone)]
pub struct Accept {
    /// The operation to write, `InProgress`, without steps.
    pub operation: Operation,
    /// Written when the instance is new, was deleted, or failed to provision (its id is then used
    /// afresh); ignored for an instance that lives, but for `platform_context`.
    pub instance: Instance,
    /// Hostnames that must be this instance's from now on. Those of the previous spec stay too
    /// until a step releases them.
    pub claim: Vec<Hostname>,
}

/// What became of an [`Accept`].
#[derive(Debug, Clone, PartialEq)]
pub enum Accepted {
    /// Operation, job, instance and claims are durable.
    Yes,
    /// Nothing was written.
    No(Refusal),
}

/// Why an [`Accept`] was refused, decided inside the transaction.
#[derive(Debug, Clone, PartialEq)]
pub enum Refusal {
    /// This operation is still in progress on the instance (OSB `ConcurrencyError`).
    Busy(Box<Operation>),
    /// The instance changed since the caller read it (its `updated_at` is another): read again.
    Changed,
    /// These hostnames belong to other instances.
    Taken(Vec<HostnameOwner>),
}

/// Whose a hostname is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostnameOwner {
    /// The hostname.
    pub hostname: Hostname,
    /// The instance that holds it.
    pub instance: InstanceId,
    /// That instance's service name.
    pub service: String,
    /// That instance's organisation and space.
    pub owner: Owner,
    /// Since when.
    pub since: Millis,
}

/// Proof of holding a job's lease; every write of a worker is conditional on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fence {
    /// The operation whose job is leased.
    pub operation: OperationId,
    /// Rises with every lease of that job.
    pub number: u64,
}

/// A leased job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// What to do.
    pub job: Job,
    /// Proof of the lease.
    pub fence: Fence,
    /// When it ends unless extended.
    pub until: Millis,
}

/// An effect inside the store, committed together with the record of the step that asked for it.
#[derive(Debug, Clone, PartialEq)]
pub enum Write {
    /// Makes the operation's target what the control plane sees: sets the instance's spec,
    /// `Ready`, and a new revision, which [`Store::save`] returns. The commit point.
    Publish(Spec),
    /// The control plane sees the instance gone, at a new revision, which is returned.
    Unpublish,
    /// The fleet has this revision: it is the last good one from now on.
    MarkGood(u64),
    /// Claims no longer held by this instance; other instances' claims are untouched.
    Release(Vec<Hostname>),
    /// Releases every claim of the instance.
    ReleaseAll,
    /// Moves the instance to another state of its life.
    State(InstanceState),
}

/// A worker's write: the operation as it now is, with the effects that belong to it.
#[derive(Debug, Clone)]
pub struct Save {
    /// Proof of the lease.
    pub fence: Fence,
    /// The operation, whole. A state other than `InProgress` also ends its job.
    pub operation: Operation,
    /// Effects, in order.
    pub writes: Vec<Write>,
    /// Now.
    pub now: Millis,
}

/// A position in the change feed: opaque, comparable only by the store that made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor(pub String);

/// One entry of the change feed.
pub type Change = Published;

/// A page of the change feed. Each instance appears at most once, at its latest revision.
#[derive(Debug, Clone)]
pub struct Changes {
    /// In order of revision.
    pub changes: Vec<Change>,
    /// Where to go on; never skips a change, also when several commit at once.
    pub cursor: Cursor,
    /// Whether another page was ready at once.
    pub more: bool,
}

/// Which instances to list.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only of this owner.
    pub owner: Option<Owner>,
    /// Only with this service name.
    pub service: Option<String>,
    /// Also those deleted.
    pub deleted: bool,
    /// After this id, in order of id.
    pub after: Option<InstanceId>,
    /// 1 to 1,000.
    pub limit: usize,
}

/// A page of a listing.
#[derive(Debug, Clone)]
pub struct Page<T> {
    /// The rows.
    pub items: Vec<T>,
    /// The `after` of the next page, where there is one.
    pub next: Option<InstanceId>,
}

/// The state of the platform.
#[async_trait]
pub trait Store: Send + Sync {
    /// The epoch: raised by restore and migration, the first half of a version's order.
    async fn epoch(&self) -> Result<u64, StoreError>;

    /// Accepts a request: operation, job, instance and hostname claims in one transaction.
    /// `expected` is the instance's `updated_at` as the caller read it; `None`: there was no row.
    async fn accept(
        &self,
        accept: Accept,
        expected: Option<Millis>,
    ) -> Result<Accepted, StoreError>;

    /// An instance, tombstones included.
    async fn instance(&self, id: &InstanceId) -> Result<Option<Instance>, StoreError>;

    /// A page of instances.
    async fn instances(&self, filter: Filter) -> Result<Page<Instance>, StoreError>;

    /// An operation.
    async fn operation(&self, id: &OperationId) -> Result<Option<Operation>, StoreError>;

    /// The operations of an instance, latest first, at most `limit`.
    async fn operations(
        &self,
        instance: &InstanceId,
        limit: usize,
    ) -> Result<Vec<Operation>, StoreError>;

    /// Who holds a hostname.
    async fn hostname(&self, hostname: &Hostname) -> Result<Option<HostnameOwner>, StoreError>;

    /// A worker's write. Refused with [`StoreError::Fenced`] when a newer lease exists.
    /// Returns the revision of a `Publish` or `Unpublish` among the writes, which is also set as
    /// `revision` of the saved operation.
    async fn save(&self, save: Save) -> Result<Option<u64>, StoreError>;

    /// What was published after `cursor` (`None`: from the beginning), at most `limit` changes.
    async fn changes(&self, cursor: Option<Cursor>, limit: usize) -> Result<Changes, StoreError>;

    /// Returns when something may have been published since `cursor`, or after `timeout`.
    async fn changed(&self, cursor: &Cursor, timeout: Duration);

    /// Removes tombstones deleted before `before`, with their operations; returns how many.
    async fn forget(&self, before: Millis) -> Result<usize, StoreError>;
}

/// Jobs: at least once, leased, fenced.
#[async_trait]
pub trait Queue: Send + Sync {
    /// Leases the job that has been ready longest, if any, until `now + lease`.
    async fn lease(&self, now: Millis, lease: Duration) -> Result<Option<Lease>, StoreError>;

    /// Extends a lease (heartbeat).
    async fn extend(&self, fence: &Fence, until: Millis) -> Result<(), StoreError>;

    /// Gives a job back, to be leased again not before `at`.
    async fn release(&self, fence: &Fence, at: Millis) -> Result<(), StoreError>;

    /// Enqueues again every operation in progress that has no job; returns how many.
    async fn sweep(&self, now: Millis) -> Result<usize, StoreError>;

    /// How many jobs there are, leased or not, and the age of the oldest in milliseconds.
    async fn depth(&self, now: Millis) -> Result<(usize, Millis), StoreError>;

    /// Returns when a job may have become ready, or after `timeout`.
    async fn ready(&self, timeout: Duration);
}

/// Named documents, written whole.
#[async_trait]
pub trait Blobs: Send + Sync {
    /// Reads a blob.
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError>;
    /// Writes a blob, durably, in place of what was there.
    async fn put(&self, key: &str, value: &[u8]) -> Result<(), StoreError>;
    /// Deletes a blob; nothing happens if there is none.
    async fn delete(&self, key: &str) -> Result<(), StoreError>;
    /// The keys that begin with `prefix`, sorted.
    async fn list(&self, prefix: &str) -> Result<Vec<String>, StoreError>;
}
