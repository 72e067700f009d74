//! An operation: one asynchronous change to an instance, and how far it has come.

use serde::{Deserialize, Serialize};

use crate::{InstanceId, Millis, OperationId, Spec};

/// What an operation does; each kind has one pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OperationKind {
    /// OSB provision.
    Provision,
    /// OSB update.
    Update,
    /// OSB deprovision.
    Deprovision,
}

/// OSB's `state` of a last operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum OperationState {
    /// Accepted and not ended.
    #[serde(rename = "in progress")]
    InProgress,
    /// The fleet has the change.
    #[serde(rename = "succeeded")]
    Succeeded,
    /// It ended otherwise; `Operation::error` says why.
    #[serde(rename = "failed")]
    Failed,
}

/// How far one step has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepState {
    /// Not begun.
    Pending,
    /// Begun; its effect may or may not have happened.
    Running,
    /// Its effect has happened.
    Done,
    /// Being undone.
    Undoing,
    /// Its effect is gone again.
    Undone,
    /// It gave up.
    Failed,
}

/// One step of an operation, written before and after it acts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepRecord {
    /// The step's name in its pipeline.
    pub name: String,
    /// The sentence that the user sees while it runs.
    pub says: String,
    /// How far it has come.
    pub state: StepState,
    /// How often it was begun.
    pub attempts: u32,
    /// Not before this time, when it is waiting to be tried again.
    pub next_at: Option<Millis>,
    /// When it was first begun.
    pub started_at: Option<Millis>,
    /// When it was done, undone or given up.
    pub finished_at: Option<Millis>,
    /// What the step wants the user to know now: progress, or why it is tried again.
    pub note: Option<String>,
}

/// Who asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requester {
    /// The credential that authenticated the request.
    pub credential: String,
    /// `X-Broker-API-Originating-Identity` as received, believed only of a platform's credential.
    pub originating_identity: Option<String>,
    /// `X-Broker-API-Request-Identity` as received.
    pub request_identity: Option<String>,
}

/// One asynchronous change to one instance. One at a time an instance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Operation {
    /// The OSB `operation` string.
    pub id: OperationId,
    /// The instance that it changes.
    pub instance: InstanceId,
    /// What it does.
    pub kind: OperationKind,
    /// OSB state.
    pub state: OperationState,
    /// What the instance shall be; `None` for a deprovision.
    pub target: Option<Spec>,
    /// What the instance was when this was accepted; `None` for a provision.
    pub previous: Option<Spec>,
    /// The steps of its pipeline; empty until a worker has first taken it.
    pub steps: Vec<StepRecord>,
    /// The revision that its publish wrote: after it the operation only goes forward.
    pub revision: Option<u64>,
    /// Why it failed, in the tenant's words.
    pub error: Option<String>,
    /// What a succeeded operation still wants said, such as a region without proxies.
    pub notice: Option<String>,
    /// Who asked.
    pub requested_by: Requester,
    /// When it was accepted.
    pub created_at: Millis,
    /// When it ended.
    pub finished_at: Option<Millis>,
}

/// A queue message: an operation's id and nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// The operation to carry out.
    pub operation_id: OperationId,
}
