//! Bindings: who may call an instance, and the sealed private key of each.

use async_trait::async_trait;
use keys::Sealed;
use model::{Binding, BindingId, InstanceId, Millis, Requester};

use crate::StoreError;

/// Bindings of one instance, those that have expired included: the proxies hold the key of each.
pub const BINDINGS_MAX: usize = 64;
/// How long an expired binding is remembered, so that a fetch or an unbind is answered truthfully.
pub const EXPIRED_KEPT_MILLIS: Millis = 24 * 60 * 60 * 1000;
/// Bindings that one transaction expires, forgets or seals anew, so that others need not wait for
/// thousands.
pub const BINDINGS_AT_ONCE: usize = 100;

/// A binding to be made.
#[derive(Debug, Clone)]
pub struct Bind {
    /// What it shall be.
    pub binding: Binding,
    /// Its private key.
    pub sealed: Sealed,
    /// Who asked.
    pub by: Requester,
}

/// A binding as it is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Bound {
    /// What it is.
    pub binding: Binding,
    /// Its private key.
    pub sealed: Sealed,
}

/// What became of a [`Bind`], decided inside the transaction, in this order.
#[derive(Debug, Clone, PartialEq)]
pub enum Binds {
    /// It is durable, and in the feed at this revision.
    Yes(u64),
    /// There is one of this id, of whichever instance. Nothing was written.
    Exists(Box<Bound>),
    /// The instance is not there, not yet published, or about to go. Nothing was written.
    NotReady,
    /// Its predecessor is not there, of another instance, or has expired. Nothing was written.
    NoPredecessor,
    /// There are [`BINDINGS_MAX`]. Nothing was written.
    Full,
}

/// What became of a round of expiry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Expired {
    /// How many have expired and left the feed.
    pub expired: usize,
    /// How many were forgotten that had expired long ago.
    pub forgotten: usize,
    /// When there will be something to do again, if nothing else happens; it may be now.
    pub next: Option<Millis>,
}

/// A sealed secret, and what it becomes.
#[derive(Debug, Clone)]
pub struct Reseal {
    /// Whose.
    pub binding: BindingId,
    /// As it was read. Nothing happens if it is another by now.
    pub old: Sealed,
    /// As it shall be.
    pub new: Sealed,
}

/// Bindings. Every change appends its entry to the audit log, and gives the instance a new revision
/// in the feed with the callers that there are then, in its transaction. An operation in progress is
/// neither waited for nor disturbed.
#[async_trait]
pub trait Bindings: Send + Sync {
    /// Makes a binding.
    async fn bind(&self, bind: Bind) -> Result<Binds, StoreError>;

    /// Ends a binding of this instance. `false`: there is none.
    async fn unbind(
        &self,
        instance: &InstanceId,
        binding: &BindingId,
        by: Requester,
        at: Millis,
    ) -> Result<bool, StoreError>;

    /// A binding, also an expired one.
    async fn binding(&self, id: &BindingId) -> Result<Option<Bound>, StoreError>;

    /// The bindings of an instance, in order of id, also expired ones.
    async fn bindings(&self, instance: &InstanceId) -> Result<Vec<Binding>, StoreError>;

    /// How many have not expired.
    async fn bindings_count(&self) -> Result<usize, StoreError>;

    /// Takes what has expired by now out of the feed, and forgets what has long ago: at most
    /// [`BINDINGS_AT_ONCE`] of each.
    async fn expire(&self, now: Millis) -> Result<Expired, StoreError>;

    /// The ids of the keys with which anything is sealed.
    async fn sealing_keys(&self) -> Result<Vec<String>, StoreError>;

    /// What is sealed with this key: at most [`BINDINGS_AT_ONCE`].
    async fn sealed_with(&self, key: &str) -> Result<Vec<(BindingId, Sealed)>, StoreError>;

    /// Puts what was sealed anew in place of what it was; returns how many it was done for.
    async fn reseal(&self, secrets: Vec<Reseal>) -> Result<usize, StoreError>;
}
