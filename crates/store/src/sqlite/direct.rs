//! An operator's word about an operation in progress.

use async_trait::async_trait;
use model::{AuditEntry, Direction, Millis, Operation, OperationId, Requester};
use serde_json::{Value, json};

use super::request::Tx;
use super::{Sqlite, audit, jobs, read, save, story};
use crate::{Directed, Operators, StoreError};

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
    if let Err(refusal) = operation.direct(direction, &by.credential, now) {
        return Ok(Directed::No(refusal));
    }
    save::write_operation(tx, &operation)?;
    jobs::hand_over(tx, id, id, &operation.instance, now)?;
    audit::append(tx, now, &entry(tx, &operation, direction, by)?)?;
    Ok(Directed::Yes(Box::new(operation)))
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
