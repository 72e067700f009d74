//! The calls that look for instances and operations, and that tell a history.

use model::{ExposureChange, InstanceId};
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::Client;
use super::api::Operation;
use crate::failure::Failure;

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Change {
    /// Where in the descriptor.
    pub path: String,
    /// What was there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    /// What is there now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
}

impl Change {
    /// On one line: `+` what came, `-` what went, `~` what is otherwise.
    pub fn line(&self) -> String {
        let text = |value: &Value| match value {
            // What a tenant wrote shall not steer the terminal, nor look like lines of ours.
            Value::String(text) if text.chars().any(char::is_control) => format!("{text:?}"),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        match (&self.before, &self.after) {
            (None, Some(after)) => format!("+ {}: {}", self.path, text(after)),
            (Some(before), None) => format!("- {}: {}", self.path, text(before)),
            (Some(before), Some(after)) => {
                format!("~ {}: {} -> {}", self.path, text(before), text(after))
            }
            (None, None) => format!("  {}", self.path),
        }
    }
}

/// A change of exposure, in words that stand out.
pub fn exposure(change: ExposureChange) -> &'static str {
    match change {
        ExposureChange::BecamePublic => "PUBLIC: everyone can reach it",
        ExposureChange::NoLongerPublic => "NO LONGER PUBLIC",
    }
}

/// Who asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AskedBy {
    /// The credential.
    pub credential: String,
    /// What else the broker tells, kept for programs.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

/// An operation of a history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Done {
    /// The operation.
    #[serde(flatten)]
    pub operation: Operation,
    /// What it changed.
    #[serde(default)]
    pub changes: Vec<Change>,
    /// `became-public` or `no-longer-public`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub exposure: Option<ExposureChange>,
    /// Who asked.
    pub asked_by: AskedBy,
}

#[derive(Deserialize)]
struct History {
    operations: Vec<Done>,
}

/// What was done to an instance, latest first.
pub async fn history(client: &Client, id: &InstanceId) -> Result<Option<Vec<Done>>, Failure> {
    let path = format!("/v1/instances/{id}/operations");
    let found: Option<History> = client.find(client.request(Method::GET, &path)).await?;
    Ok(found.map(|history| history.operations))
}

/// An operation and whose it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Listed {
    /// The operation.
    #[serde(flatten)]
    pub operation: Operation,
    /// The service's name.
    pub service: String,
    /// OSB space: the team.
    pub space: String,
}

#[derive(Deserialize)]
struct Page {
    operations: Vec<Listed>,
    #[serde(default)]
    next: Option<u64>,
}

/// Operations that `query` asks for, latest first, at most `limit`.
pub async fn operations(
    client: &Client,
    query: &[(&'static str, String)],
    limit: usize,
) -> Result<Vec<Listed>, Failure> {
    let (mut all, mut after): (Vec<Listed>, Option<u64>) = (Vec::new(), None);
    loop {
        let request = client.request(Method::GET, "/v1/operations").query(query);
        let request = request.query(&after.iter().map(|seq| ("after", seq)).collect::<Vec<_>>());
        let page: Page = client.ask(request).await?;
        all.extend(page.operations);
        after = page.next;
        if all.len() >= limit || after.is_none() {
            all.truncate(limit);
            return Ok(all);
        }
    }
}
