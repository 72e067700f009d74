//! The state of the platform: instances, operations, hostnames and the feed of what was published.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use model::{
    Hostname, Instance, InstanceId, InstanceState, Millis, Operation, OperationId, Owner,
    Published, Quota, Share, Spec, Zone,
};

use super::{Fence, Reservation};
use crate::StoreError;

/// The largest spec, platform context or operation, as JSON. A descriptor's own limits are far
/// below; this one keeps a single row from filling a batch.
pub const DOCUMENT_BYTES_MAX: usize = 1 << 20;
/// The most rows of a page, whatever was asked for.
pub const PAGE_ROWS_MAX: usize = 1_000;

/// A request that the broker has validated and wants accepted.
#[derive(Debug, Clone)]
pub struct Accept {
    /// The operation to write, `InProgress`, without steps.
    pub operation: Operation,
    /// Written, as given, by a provision whose instance is new, was deleted, or failed to provision
    /// (its id is then used afresh). Of an instance that lives only `platform_context` is taken,
    /// and a deprovision makes its state `Deprovisioning`; all else is left to the worker's
    /// [`Write`]s. Every accept sets `updated_at` to `operation.created_at`, or to one more than it
    /// was where that is later: each accepted request is seen as a change.
    pub instance: Instance,
    /// Hostnames that must be this instance's from now on. Those of the previous spec stay too
    /// until a step releases them.
    pub claim: Vec<Hostname>,
    /// The operation in progress in whose place this one comes, as far as it
    /// [gives way](Operation::gives_way_to). It is ended in the same transaction, and its lease is
    /// worth nothing from then on; the new job is not leased before whoever held that lease has
    /// given it back, or it has run out.
    pub over: Option<OperationId>,
    /// What the platform lets a team have that nothing else is laid down for. `None`: neither this
    /// nor what is laid down counts, as the platform itself asks.
    pub quota: Option<Quota>,
    /// The zones below which public hostnames need no proof, beside those that are laid down for the
    /// team. None: no proof is asked for.
    pub zones: Arc<[Zone]>,
}

impl Accept {
    /// What comes in nobody's place.
    pub fn new(operation: Operation, instance: Instance, claim: Vec<Hostname>) -> Self {
        Self { operation, instance, claim, over: None, quota: None, zones: Arc::default() }
    }
}

/// What became of an [`Accept`].
#[derive(Debug, Clone, PartialEq)]
pub enum Accepted {
    /// Operation, job, instance and claims are durable.
    Yes,
    /// Nothing was written.
    No(Refusal),
}

/// Why an [`Accept`] was refused, decided inside the transaction, in this order.
#[derive(Debug, Clone, PartialEq)]
pub enum Refusal {
    /// The instance changed since the caller read it (its `updated_at` is another), or what is to be
    /// updated or deprovisioned does not exist or is deleted: read again.
    Changed,
    /// This operation is still in progress on the instance (OSB `ConcurrencyError`), and is not
    /// the one that the request comes in place of, or does not give way to it.
    Busy(Box<Operation>),
    /// These hostnames belong to other instances.
    Taken(Vec<HostnameOwner>),
    /// These were given up by other teams, and are not free yet.
    Reserved(Vec<Reservation>),
    /// These wildcards were not granted to the team.
    NotGranted(Vec<Hostname>),
    /// These fall under other teams' wildcards, who have not consented: each with who holds the
    /// wildcard.
    NoConsent(Vec<HostnameOwner>),
    /// The team would have more than it may.
    TooMany(Excess),
}

/// More than a team may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Excess {
    /// Of what.
    pub of: Share,
    /// How much it may have.
    pub limit: u32,
    /// How much it has.
    pub used: u32,
    /// How much more was asked for.
    pub wanted: u32,
    /// When the same would be accepted, where that is a matter of time.
    pub free_at: Option<Millis>,
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

