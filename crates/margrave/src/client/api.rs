//! The calls of the platform API beside OSB: what there is, and how far it is.

use model::{
    Descriptor, InstanceId, InstanceState, OperationKind, OperationState, Plan, StepState,
};
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::Client;
use crate::failure::Failure;
use crate::state::Endpoints;

/// One step of an operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Step {
    /// Its name in its pipeline.
    pub name: String,
    /// What it does, for people.
    pub says: String,
    /// How far it is.
    #[schema(value_type = String, example = "done")]
    pub state: StepState,
    /// What it wants known.
    #[serde(default)]
    pub note: Option<String>,
    /// Milliseconds that it took, or has taken so far.
    #[serde(default)]
    pub elapsed: Option<i64>,
    /// Milliseconds that it takes as a rule: the median of late; absent when nobody knows yet.
    #[serde(default)]
    pub typical: Option<i64>,
    /// What else the broker tells, kept for programs.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

/// An operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Operation {
    /// The OSB operation.
    pub id: String,
    /// What it does.
    #[schema(value_type = String, example = "provision")]
    pub kind: OperationKind,
    /// How it stands: `in progress`, `succeeded` or `failed`.
    #[schema(value_type = String, example = "succeeded")]
    pub state: OperationState,
    /// Its steps.
    #[serde(default)]
    pub steps: Vec<Step>,
    /// Why it failed.
    #[serde(default)]
    pub error: Option<String>,
    /// What a success still wants said.
    #[serde(default)]
    pub notice: Option<String>,
    /// Changes whenever anything else here does.
    #[serde(default)]
    pub tag: String,
    /// What else the broker tells, kept for programs.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

/// How an instance stands at the control plane.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Standing {
    /// The revision that proxies are given.
    pub served: Option<u64>,
    /// Why that is not the latest.
    pub quarantine: Option<String>,
    /// What its team should know.
    pub notices: Vec<String>,
    /// What else the broker tells, kept for programs.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

impl Operation {
    /// What it does and how it stands, in a few words.
    pub fn headline(&self) -> String {
        let what = match self.kind {
            OperationKind::Provision => "provision",
            OperationKind::Update => "update",
            OperationKind::Deprovision => "delete",
        };
        match self.state {
            OperationState::InProgress => format!("{what} in progress"),
            OperationState::Succeeded => format!("{what} succeeded"),
            OperationState::Failed => format!("{what} failed"),
        }
    }

    /// What a forced deprovision, or a step that was passed over, has left behind.
    pub fn leftovers(&self) -> impl Iterator<Item = &str> {
        let listed = self.more.get("leftovers").and_then(Value::as_array);
        listed.into_iter().flatten().filter_map(Value::as_str)
    }

    /// What its last step that was done said, such as `live on 1/1 proxies`; of what is gone
    /// there is nothing to say.
    pub fn last_word(&self) -> Option<&str> {
        if self.kind == OperationKind::Deprovision {
            return None;
        }
        let done = self.steps.iter().rev().filter(|step| step.state == StepState::Done);
        done.filter_map(|step| step.note.as_deref()).next()
    }
}

/// An instance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Instance {
    /// Its OSB id.
    #[schema(value_type = String)]
    pub id: InstanceId,
    /// Its service's name.
    pub service: String,
    /// `internal` or `public`.
    #[schema(value_type = String, example = "internal")]
    pub plan: Plan,
    /// What it answers to.
    pub hostnames: Vec<String>,
    /// Where it is in its life.
    #[schema(value_type = String, example = "ready")]
    pub state: InstanceState,
    /// OSB organisation.
    #[serde(default)]
    pub organization: String,
    /// OSB space.
    #[serde(default)]
    pub space: String,
    /// The revision of its last publish.
    #[serde(default)]
    pub revision: Option<u64>,
    /// Its latest operation.
    #[serde(default)]
    pub operation: Option<Operation>,
    /// How proxies are served.
    #[serde(default)]
    pub standing: Option<Standing>,
    /// What is not yet as it was asked to be, and what that waits for.
    #[serde(default)]
    pub conditions: Vec<Condition>,
    /// What else the broker tells, kept for programs.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

/// Something that waits, such as for the proof of a hostname.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Condition {
    /// What to do, in a sentence.
    pub message: String,
    /// What was found when it was last looked at.
    #[serde(default)]
    pub problem: Option<String>,
    /// What else the broker tells, kept for programs.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

