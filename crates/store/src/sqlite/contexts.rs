//! The platform context of an instance, by itself.

use async_trait::async_trait;
use model::{AuditEntry, InstanceId, Millis};
use rusqlite::params;
use serde_json::Value;

use super::request::Tx;
use super::{Sqlite, audit, rows};
use crate::{Contexts, StoreError};

fn set(
    tx: &Tx<'_>,
    instance: &InstanceId,
    context: &Value,
    (seen, at): (Millis, Millis),
    entry: &AuditEntry,
) -> Result<bool, StoreError> {
    let json = rows::json("the platform context", context)?;
    let written = tx
        .conn
        .prepare_cached(
            "UPDATE instances SET platform_context = ?2, updated_at = max(?4, updated_at + 1) \
             WHERE id = ?1 AND updated_at = ?3 AND state <> 'deleted'",
        )?
        .execute(params![instance.as_str(), json, seen, at])?;
    if written == 0 {
        return Ok(false);
    }
    audit::append(tx, at, entry)?;
    Ok(true)
}

#[async_trait]
impl Contexts for Sqlite {
    async fn set_context(
        &self,
        instance: &InstanceId,
        context: Value,
        seen: Millis,
        at: Millis,
        entry: AuditEntry,
    ) -> Result<bool, StoreError> {
        let id = instance.clone();
        self.inner.writer.write(move |tx| set(tx, &id, &context, (seen, at), &entry)).await
    }
}
