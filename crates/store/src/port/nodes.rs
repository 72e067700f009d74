//! Nodes: the proxies that have joined, the tokens that let them in, and the authority that signs their
//! certificates.

use async_trait::async_trait;
use keys::Sealed;
use model::{AccessHash, AuditEntry, GroupName, Millis, NodeId};
use serde::{Deserialize, Serialize};

use crate::StoreError;

/// Tokens that nobody has used yet and that have not ended: enough for a fleet that is set up at once.
pub const JOIN_TOKENS_MAX: usize = 10_000;
/// Nodes that are remembered, those that have left included.
pub const NODES_MAX: usize = 100_000;
/// Certificates of one node that have not ended: one that renews in a circle is stopped.
pub const CERTIFICATES_MAX: usize = 32;
/// No certificate is good for longer: 7 days.
pub const CERTIFICATE_LIFE_MAX_MILLIS: Millis = 7 * 24 * 60 * 60 * 1000;
/// How long a node is remembered whose last certificate has ended: 90 days.
pub const NODE_KEPT_MILLIS: Millis = 90 * 24 * 60 * 60 * 1000;
/// What one transaction forgets, so that others need not wait for thousands.
pub const NODES_AT_ONCE: usize = 100;

/// The authority that signs certificates of proxies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptAuthority {
    /// Its certificate, DER.
    pub certificate: Vec<u8>,
    /// Its private key.
    pub sealed: Sealed,
}

/// What lets one host in, once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinToken {
    /// The group that it joins.
    pub group: GroupName,
    /// What it will be called; `None`: the platform chooses.
    pub node: Option<NodeId>,
    /// When it was made.
    pub created_at: Millis,
    /// The credential of whoever made it.
    pub created_by: String,
    /// When it ends.
    pub expires_at: Millis,
}

/// A certificate, as it is remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certified {
    /// Its number, as hexadecimal digits.
    pub serial: String,
    /// When it was issued.
    pub issued_at: Millis,
    /// When it ends.
    pub not_after: Millis,
}

/// A node that has joined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joined {
    /// `node.id`.
    pub node: NodeId,
    /// `node.cluster`.
    pub group: GroupName,
    /// When it joined last.
    pub joined_at: Millis,
    /// The credential of whoever made its token; [`BY_ITSELF`], where that is not known any more.
    pub invited_by: String,
    /// Its latest certificate.
    pub certificate: Certified,
    /// When it was revoked.
    pub revoked_at: Option<Millis>,
}

/// Who has invited a node that came with a good certificate to a store that did not know it: one that
/// was restored.
pub const BY_ITSELF: &str = "its certificate";

/// A host that joins.
#[derive(Debug, Clone)]
pub struct Join {
    /// What the token is known by.
    pub secret: AccessHash,
    /// What it shall be called: that of the token, if it has one.
    pub node: NodeId,
    /// What was signed for it.
    pub certificate: Certified,
    /// For the audit log.
    pub entry: AuditEntry,
}

/// What became of a [`Join`], decided inside the transaction, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Joins {
    /// It is durable, and the token is used up.
    Yes,
    /// There is no such token, it has ended, or it was used. Nothing was written.
    NoToken,
    /// A node of this name is of another group, or the platform chose a name that is taken. Nothing was
    /// written.
    Taken,
    /// There are [`NODES_MAX`]. Nothing was written.
    Full,
}

/// A certificate that takes the place of another. Who asks has proven that the old one is theirs and
/// signed by our authority.
#[derive(Debug, Clone)]
pub struct Renewal {
    /// Whose both are.
    pub node: NodeId,
    /// Of which group.
    pub group: GroupName,
    /// The one before, as it says of itself: to the second.
    pub old: Certified,
    /// What was signed in its place.
    pub new: Certified,
}

/// What became of a renewal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renews {
    /// It is durable.
    Yes,
    /// The certificate that it shall replace, or the node, was revoked. Nothing was written.
    Revoked,
    /// There are [`CERTIFICATES_MAX`] of the node, or the node is not known and there are [`NODES_MAX`].
    /// Nothing was written.
    TooMany,
}

/// What is good no more before its time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocation {
    /// Rises with each.
    pub seq: i64,
    /// What.
    pub what: Revoked,
    /// When it would have ended.
    pub not_after: Millis,
}

/// What was revoked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Revoked {
    /// The certificate with this number.
    Certificate(String),
    /// Whatever certificates the node has that were issued before this moment, to the second: a store that
    /// was restored does not know their numbers.
    Before(NodeId, Millis),
}

/// Which nodes to list.
#[derive(Debug, Clone, Default)]
pub struct NodeFilter {
    /// Of this group.
    pub group: Option<GroupName>,
    /// After this one, in order of name.
    pub after: Option<NodeId>,
    /// 1 to [`PAGE_ROWS_MAX`](crate::PAGE_ROWS_MAX).
    pub limit: usize,
}

/// What a process reads of nodes that only answers proxies.
#[async_trait]
pub trait NodeFeed: Send + Sync {
    /// The authority, once there is one.
    async fn authority(&self) -> Result<Option<KeptAuthority>, StoreError>;

    /// Certificates that were revoked after this number, and would not have ended at this time: at most
    /// [`PAGE_ROWS_MAX`](crate::PAGE_ROWS_MAX). A store of another epoch counts anew.
    async fn revocations(&self, after: i64, now: Millis) -> Result<Vec<Revocation>, StoreError>;
}

/// Nodes. What a person does appends its entry to the audit log, in its transaction; a renewal, which
/// each node asks for by itself every day, does not.
#[async_trait]
pub trait Nodes: NodeFeed {
    /// Keeps this one if there is none yet; returns the one that is kept.
    async fn keep_authority(&self, authority: KeptAuthority) -> Result<KeptAuthority, StoreError>;

    /// Puts what was sealed anew in place of what it was. `false`: it is another by now.
    async fn reseal_authority(&self, old: Sealed, new: Sealed) -> Result<bool, StoreError>;

    /// Writes a new token; those that have ended are forgotten. `false`: there are [`JOIN_TOKENS_MAX`].
    async fn create_join_token(
        &self,
        token: JoinToken,
        secret: AccessHash,
        entry: AuditEntry,
    ) -> Result<bool, StoreError>;

    /// The token of a secret, if it is good at this time. It stays good.
    async fn join_token(
        &self,
        secret: &AccessHash,
        now: Millis,
    ) -> Result<Option<JoinToken>, StoreError>;

    /// Uses a token up. A node that was there before begins anew: its earlier certificates are revoked.
    async fn join(&self, join: Join) -> Result<Joins, StoreError>;

    /// Remembers a certificate of a node beside the one that it shall replace. Neither that nor the node
    /// need be known: a store that was restored is behind its proxies.
    async fn renew(&self, renewal: Renewal) -> Result<Renews, StoreError>;

    /// A node.
    async fn node(&self, node: &NodeId) -> Result<Option<Joined>, StoreError>;

    /// Nodes in order of name.
    async fn nodes(&self, filter: NodeFilter) -> Result<Vec<Joined>, StoreError>;

    /// Revokes all certificates of a node. `false`: there is none that was not revoked before; a store that
    /// was restored revokes also what it does not know.
    async fn revoke_node(
        &self,
        node: &NodeId,
        at: Millis,
        entry: AuditEntry,
    ) -> Result<bool, StoreError>;
}
