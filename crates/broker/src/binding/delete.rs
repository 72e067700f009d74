//! `DELETE …/service_bindings/:id` (OSB 2.17, "Unbinding").

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::Ids;
use crate::envelope::ChangeQuery;
use crate::error::{Error, ErrorBody};
use crate::extract::Asked;
use crate::identity;
use crate::principal::Who;
use crate::router::Broker;

/// Unbind: the proxies are told at once, whatever is being done to the instance. Safe to be repeated.
#[utoipa::path(delete, path = "/v2/service_instances/{id}/service_bindings/{binding}", tag = "osb", operation_id = "unbind",
    params(("id" = String, Path, description = "The OSB `instance_id`"),
        ("binding" = String, Path, description = "The OSB `binding_id`"),
        ("service_id" = String, Query, description = "The offering's id in the catalog"),
        ("plan_id" = String, Query, description = "A plan's id in the catalog")),
    responses(
    (status = 200, description = "It is unbound", body = Object),
    (status = 400, description = "Malformed", body = ErrorBody),
    (status = 410, description = "There is none, or none any more", body = Object),
))]
pub(crate) async fn delete(
    State(broker): State<Arc<Broker>>,
    Who(who): Who,
    Ids(instance, id): Ids,
    Asked(query): Asked<ChangeQuery>,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let by = identity::requester(&who, &headers)?;
    query.check_ids()?;
    let is_there = broker.bindable(&who, &instance).await?.is_some();
    let now = broker.now();
    let unbound = is_there && broker.parts.bindings.unbind(&instance, &id, by, now).await?;
    if unbound {
        tracing::info!(%instance, binding = %id, "unbound");
    }
    let status = if unbound { StatusCode::OK } else { StatusCode::GONE };
    Ok((status, Json(json!({}))).into_response())
}
