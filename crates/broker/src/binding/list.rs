//! `GET /v1/instances/:id/bindings`: who may call, without their keys.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use model::{Binding, InstanceId, Millis};
use serde::Serialize;
use utoipa::ToSchema;

use crate::error::{Error, ErrorBody};
use crate::extract::Id;
use crate::principal::Who;
use crate::router::Broker;

/// The bindings of an instance, those included that have expired within a day.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BindingList {
    /// In order of id.
    bindings: Vec<BindingView>,
}

/// A binding, without its private key.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BindingView {
    /// The OSB `binding_id`.
    id: String,
    /// What its owner calls it.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// The binding that it came to replace.
    #[serde(skip_serializing_if = "Option::is_none")]
    predecessor: Option<String>,
    /// The credential of whoever asked.
    created_by: String,
    /// When it was made, in milliseconds since the Unix epoch.
    created_at: Millis,
    /// When it should be replaced.
    #[serde(skip_serializing_if = "Option::is_none")]
    renew_before: Option<Millis>,
    /// When it ends by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<Millis>,
    /// Whether it has.
    expired: bool,
    /// The public key by which the proxies know it.
    public_key: String,
}

impl BindingView {
    fn of(binding: Binding, now: Millis) -> Self {
        Self {
            expired: binding.has_expired(now),
            id: binding.id.into(),
            name: binding.name,
            predecessor: binding.predecessor.map(String::from),
            created_by: binding.created_by,
            created_at: binding.created_at,
            renew_before: binding.renew_before,
            expires_at: binding.expires_at,
            public_key: binding.public_key,
        }
    }
}

/// Who may call an instance.
#[utoipa::path(get, path = "/v1/instances/{id}/bindings", tag = "platform", operation_id = "bindings",
    params(("id" = String, Path, description = "Its id")), responses(
    (status = 200, description = "As it is now", body = BindingList),
    (status = 404, description = "There is no such instance", body = ErrorBody),
))]
pub(crate) async fn get(
    State(broker): State<Arc<Broker>>,
    Who(who): Who,
    Id(id): Id<InstanceId>,
) -> Result<Json<BindingList>, Error> {
    let unknown = || Error::not_found("there is no such instance");
    broker.bindable(&who, &id).await?.ok_or_else(unknown)?;
    let now = broker.now();
    let found = broker.parts.bindings.bindings(&id).await?;
    let bindings = found.into_iter().map(|binding| BindingView::of(binding, now)).collect();
    Ok(Json(BindingList { bindings }))
}
