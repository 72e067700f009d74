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
    /// What it waits for, or has waited for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits: Option<Waits>,
    /// Whether an operator may pass it over.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub skippable: bool,
    /// Why an operator has passed it over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skipped: Option<String>,
}

impl StepRecord {
    /// The record of a step that has not begun.
    pub fn new(name: impl Into<String>, says: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            says: says.into(),
            state: StepState::Pending,
            attempts: 0,
            next_at: None,
            started_at: None,
            finished_at: None,
            note: None,
            waits: None,
            skippable: false,
            skipped: None,
        }
    }

    /// What it waits for now, where nothing is left for a worker to do.
    pub fn waits_now(&self) -> Option<Waits> {
        let open = matches!(self.state, StepState::Running | StepState::Undoing);
        self.waits.filter(|_| open)
    }
}

/// What a step waits for when nothing is left for a worker to do: it holds no worker meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WaitsFor {
    /// A person must do something, such as make a DNS record. The note says what.
    User,
    /// Something outside the platform takes its time.
    External,
    /// The proxies are to follow.
    Fleet,
}

/// A wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waits {
    /// For what.
    pub on: WaitsFor,
    /// Since when.
    pub since: Millis,
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

/// One asynchronous change to one instance. One is in progress at a time an instance.
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
    /// The version of the platform that it was accepted under (OSB `maintenance_info`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maintenance: Option<String>,
    /// The operation that cut it short.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub successor: Option<Successor>,
    /// It failed for a reason that lies in what was asked: the same again fails again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub hopeless: bool,
    /// What fails is passed over and told in `leftovers`: an operator wants the instance gone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub force: bool,
    /// What was left behind in the world, in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub leftovers: Vec<String>,
}

/// The operation that came in place of another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Successor {
    /// Its id.
    pub operation: OperationId,
    /// A deprovision has cancelled the other; an update has superseded it.
    pub kind: OperationKind,
}

impl Operation {
    /// An operation as it is accepted.
    pub fn new(
        id: OperationId,
        instance: InstanceId,
        kind: OperationKind,
        requested_by: Requester,
        created_at: Millis,
    ) -> Self {
        Self {
            id,
            instance,
            kind,
            state: OperationState::InProgress,
            target: None,
            previous: None,
            steps: Vec::new(),
            revision: None,
            error: None,
            notice: None,
            requested_by,
            created_at,
            finished_at: None,
            maintenance: None,
            successor: None,
            hopeless: false,
            force: false,
            leftovers: Vec::new(),
        }
    }

    /// Whether a new operation may come in place of this one, which is in progress. A deprovision
    /// always may, except of another that tries no less; an update once this one is published,
    /// when nothing is left but to wait and to clear up.
    pub fn gives_way_to(&self, newer: &Self) -> bool {
        let leaving = self.kind == OperationKind::Deprovision;
        match newer.kind {
            OperationKind::Provision => false,
            OperationKind::Update => !leaving && self.revision.is_some(),
            OperationKind::Deprovision => !leaving || (newer.force && !self.force),
        }
    }

    /// Ends it, because `newer` comes in its place and takes over what it has done.
    pub fn give_way_to(&mut self, newer: &Self) {
        let who = &newer.requested_by.credential;
        let why = match newer.kind {
            OperationKind::Deprovision => format!("cancelled: the instance was deleted by {who}"),
            _ => format!("superseded: {who} has asked for something newer"),
        };
        self.error = Some(match self.error.take() {
            Some(before) => format!("{before}; {why}"),
            None => why,
        });
        self.state = OperationState::Failed;
        self.finished_at = Some(newer.created_at.max(self.created_at));
        self.successor = Some(Successor { operation: newer.id.clone(), kind: newer.kind });
    }

    /// The newer update that has come in its place. Then it has not failed: what became of the
    /// instance is told by the newer one.
    pub fn superseded_by(&self) -> Option<&OperationId> {
        let successor = self.successor.as_ref()?;
        (successor.kind != OperationKind::Deprovision).then_some(&successor.operation)
    }

    /// The deprovision that has cancelled it.
    pub fn cancelled_by(&self) -> Option<&OperationId> {
        let successor = self.successor.as_ref()?;
        (successor.kind == OperationKind::Deprovision).then_some(&successor.operation)
    }
}

/// A queue message: an operation's id and nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// The operation to carry out.
    pub operation_id: OperationId,
}
