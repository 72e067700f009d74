//! Jobs, and the leases under which they are worked on.

use std::time::Duration;

use async_trait::async_trait;
use model::{Job, Millis, OperationId};

use crate::StoreError;

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
    /// Whose it is: organisation and space, as one opaque word.
    pub team: String,
    /// Proof of the lease.
    pub fence: Fence,
    /// When it ends unless extended.
    pub until: Millis,
    /// The leases of this job, this one included, since anything was last saved or given back under
    /// one: a job that breaks its workers has many.
    pub tries: u32,
}

/// Jobs: at least once, leased, fenced. `now` is everywhere the same clock that the store was opened
/// with. What a lease, its extension or its release wrote outlives the process, but need not outlive
/// a power failure, which ends whoever held it.
#[async_trait]
pub trait Queue: Send + Sync {
    /// Leases a job that is ready, if any, until `now + lease`: of each team (organisation and
    /// space) in the order in which they became ready, the teams by turns. Ready is what is
    /// accepted, or whose lease has expired, and is not delayed beyond `now`.
    async fn lease(&self, now: Millis, lease: Duration) -> Result<Option<Lease>, StoreError> {
        self.lease_beside(now, lease, &[]).await
    }

    /// The same, but of no team in `full` (as [`Lease::team`] has it): these have as much in hand as
    /// they may. What they have ready keeps its turn.
    async fn lease_beside(
        &self,
        now: Millis,
        lease: Duration,
        full: &[String],
    ) -> Result<Option<Lease>, StoreError>;

    /// Extends a lease (heartbeat), or fails as [`Store::save`] does. Of a lease that was revoked
    /// it keeps others away for as long.
    async fn extend(&self, fence: &Fence, until: Millis) -> Result<(), StoreError>;

    /// Gives a job back, to be leased again not before `at`; the fence is worth nothing after it.
    /// Who held a lease that was revoked tells so that nothing is done under it any more.
    async fn release(&self, fence: &Fence, at: Millis) -> Result<(), StoreError>;

    /// Makes a job that nobody holds due at `now`, if it is not sooner: what it waits for has
    /// happened. Nothing happens to any other.
    async fn wake(&self, operation: &OperationId, now: Millis) -> Result<(), StoreError>;

    /// Ends, as failed because of `why`, an operation that cannot be carried out: its document cannot
    /// be read, or it breaks every worker. A document that cannot be read is kept as a blob below
    /// `unreadable/operations/`. An instance that was being provisioned can then be taken away.
    /// Fails as [`Store::save`] does.
    async fn bury(&self, fence: &Fence, why: &str, now: Millis) -> Result<(), StoreError>;

    /// Returns when the lease was revoked: another operation came in place of its own, or its
    /// operation was changed from outside. Nothing can be saved under it any more; the holder
    /// brings the step that it is in to its end, and gives the lease back.
    async fn revoked(&self, fence: &Fence);

    /// Enqueues again every operation in progress that has no job; returns how many. A job that is
    /// due in more than an hour, as no lease or delay makes it, is due within a minute or so: the clock was set
    /// back.
    async fn sweep(&self, now: Millis) -> Result<usize, StoreError>;

    /// How many jobs there are, leased or not, and for how many milliseconds the longest ready has
    /// been so.
    async fn depth(&self, now: Millis) -> Result<(usize, Millis), StoreError>;

    /// Returns when a job may have become ready, or after `timeout`: at once when one is ready, when
    /// one is accepted or given back, and when a delay or a lease ends.
    async fn ready(&self, timeout: Duration);
}