/// An effect inside the store, committed together with the record of the step that asked for it.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "a step has one or two; none is kept")]
pub enum Write {
    /// Makes the operation's target what the control plane sees: sets the instance's spec,
    /// `Ready`, and a new revision, which [`Store::save`] returns. The commit point. What was
    /// published before becomes `good`, if it was marked so; else `good` stays what it was.
    Publish(Spec),
    /// The control plane sees the instance gone, at a new revision, which is returned; nothing is
    /// `good` any more, and its bindings have ended. State, spec and revision of the [`Instance`] stay.
    Unpublish,
    /// The fleet has the spec of this revision: it is the last good one from now on, and `good` is
    /// `None`. Nothing happens if another spec was published since; news of callers do not matter. Not seen in the feed until the next publish.
    MarkGood(u64),
    /// Claims no longer held by this instance; other instances' claims are untouched.
    Release(Vec<Hostname>),
    /// Releases every claim of the instance.
    ReleaseAll,
    /// Moves the instance to another state of its life. `Deleted` makes it a tombstone, which
    /// [`Store::forget`] removes; release its hostnames first.
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
    /// These changes start from the beginning: what the reader knew, and does not find on this page
    /// and those after it, is gone. So it is without a cursor, and with one from before a restore
    /// or so old that tombstones after it were forgotten.
    pub reset: bool,
    /// The revision last given, to whatever it was: nothing higher was ever made.
    pub reached: u64,
    /// Where to go on; never skips a change, also when several commit at once.
    pub cursor: Cursor,
    /// Whether another page was ready at once.
    pub more: bool,
}

/// Owners that a listing names: the teams of one person.
pub const OWNERS_MAX: usize = 64;

/// Which instances to list.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only of these owners, [`OWNERS_MAX`] at most; none: nothing. `None`: of all.
    pub owners: Option<Vec<Owner>>,
    /// Only with this service name.
    pub service: Option<String>,
    /// Also those deleted.
    pub deleted: bool,
    /// After this id, in order of id.
    pub after: Option<InstanceId>,
    /// 1 to [`PAGE_ROWS_MAX`]; what is beyond is taken as that.
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

/// The state of the platform. What a method has answered, every later read sees. A write whose
/// future was dropped may or may not have happened.
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

    /// The operations of an instance, latest first, at most `limit` (and [`PAGE_ROWS_MAX`]). The
    /// oldest of very many are not kept.
    async fn operations(
        &self,
        instance: &InstanceId,
        limit: usize,
    ) -> Result<Vec<Operation>, StoreError>;

    /// Who holds a hostname.
    async fn hostname(&self, hostname: &Hostname) -> Result<Option<HostnameOwner>, StoreError>;

    /// The hostnames that an instance holds, sorted by hostname.
    async fn claims(&self, instance: &InstanceId) -> Result<Vec<HostnameOwner>, StoreError>;

    /// A worker's write. Refused with [`StoreError::Fenced`] when the fence's lease was superseded or
    /// given back, its operation has ended, or it is another operation's. A lease that has merely
    /// expired still holds until somebody else takes the job.
    /// Returns the revision of a `Publish` or `Unpublish` among the writes, which is also set as
    /// `revision` of the saved operation.
    async fn save(&self, save: Save) -> Result<Option<u64>, StoreError>;

    /// What was published after `cursor` (`None`: from the beginning), at most `limit` (and
    /// [`PAGE_ROWS_MAX`]) changes.
    async fn changes(&self, cursor: Option<Cursor>, limit: usize) -> Result<Changes, StoreError>;

    /// Returns when something may have been published since `cursor`, or after `timeout`. At once
    /// when the news is already there.
    async fn changed(&self, cursor: &Cursor, timeout: Duration);

    /// Removes tombstones deleted before `before`, with their operations and their place in the
    /// feed; returns how many. One whose operation is still in progress stays.
    async fn forget(&self, before: Millis) -> Result<usize, StoreError>;
}
