//! Credentials: who may come in, known by the hash of a secret.

use async_trait::async_trait;
use model::{AccessHash, AuditEntry, CredentialId, CredentialName, Millis, Role};
use serde::{Deserialize, Serialize};

use crate::StoreError;

/// Credentials that are remembered, those that have ended included: far more than a platform has
/// teams, few enough to be listed.
pub const CREDENTIALS_MAX: usize = 10_000;
/// How long one that has ended is remembered, so that whoever still uses it can be told apart in the
/// log: 90 days.
pub const ENDED_KEPT_MILLIS: Millis = 90 * 24 * 60 * 60 * 1000;

/// A credential, without its secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credential {
    /// Its id.
    pub id: CredentialId,
    /// What operations and the audit log call it. No two that live have the same.
    pub name: CredentialName,
    /// What it is good for.
    pub role: Role,
    /// When it was made.
    pub created_at: Millis,
    /// The credential of whoever made it.
    pub created_by: String,
    /// When it ends by itself.
    pub expires_at: Option<Millis>,
    /// When it was last used, more or less: it is not written with each request.
    pub last_used_at: Option<Millis>,
    /// When it was ended.
    pub revoked_at: Option<Millis>,
    /// When its latest secret was made.
    pub rotated_at: Millis,
}

impl Credential {
    /// Whether it opens anything.
    pub fn is_alive(&self, now: Millis) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|end| now < end)
    }
}

/// A credential as one of its secrets leads to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The credential, which may have ended.
    pub credential: Credential,
    /// When this secret ends, where a later one has taken its place.
    pub secret_until: Option<Millis>,
}

impl Held {
    /// Whether this secret opens anything.
    pub fn is_alive(&self, now: Millis) -> bool {
        self.credential.is_alive(now) && self.secret_until.is_none_or(|end| now < end)
    }
}

/// What became of a new credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Created {
    /// It is durable.
    Yes,
    /// Another that lives has this name. Nothing was written.
    NameTaken,
    /// There are [`CREDENTIALS_MAX`]. Nothing was written.
    Full,
}

/// Which credentials to list.
#[derive(Debug, Clone, Default)]
pub struct CredentialFilter {
    /// Platforms only (`true`), or all others only (`false`).
    pub platforms: bool,
    /// Only those that live at this time; `None`: also those that have ended.
    pub alive_at: Option<Millis>,
    /// After this id, in order of id.
    pub after: Option<CredentialId>,
    /// 1 to [`PAGE_ROWS_MAX`](crate::PAGE_ROWS_MAX).
    pub limit: usize,
}

/// Credentials. Every change appends its entry to the audit log, in its transaction.
#[async_trait]
pub trait Credentials: Send + Sync {
    /// Writes a new credential with its first secret. What has ended long ago is forgotten, and what
    /// has expired gives up its name.
    async fn create_credential(
        &self,
        credential: Credential,
        secret: AccessHash,
        entry: AuditEntry,
    ) -> Result<Created, StoreError>;

    /// Gives a credential that lives another secret; the one before it is good until `until`, and
    /// none before that any more. `false`: there is none that lives.
    async fn rotate_credential(
        &self,
        id: &CredentialId,
        secret: AccessHash,
        at: Millis,
        until: Millis,
        entry: AuditEntry,
    ) -> Result<bool, StoreError>;

    /// Ends a credential, and the sessions that were opened with it. `false`: there is none that
    /// was not ended before.
    async fn revoke_credential(
        &self,
        id: &CredentialId,
        at: Millis,
        entry: AuditEntry,
    ) -> Result<bool, StoreError>;

    /// A credential by its id, also one that has ended.
    async fn credential(&self, id: &CredentialId) -> Result<Option<Credential>, StoreError>;

    /// The credential that a secret belongs to, also one that has ended.
    async fn credential_of(&self, secret: &AccessHash) -> Result<Option<Held>, StoreError>;

    /// Credentials in order of id.
    async fn credentials(&self, filter: CredentialFilter) -> Result<Vec<Credential>, StoreError>;

    /// Remembers that a credential was used. Need not outlive a power failure.
    async fn used_credential(&self, id: &CredentialId, at: Millis) -> Result<(), StoreError>;

    /// How often something was taken away from a credential. Whatever of credentials was read under
    /// a lower number is worth nothing; it rises before the change is answered.
    fn credentials_taken(&self) -> u64;
}
