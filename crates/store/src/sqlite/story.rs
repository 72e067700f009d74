//! What the audit log is told of operations: who asked for which change, and how it ended.

use std::collections::BTreeSet;

use data_encoding::HEXLOWER;
use model::{
    AuditEntry, Hostname, InstanceId, Millis, Operation, OperationKind, OperationState, Owner, Spec,
};
use rusqlite::{Connection, OptionalExtension};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::audit;
use super::request::Tx;
use crate::StoreError;

/// Fields and hostnames that an entry names of one change; of more it tells the number.
const NAMED_MAX: usize = 20;
/// Characters of an error that an entry repeats; the operation has it whole.
const ERROR_CHARS_MAX: usize = 500;

/// An operation was accepted for an instance of `owner`.
pub(super) fn accepted(
    tx: &Tx<'_>,
    operation: &Operation,
    owner: &Owner,
) -> Result<(), StoreError> {
    let action = match operation.kind {
        OperationKind::Provision => "instance.provision",
        OperationKind::Update => "instance.update",
        OperationKind::Deprovision => "instance.deprovision",
    };
    let detail = change(operation)?;
    audit::append(tx, operation.created_at, &entry(operation, action, Some(owner.clone()), detail))
}

/// An operation ended, if it did.
pub(super) fn ended(tx: &Tx<'_>, operation: &Operation, now: Millis) -> Result<(), StoreError> {
    let action = match operation.state {
        OperationState::InProgress => return Ok(()),
        OperationState::Succeeded => "operation.succeeded",
        OperationState::Failed => "operation.failed",
    };
    let mut detail = Map::new();
    if let Some(revision) = operation.revision {
        detail.insert("revision".to_owned(), revision.into());
    }
    if let Some(error) = &operation.error {
        let short: String = error.chars().take(ERROR_CHARS_MAX).collect();
        detail.insert("error".to_owned(), short.into());
    }
    if !operation.leftovers.is_empty() {
        let words: Vec<&str> = operation.leftovers.iter().map(String::as_str).collect();
        detail.insert("leftovers".to_owned(), named(&words));
    }
    let owner = owner(tx.conn, &operation.instance)?;
    audit::append(tx, now, &entry(operation, action, owner, detail))
}

fn entry(
    operation: &Operation,
    action: &str,
    owner: Option<Owner>,
    mut detail: Map<String, Value>,
) -> AuditEntry {
    detail.insert("operation".to_owned(), operation.id.as_str().into());
    AuditEntry {
        by: operation.requested_by.clone(),
        action: action.to_owned(),
        object: operation.instance.as_str().to_owned(),
        owner,
        detail: Value::Object(detail),
    }
}

/// Whose an instance is.
pub(super) fn owner(conn: &Connection, instance: &InstanceId) -> Result<Option<Owner>, StoreError> {
    let owner = conn
        .prepare_cached("SELECT organization, space FROM instances WHERE id = ?1")?
        .query_row([instance.as_str()], |row| {
            Ok(Owner { organization: row.get(0)?, space: row.get(1)? })
        })
        .optional()?;
    Ok(owner)
}

/// What changes, without the values: they may be long, and a header may hold what is nobody's
/// business. The digest tells one spec from another.
fn change(operation: &Operation) -> Result<Map<String, Value>, StoreError> {
    let (old, new) = (operation.previous.as_ref(), operation.target.as_ref());
    let mut detail = Map::new();
    if operation.force {
        detail.insert("force".to_owned(), true.into());
    }
    if let Some(spec) = new.or(old) {
        detail.insert("service".to_owned(), spec.parameters.service.as_str().into());
        detail.insert("plan".to_owned(), serde_json::to_value(spec.plan)?);
        detail.insert("spec".to_owned(), digest(spec)?.into());
    }
    if let (Some(old), Some(new)) = (old, new) {
        detail.insert("changed".to_owned(), fields(old, new)?);
        if old.plan != new.plan {
            detail.insert("plan_before".to_owned(), serde_json::to_value(old.plan)?);
        }
    }
    let names = |spec: Option<&Spec>| {
        spec.map(|it| it.hostnames.iter().cloned().collect()).unwrap_or_default()
    };
    let (old, new): (BTreeSet<Hostname>, BTreeSet<Hostname>) = (names(old), names(new));
    for (key, some) in [("hostnames_added", &new - &old), ("hostnames_removed", &old - &new)] {
        if !some.is_empty() {
            let words: Vec<&str> = some.iter().map(Hostname::as_str).collect();
            detail.insert(key.to_owned(), named(&words));
        }
    }
    Ok(detail)
}

/// The fields of the descriptor that differ.
fn fields(old: &Spec, new: &Spec) -> Result<Value, StoreError> {
    let (old, new) = (serde_json::to_value(old)?, serde_json::to_value(new)?);
    let mut found = Vec::new();
    for part in [Value::clone, |spec: &Value| spec["parameters"].clone()] {
        let (old, new) = (part(&old), part(&new));
        let keys: BTreeSet<&String> =
            [&old, &new].iter().filter_map(|it| it.as_object()).flat_map(Map::keys).collect();
        found.extend(
            keys.into_iter()
                .filter(|key| *key != "parameters" && old.get(key) != new.get(key))
                .map(ToString::to_string),
        );
    }
    found.sort();
    found.dedup();
    let found: Vec<&str> = found.iter().map(String::as_str).collect();
    Ok(named(&found))
}

fn named(words: &[&str]) -> Value {
    let more = words.len().saturating_sub(NAMED_MAX);
    let last = (more > 0).then(|| format!("and {more} more"));
    json!(words.iter().copied().take(NAMED_MAX).chain(last.as_deref()).collect::<Vec<_>>())
}

/// A short name for a spec: the first half of its SHA-256.
fn digest(spec: &Spec) -> Result<String, StoreError> {
    let hash = Sha256::digest(serde_json::to_vec(spec)?);
    Ok(HEXLOWER.encode(&hash[..16]))
}
