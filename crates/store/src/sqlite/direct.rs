//! An operator's word about an operation in progress.

use async_trait::async_trait;
use model::{
    AuditEntry, Direction, Millis, Operation, OperationId, Requester, StepRecord, StepState,
};
use serde_json::{Value, json};

use super::request::Tx;
use super::{Sqlite, audit, jobs, read, save, story};
use crate::{Directed, Operators, StoreError};

/// Said where a step cannot be passed over now.
const AT_WORK: &str = "a worker is at this step now, and what it does may arrive after what you did by \
                       hand; ask again in a moment, when it has failed, waits, or was given up (two \
                       minutes at most)";

#[async_trait]
impl Operators for Sqlite {
    async fn direct(
        &self,
        id: &OperationId,
        direction: Direction,
        by: Requester,
        now: Millis,
    ) -> Result<Directed, StoreError> {
        let id = id.clone();
        self.inner.writer.write(move |tx| direct(tx, &id, &direction, by, now)).await
    }
}

fn direct(
    tx: &Tx<'_>,
    id: &OperationId,
    direction: &Direction,
    by: Requester,
    now: Millis,
) -> Result<Directed, StoreError> {
    let Some(mut operation) = read::operation(tx.conn, id)? else { return Ok(Directed::Unknown) };
    if is_at_work(tx, &operation, direction, now)? {
        return Ok(Directed::No(AT_WORK.to_owned()));
    }
    if let Err(refusal) = operation.direct(direction, &by.credential, now) {
        return Ok(Directed::No(refusal));
    }
    save::write_operation(tx, &operation)?;
    jobs::hand_over(tx, id, id, &operation.instance, now)?;
    audit::append(tx, now, &entry(tx, &operation, direction, by)?)?;
    Ok(Directed::Yes(Box::new(operation)))
}

/// Whether a worker is in the midst of what is to be passed over: its effects may arrive after an
/// operator has seen to it.
fn is_at_work(
    tx: &Tx<'_>,
    operation: &Operation,
    direction: &Direction,
    now: Millis,
) -> Result<bool, StoreError> {
    let Direction::Skip { step, .. } = direction else { return Ok(false) };
    let is_open = |state| matches!(state, StepState::Running | StepState::Undoing);
    // A look at what waits changes nothing, and what is delayed was saved as such after it had failed.
    let rests = |it: &StepRecord| it.waits_now().is_some() || it.next_at.is_some();
    let acts = |it: &StepRecord| is_open(it.state) && !rests(it);
    let acts = operation.steps.iter().any(|it| it.name == *step && acts(it));
    Ok(acts && jobs::is_held(tx.conn, &operation.id, now)?)
}

fn entry(
    tx: &Tx<'_>,
    operation: &Operation,
    direction: &Direction,
    by: Requester,
) -> Result<AuditEntry, StoreError> {
    Ok(AuditEntry {
        by,
        action: direction.action().to_owned(),
        object: operation.id.to_string(),
        owner: story::owner(tx.conn, &operation.instance)?,
        detail: detail(operation, direction),
    })
}

fn detail(operation: &Operation, direction: &Direction) -> Value {
    let instance = operation.instance.as_str();
    match direction {
        Direction::Retry => json!({"instance": instance}),
        Direction::Skip { step, reason } => {
            json!({"instance": instance, "step": step, "reason": reason})
        }
        Direction::Cancel { reason } => json!({"instance": instance, "reason": reason}),
    }
}
