//! What happened, and who asked for it.

use async_trait::async_trait;
use model::{AuditEntry, Millis, Owner};

use crate::StoreError;
use crate::chain::{Hash, Link};

/// The largest detail of an entry, as JSON: what is told of a change, not the change itself.
pub const AUDIT_DETAIL_BYTES_MAX: usize = 64 << 10;
/// Entries that one page looks at when it is filtered by what no index helps with.
pub const AUDIT_LOOKED_AT_MAX: u64 = 50_000;
/// Owners that a page may be asked for at once.
pub const AUDIT_OWNERS_MAX: usize = 64;

/// An entry as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRecord {
    /// Its place: 1, 2, 3.
    pub seq: u64,
    /// When it was written.
    pub at: Millis,
    /// Which file wrote it.
    pub writer: String,
    /// The [`AuditEntry`] as JSON, byte for byte as it was hashed.
    pub text: String,
    /// Covers all of this and the entry before.
    pub hash: Hash,
}

impl AuditRecord {
    /// What it says.
    ///
    /// # Errors
    /// Its text was damaged.
    pub fn entry(&self) -> Result<AuditEntry, StoreError> {
        Ok(serde_json::from_str(&self.text)?)
    }

    /// As the chain sees it.
    pub fn link(&self) -> Link<'_> {
        Link { seq: self.seq, at: self.at, writer: &self.writer, text: &self.text }
    }
}

/// Which entries to list.
#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    /// Only of this object, such as an instance.
    pub object: Option<String>,
    /// Only of what belongs to one of these, at most [`AUDIT_OWNERS_MAX`]; `None`: of everybody and
    /// nobody.
    pub owners: Option<Vec<Owner>>,
    /// Only what this credential asked for.
    pub credential: Option<String>,
    /// Only this action.
    pub action: Option<String>,
    /// Not before this time.
    pub since: Option<Millis>,
    /// Before this time.
    pub until: Option<Millis>,
    /// Latest first; else in the order in which they were written.
    pub latest_first: bool,
    /// Beyond this place, in the order that was asked for.
    pub beyond: Option<u64>,
    /// 1 to [`PAGE_ROWS_MAX`](crate::PAGE_ROWS_MAX); what is beyond is taken as that.
    pub limit: usize,
}

/// A page of entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditPage {
    /// Fewer than were asked for, or none, also where more follow.
    pub records: Vec<AuditRecord>,
    /// The `beyond` of the next page, where there may be one.
    pub next: Option<u64>,
}

/// The end of the log: who knows it can tell whether anything before it was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AuditHead {
    /// The place of the last entry; 0 when there is none.
    pub seq: u64,
    /// Its hash; all zeros when there is none.
    pub hash: Hash,
}

/// The audit log. It is only ever appended to, by the transactions that it tells of.
#[async_trait]
pub trait Audit: Send + Sync {
    /// A page of entries.
    async fn entries(&self, filter: AuditFilter) -> Result<AuditPage, StoreError>;
    /// Writes an entry of what changes nothing else in the store.
    async fn append(&self, at: Millis, entry: AuditEntry) -> Result<(), StoreError>;
    /// The end of the log.
    async fn head(&self) -> Result<AuditHead, StoreError>;
}
