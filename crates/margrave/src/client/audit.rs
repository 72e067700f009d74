//! The audit log, as the platform tells it.

use model::{AuditEntry, Millis};
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use store::AuditRecord;
use utoipa::ToSchema;

use super::Client;
use crate::failure::Failure;

/// Entries asked for at a time; the most that the platform gives.
pub const PAGE_ROWS_MAX: usize = 1000;

/// An entry of the audit log.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Line {
    /// Its place: 1, 2, 3.
    pub seq: u64,
    /// Milliseconds since the Unix epoch.
    pub at: Millis,
    /// Which store wrote it: another one after a restore.
    pub writer: String,
    /// Who did what to what, byte for byte as it was hashed.
    #[schema(value_type = Object)]
    pub entry: Box<RawValue>,
    /// Covers all of this and the entry before.
    pub hash: String,
}

/// A page of them.
#[derive(Debug, Deserialize)]
pub struct Page {
    /// In the order that was asked for.
    pub entries: Vec<Line>,
    /// Where the next page begins.
    #[serde(default)]
    pub next: Option<u64>,
}

impl Line {
    /// As the store has it.
    pub fn of(record: &AuditRecord) -> anyhow::Result<Self> {
        let AuditRecord { seq, at, writer, text, hash } = record;
        let entry = RawValue::from_string(text.clone())
            .or_else(|_| serde_json::value::to_raw_value(text))?;
        Ok(Self { seq: *seq, at: *at, writer: writer.clone(), entry, hash: hash.to_string() })
    }

    /// As the chain sees it. What cannot be a hash is one that nothing has.
    pub fn record(&self) -> AuditRecord {
        let text = self.entry.get();
        // An entry that is no object was damaged, and is told as a string.
        let damaged = text.starts_with('"').then(|| serde_json::from_str(text).ok()).flatten();
        AuditRecord {
            seq: self.seq,
            at: self.at,
            writer: self.writer.clone(),
            text: damaged.unwrap_or_else(|| text.to_owned()),
            hash: self.hash.parse().unwrap_or_default(),
        }
    }

    /// What it says, unless it was damaged.
    pub fn said(&self) -> Option<AuditEntry> {
        serde_json::from_str(self.entry.get()).ok()
    }
}

/// A page of the log, filtered by `query`.
pub async fn page(
    client: &Client,
    query: &[(&str, String)],
    beyond: Option<u64>,
    limit: usize,
) -> Result<Page, Failure> {
    let request = client.request(Method::GET, "/v1/audit").query(query);
    let request = request.query(&[("limit", limit)]);
    let request = match beyond {
        Some(seq) => request.query(&[("beyond", seq)]),
        None => request,
    };
    client.ask_exactly(request).await
}

/// Shows every entry that `query` finds to `look`, until it has seen enough.
pub async fn each(
    client: &Client,
    query: &[(&str, String)],
    mut look: impl FnMut(Line) -> anyhow::Result<bool>,
) -> Result<(), Failure> {
    let mut beyond = None;
    loop {
        let page = page(client, query, beyond, PAGE_ROWS_MAX).await?;
        for line in page.entries {
            if !look(line)? {
                return Ok(());
            }
        }
        beyond = page.next;
        if beyond.is_none() {
            return Ok(());
        }
    }
}
