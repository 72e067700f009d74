//! The call that tells what a descriptor would change.

use model::{Descriptor, ExposureChange, InstanceId};
use reqwest::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::search::Change;
use super::{Client, Identity};
use crate::failure::Failure;

/// What would be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// There would be a new service.
    Create,
    /// It would be changed.
    Update,
    /// It is so already.
    Nothing,
    /// It is being done already.
    Underway,
}

/// A step that would be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlannedStep {
    /// Its name in its pipeline.
    pub name: String,
    /// What it does, for people.
    pub says: String,
    /// Milliseconds that it takes as a rule; absent when nobody knows yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub typical: Option<i64>,
}

/// One of Envoy's resources that would be other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResourceChange {
    /// The protobuf type URL.
    pub type_url: String,
    /// Its name.
    pub name: String,
    /// `added`, `changed` or `removed`.
    pub change: String,
    /// What differs, by paths into the resource; the empty path is all of it.
    pub differences: Vec<Change>,
    /// There was too much to tell.
    #[serde(default)]
    pub omitted: bool,
}

/// A hostname that would not answer in public yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Withheld {
    /// The hostname.
    pub hostname: String,
    /// The record that would be looked for; it may be made beforehand.
    pub record: Record,
}

/// A DNS record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Record {
    /// Its name.
    pub name: String,
    /// `TXT`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its value.
    pub value: String,
}

impl Withheld {
    /// What it waits for, after the hostname.
    pub fn told(&self) -> String {
        let Record { name, kind, value } = &self.record;
        format!(
            "{}: not in public before there is a {kind} record {name} with {value}",
            self.hostname
        )
    }
}

/// What would change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Planned {
    /// What would be done.
    pub action: Action,
    /// The instance's id.
    pub instance: String,
    /// The service's name.
    pub service: String,
    /// `internal` or `public`.
    pub plan: String,
    /// `became-public` or `no-longer-public`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub exposure: Option<ExposureChange>,
    /// What would change, in the words of the descriptor.
    pub changes: Vec<Change>,
    /// Why it would be done although nothing differs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
    /// The operation that does it already, or in whose place it would come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<String>,
    /// Hostnames that the service does not hold yet.
    pub takes: Vec<String>,
    /// Hostnames that it holds and would give up.
    pub gives_up: Vec<String>,
    /// Hostnames that would not answer in public before their records are there.
    #[serde(default)]
    pub withheld: Vec<Withheld>,
    /// What would be done, in order.
    pub steps: Vec<PlannedStep>,
    /// What would change of Envoy's resources.
    pub resources: Vec<ResourceChange>,
    /// What else the broker tells, kept for programs.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

/// Asks what a descriptor would change; `None`: what has this id is another team's. That something
/// else is in progress is no refusal: it passes.
pub async fn plan(
    client: &Client,
    identity: &Identity,
    id: &InstanceId,
    descriptor: &Descriptor,
) -> Result<Option<Planned>, Failure> {
    let wanted = json!({
        "instance": id, "organization": identity.platform, "team": identity.team,
        "plan": descriptor.visibility, "parameters": descriptor.parameters.to_json(),
    });
    let answer = client.send(client.request(Method::POST, "/v1/plan").json(&wanted)).await?;
    let refusal = answer.refusal();
    match answer.status {
        StatusCode::OK => answer.read().map(Some),
        StatusCode::CONFLICT => Ok(None),
        _ if refusal.error.as_deref() == Some("ConcurrencyError") => {
            Err(anyhow::anyhow!(refusal.description.unwrap_or_default()).into())
        }
        _ => Err(answer.failure()),
    }
}
