//! `GET …/service_bindings/:id/last_operation` (OSB 2.17, "Polling Last Operation for Service
//! Bindings"). Nothing is ever in progress; some platforms ask all the same.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;
use store::Bound;

use super::Ids;
use crate::error::Error;
use crate::extract::{Asked, Hints};
use crate::principal::Who;
use crate::router::Broker;

/// How the last operation of a binding stands: it has succeeded.
#[utoipa::path(get, path = "/v2/service_instances/{id}/service_bindings/{binding}/last_operation", tag = "osb", operation_id = "bindingLastOperation",
    params(("id" = String, Path, description = "The OSB `instance_id`"),
        ("binding" = String, Path, description = "The OSB `binding_id`"),
        ("operation" = Option<String>, Query, description = "Not needed: there is none")),
    responses(
    (status = 200, description = "It is bound", body = Object),
    (status = 410, description = "It is not bound, or not any more", body = Object),
))]
pub(crate) async fn get(
    State(broker): State<Arc<Broker>>,
    Who(who): Who,
    Ids(instance, id): Ids,
    Asked(hints): Asked<Hints>,
) -> Result<Response, Error> {
    hints.check()?;
    let found = match broker.bindable(&who, &instance).await? {
        Some(_) => broker.parts.bindings.binding(&id).await?,
        None => None,
    };
    let is_its = |found: &Bound| found.binding.instance == instance;
    Ok(if found.as_ref().is_some_and(is_its) {
        Json(json!({"state": "succeeded", "description": "bound"})).into_response()
    } else {
        (StatusCode::GONE, Json(json!({}))).into_response()
    })
}
