//! What was done to an instance: each operation with what it changed and who asked.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use model::{ExposureChange, Millis, Operation, Requester};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::views::OperationView;

/// An operation, what it changed, and who asked.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct HistoryLine {
    #[serde(flatten)]
    operation: OperationView,
    /// What it changes, in the words of the descriptor: visibility first.
    changes: Vec<ChangeView>,
    /// `became-public` or `no-longer-public`; absent when neither.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    exposure: Option<ExposureChange>,
    /// Who asked.
    asked_by: AskedBy,
}

/// One difference.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ChangeView {
    /// Where in the descriptor, such as `routes[api].timeout.request`.
    path: String,
    /// What was there; absent: nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Value>)]
    before: Option<Value>,
    /// What comes in its place; absent: nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Value>)]
    after: Option<Value>,
}

/// Who asked, and for whom.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AskedBy {
    /// The credential.
    credential: String,
    /// The platform that a platform's credential has named.
    #[serde(skip_serializing_if = "Option::is_none")]
    platform: Option<String>,
    /// Its user, as it tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    user: Option<Value>,
    /// The platform's own id of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<String>,
}

impl HistoryLine {
    pub(super) fn of(operation: &Operation, now: Millis) -> Self {
        let (before, after) = (operation.previous.as_ref(), operation.target.as_ref());
        Self {
            operation: OperationView::of(operation, now),
            changes: changes(before, after),
            exposure: ExposureChange::between(before, after),
            asked_by: AskedBy::of(&operation.requested_by),
        }
    }
}

/// The differences between two specs.
pub(super) fn changes(
    before: Option<&model::Spec>,
    after: Option<&model::Spec>,
) -> Vec<ChangeView> {
    model::changes(before, after).into_iter().map(ChangeView::from).collect()
}

impl From<model::Change> for ChangeView {
    fn from(change: model::Change) -> Self {
        let model::Change { path, before, after } = change;
        Self { path, before, after }
    }
}

impl AskedBy {
    fn of(by: &Requester) -> Self {
        let identity = by.originating_identity.as_deref().and_then(|text| text.split_once(' '));
        let (platform, encoded) = identity.unzip();
        let json = encoded.and_then(|encoded| STANDARD.decode(encoded.trim()).ok());
        Self {
            credential: by.credential.clone(),
            platform: platform.map(str::to_owned),
            user: json.and_then(|json| serde_json::from_slice(&json).ok()),
            request: by.request_identity.clone(),
        }
    }
}
