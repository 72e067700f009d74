//! The keys with which secrets are sealed at rest, for operators.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use model::{AuditEntry, Millis};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use crate::error::{Error, ErrorBody};
use crate::identity::requester;
use crate::principal::Who;
use crate::router::Broker;

/// The keyring, without its keys.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct KeyringView {
    /// The newest, with which everything is sealed, comes last. Others are there as long as
    /// something is still sealed with them.
    keys: Vec<KeyView>,
}

/// A key by its id.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct KeyView {
    /// A digest of the key.
    id: String,
    /// When it was made, in milliseconds since the Unix epoch.
    created_at: Millis,
}

fn view(broker: &Broker) -> Json<KeyringView> {
    let keys = broker.parts.vault.keys().into_iter();
    Json(KeyringView { keys: keys.map(|(id, created_at)| KeyView { id, created_at }).collect() })
}

/// The ids of the keys.
#[utoipa::path(get, path = "/v1/keys", tag = "platform", operation_id = "keys", responses(
    (status = 200, description = "As they are now", body = KeyringView),
    (status = 403, description = "It is for operators", body = ErrorBody),
))]
pub(crate) async fn list(
    State(broker): State<Arc<Broker>>,
    Who(who): Who,
) -> Result<Json<KeyringView>, Error> {
    crate::principal::operator(&who)?;
    Ok(view(&broker))
}

/// Adds a key, seals everything anew, and drops the keys before it.
#[utoipa::path(post, path = "/v1/keys/rotate", tag = "platform", operation_id = "rotateKeys", responses(
    (status = 200, description = "Everything is sealed with the new key", body = KeyringView),
    (status = 403, description = "It is for operators", body = ErrorBody),
    (status = 500, description = "It was begun and not finished: every key is kept, and a start finishes it", body = ErrorBody),
))]
pub(crate) async fn rotate(
    State(broker): State<Arc<Broker>>,
    Who(who): Who,
    headers: HeaderMap,
) -> Result<Json<KeyringView>, Error> {
    crate::principal::operator(&who)?;
    let entry = AuditEntry {
        by: requester(&who, &headers)?,
        action: "platform.rotate-keys".to_owned(),
        object: "platform".to_owned(),
        owner: None,
        detail: json!({}),
    };
    broker.parts.audit.append(broker.now(), entry).await?;
    broker.parts.vault.rotate(broker.now()).await.map_err(|why| {
        tracing::error!(%why, "keys were not rotated");
        let said = format!("the rotation was not finished, and no key was dropped: {why}");
        Error::new(StatusCode::INTERNAL_SERVER_ERROR, said)
    })?;
    Ok(view(&broker))
}
