//! An operation told to its user.

use model::{Operation, OperationKind, OperationState, StepRecord, StepState};

/// Seconds until the next poll is worth it.
pub(crate) const POLL_AGAIN_S: u64 = 1;

/// The sentence for OSB's `description`.
pub(crate) fn description(operation: &Operation) -> String {
    match operation.state {
        OperationState::InProgress => running(operation),
        OperationState::Failed => operation
            .error
            .clone()
            .unwrap_or_else(|| "it failed; the operators can see why".to_owned()),
        OperationState::Succeeded => {
            let done = match operation.kind {
                OperationKind::Provision | OperationKind::Update => "live",
                OperationKind::Deprovision => "gone",
            };
            let said = operation.notice.as_ref().map(|notice| format!("{done}: {notice}"));
            said.unwrap_or_else(|| done.to_owned())
        }
    }
}

fn running(operation: &Operation) -> String {
    let current = operation.steps.iter().find(|step| {
        matches!(step.state, StepState::Pending | StepState::Running | StepState::Undoing)
    });
    match current {
        None => "accepted; waiting for a worker".to_owned(),
        Some(step) => sentence(step),
    }
}

fn sentence(step: &StepRecord) -> String {
    let undoing = if step.state == StepState::Undoing { "undoing: " } else { "" };
    let note = step.note.as_ref().map_or(String::new(), |note| format!(" ({note})"));
    format!("{undoing}{}{note}", step.says)
}
