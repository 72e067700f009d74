//! What the platform API shows.

use model::{Instance, Millis, Operation, Owner, StepRecord};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::words::{InstanceState, OperationKind, OperationState, Plan, StepState, WaitsFor};
use crate::port::Standing;
use crate::progress::description;
use crate::proof::Condition;
use crate::typical::Usual;

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
    state: InstanceState,
    plan: Plan,
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
    /// What is not yet as it was asked to be, and what that waits for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    conditions: Vec<Condition>,
    /// The environment that its platform has named, such as `prod`.
    #[serde(skip_serializing_if = "Option::is_none")]
    environment: Option<String>,
    /// The team that may take it over.
    #[serde(skip_serializing_if = "Option::is_none")]
    offered_to: Option<String>,
}

impl InstanceView {
    pub(crate) fn of(instance: &Instance) -> Self {
        Self {
            id: instance.id.to_string(),
            service: instance.spec.parameters.service.to_string(),
            organization: instance.owner.organization.clone(),
            space: instance.owner.space.clone(),
            state: instance.state.into(),
            plan: instance.spec.plan.into(),
            hostnames: instance.spec.hostnames.iter().map(ToString::to_string).collect(),
            revision: instance.revision,
            parameters: instance.spec.parameters.to_json(),
            created_at: instance.created_at,
            updated_at: instance.updated_at,
            operation: None,
            standing: None,
            conditions: Vec::new(),
            environment: instance.platform_context["environment"].as_str().map(str::to_owned),
            offered_to: None,
        }
    }

    pub(crate) fn offered(mut self, to: Option<Owner>) -> Self {
        self.offered_to = to.map(|to| to.space);
        self
    }

    pub(crate) fn with(
        mut self,
        operation: Option<&Operation>,
        standing: Option<Standing>,
        now: Millis,
    ) -> Self {
        self.operation = operation.map(|operation| OperationView::of(operation, now));
        self.standing = standing;
        self
    }

    /// With what it waits for.
    pub(crate) fn awaiting(mut self, conditions: Vec<Condition>) -> Self {
        self.conditions = conditions;
        self
    }

    /// With what is usual of the steps of its latest operation.
    pub(crate) fn beside(&mut self, usual: &Usual) {
        self.operation = self.operation.take().map(|operation| operation.beside(usual));
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
    kind: OperationKind,
    state: OperationState,
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
    /// The newer update that came in its place. It is `Failed`, and the instance is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    superseded_by: Option<String>,
    /// The deprovision that cancelled it.
    #[serde(skip_serializing_if = "Option::is_none")]
    cancelled_by: Option<String>,
    /// What was left behind in the world, where it was forced.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    leftovers: Vec<String>,
    /// The credential that asked.
    requested_by: String,
    /// Milliseconds since the Unix epoch.
    created_at: Millis,
    /// Milliseconds since the Unix epoch.
    finished_at: Option<Millis>,
    /// Milliseconds that it took, or has taken so far.
    elapsed: Millis,
    /// Changes whenever anything else here but `elapsed` does: send it as `seen` to await that.
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
    state: StepState,
    /// How often it was begun.
    attempts: u32,
    /// Progress, or why it is tried again.
    note: Option<String>,
    /// What it waits for: `user`, `external` or `fleet`. The note tells more. Absent: it is worked on.
    #[serde(skip_serializing_if = "Option::is_none")]
    waits_for: Option<WaitsFor>,
    /// Whether an operator may pass it over.
    skippable: bool,
    /// Why an operator has passed it over.
    #[serde(skip_serializing_if = "Option::is_none")]
    skipped: Option<String>,
    /// Milliseconds since the Unix epoch.
    started_at: Option<Millis>,
    /// Milliseconds since the Unix epoch.
    finished_at: Option<Millis>,
    /// Milliseconds that it took, or has taken so far; absent before it has begun.
    elapsed: Option<Millis>,
    /// Milliseconds that it takes as a rule: the median of late, over all services. Absent: not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    typical: Option<Millis>,
    /// When it will be tried again: milliseconds since the Unix epoch.
    next_at: Option<Millis>,
}

impl OperationView {
    pub(crate) fn of(operation: &Operation, now: Millis) -> Self {
        Self {
            id: operation.id.to_string(),
            instance: operation.instance.to_string(),
            kind: operation.kind.into(),
            state: operation.state.into(),
            description: description(operation),
            steps: operation.steps.iter().map(|step| StepView::of(step, now)).collect(),
            revision: operation.revision,
            error: operation.error.clone(),
            notice: operation.notice.clone(),
            superseded_by: operation.superseded_by().map(ToString::to_string),
            cancelled_by: operation.cancelled_by().map(ToString::to_string),
            leftovers: operation.leftovers.clone(),
            requested_by: operation.requested_by.credential.clone(),
            created_at: operation.created_at,
            finished_at: operation.finished_at,
            elapsed: elapsed(operation.created_at, operation.finished_at, now),
            tag: tag(operation),
        }
    }
}

impl OperationView {
    /// With what is usual of its steps.
    pub(crate) fn beside(mut self, usual: &Usual) -> Self {
        for step in &mut self.steps {
            step.typical = usual.get(&step.name).copied();
        }
        self
    }

    /// Whether it has not ended.
    pub(crate) fn is_open(&self) -> bool {
        self.state == OperationState::InProgress
    }
}

/// From its begin to its end, or to now.
fn elapsed(since: Millis, until: Option<Millis>, now: Millis) -> Millis {
    until.unwrap_or(now).saturating_sub(since).max(0)
}

/// A short name for all that an operation is now.
fn tag(operation: &Operation) -> String {
    let text = serde_json::to_vec(operation).unwrap_or_default();
    format!("{:016x}", model::Version::hash_of(&text))
}

impl StepView {
    fn of(step: &StepRecord, now: Millis) -> Self {
        Self {
            name: step.name.clone(),
            says: step.says.clone(),
            state: step.state.into(),
            attempts: step.attempts,
            note: step.note.clone(),
            waits_for: step.waits_now().map(|waits| waits.on.into()),
            skippable: step.skippable,
            skipped: step.skipped.clone(),
            started_at: step.started_at,
            finished_at: step.finished_at,
            elapsed: step.started_at.map(|since| elapsed(since, step.finished_at, now)),
            typical: None,
            next_at: step.next_at,
        }
    }
}
