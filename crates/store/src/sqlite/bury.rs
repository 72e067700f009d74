//! The end of an operation that nobody can carry out: it is written as failed, for all to see.

use model::{InstanceId, Millis, Operation, OperationId, OperationKind, OperationState, Requester};
use rusqlite::{OptionalExtension, params};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::request::Tx;
use super::{blobs, jobs, rows, save, story};
use crate::{Fence, StoreError};

/// Where documents that cannot be read are kept, for whoever mends them.
const UNREADABLE: &str = "unreadable/operations/";

/// See [`Queue::bury`](crate::Queue::bury).
pub(super) fn bury(tx: &Tx<'_>, fence: &Fence, why: &str, now: Millis) -> Result<(), StoreError> {
    jobs::check(tx.conn, fence)?;
    let id = &fence.operation;
    let found = tx
        .conn
        .prepare_cached("SELECT instance, document FROM operations WHERE id = ?1")?
        .query_row([id.as_str()], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))
        .optional()?;
    if let Some((instance, document)) = found {
        let mut operation = match rows::read::<Operation>(&document) {
            Ok(operation) => operation,
            Err(_) => {
                blobs::put(tx.conn, &format!("{UNREADABLE}{id}"), document.as_bytes())?;
                salvage(id, rows::name(&instance)?, &document, now)
            }
        };
        end(tx, &mut operation, why, now)?;
    }
    jobs::end(tx, id)
}

fn end(tx: &Tx<'_>, operation: &mut Operation, why: &str, now: Millis) -> Result<(), StoreError> {
    operation.state = OperationState::Failed;
    operation.finished_at = Some(now);
    operation.error = Some(match operation.error.take() {
        Some(before) => format!("{before}; {why}"),
        None => why.to_owned(),
    });
    save::write_operation(tx, operation)?;
    // What may be half made can be taken away, and nothing else.
    tx.conn
        .prepare_cached(
            "UPDATE instances SET state = 'deprovisioning', updated_at = max(?2, updated_at + 1) \
             WHERE id = ?1 AND state = 'provisioning'",
        )?
        .execute(params![operation.instance.as_str(), now])?;
    story::ended(tx, operation, now)
}

/// What can still be read of it.
fn salvage(id: &OperationId, instance: InstanceId, document: &str, now: Millis) -> Operation {
    let value: Value = serde_json::from_str(document).unwrap_or_default();
    let nobody = || Requester {
        credential: "unknown".to_owned(),
        originating_identity: None,
        request_identity: None,
    };
    let by = part(&value, "requested_by").unwrap_or_else(nobody);
    let kind = part(&value, "kind").unwrap_or(OperationKind::Update);
    let since = part(&value, "created_at").unwrap_or(now);
    let mut operation = Operation::new(id.clone(), instance, kind, by, since);
    operation.target = part(&value, "target");
    operation.previous = part(&value, "previous");
    operation.revision = part(&value, "revision");
    operation
}

fn part<T: DeserializeOwned>(value: &Value, key: &str) -> Option<T> {
    serde_json::from_value(value.get(key)?.clone()).ok()
}