impl Instance {
    /// Whether it can be updated; otherwise its id is free to be provisioned.
    pub fn is_there(&self) -> bool {
        !matches!(self.state, InstanceState::Deleted | InstanceState::Failed)
    }

    /// Whether anything of it is left to delete.
    pub fn is_anything(&self) -> bool {
        self.state != InstanceState::Deleted
    }

    /// Where it is in its life, in a word.
    pub fn standing(&self) -> &'static str {
        let changing = |operation: &Operation| operation.state == OperationState::InProgress;
        match self.state {
            InstanceState::Provisioning => "provisioning",
            InstanceState::Ready if self.operation.as_ref().is_some_and(changing) => "updating",
            InstanceState::Ready => "ready",
            InstanceState::Failed => "failed",
            InstanceState::Deprovisioning => "deleting",
            InstanceState::Deleted => "deleted",
        }
    }

    /// Where to try it: each hostname on the listener of its widest exposure, with the port of the
    /// local platform where that is known.
    pub fn urls(&self, endpoints: Option<&Endpoints>) -> Vec<String> {
        let port = endpoints.map(|endpoints| match self.plan {
            Plan::Public => endpoints.public.port(),
            Plan::Internal => endpoints.internal.port(),
        });
        let port = port.filter(|port| *port != 80).map_or(String::new(), |port| format!(":{port}"));
        let hosts = self.hostnames.iter().filter(|_| self.is_there());
        hosts.map(|host| format!("http://{host}{port}/")).collect()
    }

    /// How to try a name that DNS does not lead here: a `curl` that is told where to go. Names under
    /// `localhost` lead here by themselves.
    pub fn curl(&self, endpoints: &Endpoints) -> Option<String> {
        let elsewhere = |host: &&String| !host.ends_with(".localhost");
        let host = self.hostnames.iter().find(elsewhere)?.replacen('*', "any", 1);
        let address = match self.plan {
            Plan::Public => endpoints.public,
            Plan::Internal => endpoints.internal,
        };
        Some(format!("curl --connect-to '::{address}' http://{host}/"))
    }
}

/// An instance, tombstones included.
pub async fn instance(client: &Client, id: &InstanceId) -> Result<Option<Instance>, Failure> {
    client.find(client.request(Method::GET, &format!("/v1/instances/{id}"))).await
}

/// A page of a list.
#[derive(Deserialize)]
struct Page {
    instances: Vec<Instance>,
    #[serde(default)]
    next: Option<String>,
}

/// Every instance that the credentials may see, of those that `query` asks for.
pub async fn instances(
    client: &Client,
    query: &[(&'static str, String)],
) -> Result<Vec<Instance>, Failure> {
    let mut all = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let request = client.request(Method::GET, "/v1/instances").query(query);
        let request = request.query(&after.iter().map(|id| ("after", id)).collect::<Vec<_>>());
        let page: Page = client.ask(request).await?;
        all.extend(page.instances);
        match page.next {
            Some(next) => after = Some(next),
            None => {
                all.sort_by(|a: &Instance, b| (&a.service, &a.space).cmp(&(&b.service, &b.space)));
                return Ok(all);
            }
        }
    }
}

/// How long the broker is asked to wait for news, in seconds; far below the client's own patience.
const NEWS_WAIT_S: u64 = 10;

/// An operation with its steps: as soon as it is another than the one with the tag `seen`.
pub async fn operation(
    client: &Client,
    operation: &str,
    seen: Option<&str>,
) -> Result<Option<Operation>, Failure> {
    let request = client.request(Method::GET, &format!("/v1/operations/{operation}"));
    let request = match seen {
        Some(seen) => request.query(&[("seen", seen)]).query(&[("wait", NEWS_WAIT_S)]),
        None => request,
    };
    client.find(request).await
}

/// The Envoy resources that an instance becomes.
pub async fn resources(client: &Client, id: &InstanceId) -> Result<Option<Value>, Failure> {
    client.find(client.request(Method::GET, &format!("/v1/instances/{id}/resources"))).await
}

/// The Envoy resources that a descriptor would become.
pub async fn render(
    client: &Client,
    id: &InstanceId,
    descriptor: &Descriptor,
) -> Result<Value, Failure> {
    let parameters = descriptor.parameters.to_json();
    let draft = json!({"instance": id, "plan": descriptor.visibility, "parameters": parameters});
    client.ask(client.request(Method::POST, "/v1/render").json(&draft)).await
}
