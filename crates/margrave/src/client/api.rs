//! The calls of the platform API beside OSB: what there is, and how far it is.

use model::{InstanceId, InstanceState, OperationKind, OperationState, Plan, StepState};
use reqwest::Method;
use serde::{Deserialize, Serialize};

use super::Client;
use crate::failure::Failure;
use crate::state::Endpoints;

/// One step of an operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Its name in its pipeline.
    pub name: String,
    /// What it does, for people.
    pub says: String,
    /// How far it is.
    pub state: StepState,
    /// What it wants known.
    #[serde(default)]
    pub note: Option<String>,
}

/// An operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation {
    /// The OSB operation.
    pub id: String,
    /// What it does.
    pub kind: OperationKind,
    /// How it stands.
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
}

impl Operation {
    /// What its last step that was done said, such as `live on 1/1 proxies`.
    pub fn last_word(&self) -> Option<&str> {
        let done = self.steps.iter().rev().filter(|step| step.state == StepState::Done);
        done.filter_map(|step| step.note.as_deref()).next()
    }
}

/// An instance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Instance {
    /// Its OSB id.
    pub id: InstanceId,
    /// Its service's name.
    pub service: String,
    /// Internal or public.
    pub plan: Plan,
    /// What it answers to.
    pub hostnames: Vec<String>,
    /// Where it is in its life.
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
        self.hostnames.iter().map(|host| format!("http://{host}{port}/")).collect()
    }
}

/// An instance, tombstones included.
pub async fn instance(client: &Client, id: &InstanceId) -> Result<Option<Instance>, Failure> {
    client.find(client.request(Method::GET, &format!("/v1/instances/{id}"))).await
}

/// A page of a list.
#[derive(Deserialize)]
struct Page {
    items: Vec<Instance>,
    #[serde(default)]
    next: Option<String>,
}

/// Every instance that the credentials may see.
pub async fn instances(client: &Client) -> Result<Vec<Instance>, Failure> {
    let mut all = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let request = client.request(Method::GET, "/v1/instances");
        let request = request.query(&after.iter().map(|id| ("after", id)).collect::<Vec<_>>());
        let page: Page = client.ask(request).await?;
        all.extend(page.items);
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(all),
        }
    }
}

/// An operation of an instance, with its steps.
pub async fn operation(
    client: &Client,
    instance: &InstanceId,
    operation: &str,
) -> Result<Option<Operation>, Failure> {
    let path = format!("/v1/instances/{instance}/operations/{operation}");
    client.find(client.request(Method::GET, &path)).await
}
