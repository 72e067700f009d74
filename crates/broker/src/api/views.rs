//! What the platform API shows.

use model::{Instance, InstanceState, Millis, Operation, StepRecord};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::port::Standing;
use crate::progress::description;

/// A service instance.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct InstanceView {
    /// OSB `instance_id`.
    id: String,
    /// The service's name.
    pub(crate) service: String,
    /// OSB organisation.
    organization: String,
    /// OSB space: the team.
    space: String,
    /// `provisioning`, `ready`, `failed`, `deprovisioning` or `deleted`.
    #[schema(value_type = String)]
    state: InstanceState,
    /// `internal` or `public`.
    plan: String,
    /// What it answers to.
    hostnames: Vec<String>,
    /// The revision of its last publish.
    revision: Option<u64>,
    /// The descriptor without its visibility.
    #[schema(value_type = Object)]
    parameters: Value,
    /// Milliseconds since the Unix epoch.
    created_at: Millis,
    /// Milliseconds since the Unix epoch.
    updated_at: Millis,
    /// Its latest operation.
    #[serde(skip_serializing_if = "Option::is_none")]
    operation: Option<OperationView>,
    /// How it stands at the control plane.
    #[serde(skip_serializing_if = "Option::is_none")]
    standing: Option<Standing>,
}

impl InstanceView {
    pub(crate) fn of(instance: &Instance) -> Self {
        Self {
            id: instance.id.to_string(),
            service: instance.spec.parameters.service.to_string(),
            organization: instance.owner.organization.clone(),
            space: instance.owner.space.clone(),
            state: instance.state,
            plan: instance.spec.plan.as_str().to_owned(),
            hostnames: instance.spec.hostnames.iter().map(ToString::to_string).collect(),
            revision: instance.revision,
            parameters: instance.spec.parameters.to_json(),
            created_at: instance.created_at,
            updated_at: instance.updated_at,
            operation: None,
            standing: None,
        }
    }

    pub(crate) fn with(
        mut self,
        operation: Option<&Operation>,
        standing: Option<Standing>,
    ) -> Self {
        self.operation = operation.map(OperationView::of);
        self.standing = standing;
        self
    }
}

/// An operation and its steps.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OperationView {
    /// The OSB `operation` string.
    id: String,
    /// The instance.
    instance: String,
    /// `provision`, `update` or `deprovision`.
    #[schema(value_type = String)]
    kind: model::OperationKind,
    /// `in progress`, `succeeded` or `failed`.
    #[schema(value_type = String)]
    state: model::OperationState,
    /// The sentence for the user.
    description: String,
    /// Its steps, in order; empty until a worker has taken it.
    steps: Vec<StepView>,
    /// The revision that it published.
    revision: Option<u64>,
    /// Why it failed.
    error: Option<String>,
    /// What a success still wants said.
    notice: Option<String>,
    /// The credential that asked.
    requested_by: String,
    /// Milliseconds since the Unix epoch.
    created_at: Millis,
    /// Milliseconds since the Unix epoch.
    finished_at: Option<Millis>,
    /// Changes whenever anything else here does: send it as `seen` to await that.
    pub(crate) tag: String,
}

/// A step.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StepView {
    /// Its name in the pipeline.
    name: String,
    /// What it does, for the user.
    says: String,
    /// `pending`, `running`, `done`, `undoing`, `undone` or `failed`.
    #[schema(value_type = String)]
    state: model::StepState,
    /// How often it was begun.
    attempts: u32,
    /// Progress, or why it is tried again.
    note: Option<String>,
    /// Milliseconds since the Unix epoch.
    started_at: Option<Millis>,
    /// Milliseconds since the Unix epoch.
    finished_at: Option<Millis>,
}

impl OperationView {
    pub(crate) fn of(operation: &Operation) -> Self {
        Self {
            id: operation.id.to_string(),
            instance: operation.instance.to_string(),
            kind: operation.kind,
            state: operation.state,
            description: description(operation),
            steps: operation.steps.iter().map(StepView::of).collect(),
            revision: operation.revision,
            error: operation.error.clone(),
            notice: operation.notice.clone(),
            requested_by: operation.requested_by.credential.clone(),
            created_at: operation.created_at,
            finished_at: operation.finished_at,
            tag: tag(operation),
        }
    }
}

impl OperationView {
    /// Whether it has not ended.
    pub(crate) fn is_open(&self) -> bool {
        self.state == model::OperationState::InProgress
    }
}

/// A short name for all that an operation is now.
fn tag(operation: &Operation) -> String {
    let text = serde_json::to_vec(operation).unwrap_or_default();
    format!("{:016x}", model::Version::hash_of(&text))
}

impl StepView {
    fn of(step: &StepRecord) -> Self {
        Self {
            name: step.name.clone(),
            says: step.says.clone(),
            state: step.state,
            attempts: step.attempts,
            note: step.note.clone(),
            started_at: step.started_at,
            finished_at: step.finished_at,
        }
    }
}
