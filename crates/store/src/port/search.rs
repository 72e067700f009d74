//! What people look for among instances and operations, and the news of one operation.

use async_trait::async_trait;
use model::{
    Hostname, Instance, InstanceId, InstanceState, Millis, Operation, OperationId, OperationKind,
    OperationState, Owner, Plan,
};
use tokio::sync::watch;

use crate::StoreError;

/// Owners that a search may name at once: the teams of one person.
pub const SEARCH_OWNERS_MAX: usize = 64;
/// Rows that one page looks at, of each owner, when no index helps with all that is asked for.
pub const SEARCH_LOOKED_AT_MAX: usize = 10_000;

/// Which instances are looked for: all that is given must hold.
#[derive(Debug, Clone, Default)]
pub struct InstanceSearch {
    /// Only of these owners, [`SEARCH_OWNERS_MAX`] at most; none: nothing. `None`: of all.
    pub owners: Option<Vec<Owner>>,
    /// Only those of this service.
    pub service: Option<String>,
    /// Only those whose service name begins so.
    pub prefix: Option<String>,
    /// Only the one that holds this hostname.
    pub hostname: Option<Hostname>,
    /// Only in this state.
    pub state: Option<InstanceState>,
    /// Also tombstones, where no state is asked for.
    pub deleted: bool,
    /// Only of this plan.
    pub plan: Option<Plan>,
    /// The `next` of the page before.
    pub after: Option<String>,
    /// 1 to [`PAGE_ROWS_MAX`](crate::PAGE_ROWS_MAX); what is beyond is taken as that.
    pub limit: usize,
}

/// Which operations are looked for: all that is given must hold.
#[derive(Debug, Clone, Default)]
pub struct OperationSearch {
    /// Only of the instances of these owners, as in [`InstanceSearch`].
    pub owners: Option<Vec<Owner>>,
    /// Only of this instance.
    pub instance: Option<InstanceId>,
    /// Only in this state.
    pub state: Option<OperationState>,
    /// Only of this kind.
    pub kind: Option<OperationKind>,
    /// Only the latest of its instance: what is so now, not what once was.
    pub latest: bool,
    /// Only what was accepted after the last that was accepted before this time.
    pub since: Option<Millis>,
    /// The `next` of the page before.
    pub after: Option<u64>,
    /// 1 to [`PAGE_ROWS_MAX`](crate::PAGE_ROWS_MAX); what is beyond is taken as that.
    pub limit: usize,
}

/// An operation, and whose its instance is.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// The operation.
    pub operation: Operation,
    /// The owner of its instance.
    pub owner: Owner,
}

/// A page of what was found.
#[derive(Debug, Clone)]
pub struct FoundPage<T, K> {
    /// Fewer than were asked for, or none, also where more follow.
    pub items: Vec<T>,
    /// The `after` of the next page, where there may be one.
    pub next: Option<K>,
}

/// News of operations: taken before they are read, it misses nothing.
#[derive(Debug)]
pub struct OperationNews(watch::Receiver<u64>);

impl OperationNews {
    /// Of a channel that is sent to whenever they, and perhaps others, were written.
    pub fn of(mut written: watch::Receiver<u64>) -> Self {
        written.mark_unchanged();
        Self(written)
    }

    /// Returns when one may have been written since the last call, or since this was made.
    pub async fn next(&mut self) {
        if self.0.changed().await.is_err() {
            // The store has stopped: nothing will come.
            std::future::pending::<()>().await;
        }
    }
}

/// Looks among what the [`Store`](crate::Store) keeps. What a page costs does not depend on how much
/// there is.
#[async_trait]
pub trait Search: Send + Sync {
    /// Instances in order of service, then id.
    async fn search_instances(
        &self,
        search: InstanceSearch,
    ) -> Result<FoundPage<Instance, String>, StoreError>;

    /// Operations, the latest accepted first.
    async fn search_operations(
        &self,
        search: OperationSearch,
    ) -> Result<FoundPage<Found, u64>, StoreError>;

    /// What is written of an operation by this process from now on.
    fn news(&self, operation: &OperationId) -> OperationNews;

    /// What is written of any operation of an instance by this process from now on, also of those
    /// that are not accepted yet.
    fn news_of_instance(&self, instance: &InstanceId) -> OperationNews;
}
