//! Rows as values of the model and back.

use model::{Instance, InstanceState, OperationKind, OperationState, Owner, Published, Spec};
use rusqlite::Row;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{DOCUMENT_BYTES_MAX, StoreError};

/// The columns that [`instance`] reads, in its order.
pub(super) const INSTANCE: &str = "id, organization, space, platform_context, state, spec, \
                                   revision, created_at, updated_at";

/// An instance, of a row of [`INSTANCE`].
pub(super) fn instance(row: &Row<'_>) -> Result<Instance, StoreError> {
    Ok(Instance {
        id: name(&text(row, 0)?)?,
        owner: Owner { organization: row.get(1)?, space: row.get(2)? },
        platform_context: read(&text(row, 3)?)?,
        state: instance_state(&text(row, 4)?)?,
        spec: read(&text(row, 5)?)?,
        revision: row.get(6)?,
        created_at: row.get(7)?,
        updated_at: row.get(8)?,
    })
}

/// The columns that [`published`] reads, in its order.
pub(super) const PUBLISHED: &str =
    "instance, revision, spec, good_revision, good_spec, callers, withheld";

/// A change of the feed, of a row of [`PUBLISHED`].
pub(super) fn published(row: &Row<'_>) -> Result<Published, StoreError> {
    let good = match (row.get(3)?, spec(row, 4)?) {
        (Some(revision), Some(spec)) => Some((revision, spec)),
        _ => None,
    };
    Ok(Published {
        instance: name(&text(row, 0)?)?,
        revision: row.get(1)?,
        spec: spec(row, 2)?,
        good,
        callers: list(row, 5)?,
        withheld: list(row, 6)?,
    })
}

/// A list of a JSON column; NULL: nothing.
fn list<T: DeserializeOwned>(row: &Row<'_>, index: usize) -> Result<Vec<T>, StoreError> {
    row.get::<_, Option<String>>(index)?.as_deref().map_or(Ok(Vec::new()), read)
}

fn spec(row: &Row<'_>, index: usize) -> Result<Option<Spec>, StoreError> {
    row.get::<_, Option<String>>(index)?.as_deref().map(read).transpose()
}

/// A text column.
pub(super) fn text(row: &Row<'_>, index: usize) -> Result<String, StoreError> {
    Ok(row.get(index)?)
}

/// A name or id, checked again.
pub(super) fn name<T: TryFrom<String, Error = model::NameError>>(
    text: &str,
) -> Result<T, StoreError> {
    T::try_from(text.to_owned()).map_err(|error| StoreError::Corrupt(error.to_string()))
}

/// A document of a JSON column.
pub(super) fn read<T: DeserializeOwned>(json: &str) -> Result<T, StoreError> {
    Ok(serde_json::from_str(json)?)
}

/// A document for a JSON column; `what` names it should it be too large.
pub(super) fn json<T: Serialize>(what: &str, value: &T) -> Result<String, StoreError> {
    let json = serde_json::to_string(value)?;
    if json.len() <= DOCUMENT_BYTES_MAX {
        return Ok(json);
    }
    Err(StoreError::TooLarge(format!(
        "{what} has {} bytes as JSON, {DOCUMENT_BYTES_MAX} at most",
        json.len()
    )))
}

/// A state's word in its column.
pub(super) fn instance_word(state: InstanceState) -> &'static str {
    match state {
        InstanceState::Provisioning => "provisioning",
        InstanceState::Ready => "ready",
        InstanceState::Failed => "failed",
        InstanceState::Deprovisioning => "deprovisioning",
        InstanceState::Deleted => "deleted",
    }
}

/// The state that a column's word means.
pub(super) fn instance_state(word: &str) -> Result<InstanceState, StoreError> {
    match word {
        "provisioning" => Ok(InstanceState::Provisioning),
        "ready" => Ok(InstanceState::Ready),
        "failed" => Ok(InstanceState::Failed),
        "deprovisioning" => Ok(InstanceState::Deprovisioning),
        "deleted" => Ok(InstanceState::Deleted),
        other => Err(StoreError::Corrupt(format!("`{other}` is not a state of an instance"))),
    }
}

/// A state's word in its column, which an index looks at.
pub(super) fn operation_word(state: OperationState) -> &'static str {
    match state {
        OperationState::InProgress => "in progress",
        OperationState::Succeeded => "succeeded",
        OperationState::Failed => "failed",
    }
}

/// A kind's word in the document.
pub(super) fn kind_word(kind: OperationKind) -> &'static str {
    match kind {
        OperationKind::Provision => "provision",
        OperationKind::Update => "update",
        OperationKind::Deprovision => "deprovision",
    }
}
