//! The platform itself: its proxies, its records, its documents.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::error::{Error, ErrorBody};
use crate::extract::Id;
use crate::port::{FleetSummary, ProxyDetail, RecordLine};
use crate::principal::Operator;
use crate::router::Broker;

/// The fleet: who is connected and how it stands.
#[utoipa::path(get, path = "/v1/fleet", tag = "platform", operation_id = "fleet", responses(
    (status = 200, description = "As it is now", body = FleetSummary),
    (status = 403, description = "For operators only", body = ErrorBody),
))]
pub(crate) async fn fleet(
    State(broker): State<Arc<Broker>>,
    Operator(_): Operator,
) -> Json<FleetSummary> {
    Json(broker.parts.view.fleet())
}

/// A connected proxy: what it should have, and what of that it does not have, and why.
#[utoipa::path(get, path = "/v1/fleet/proxies/{id}", tag = "platform", operation_id = "proxy",
    params(("id" = String, Path, description = "Its `node.id`")), responses(
    (status = 200, description = "As it is now", body = ProxyDetail),
    (status = 400, description = "It cannot be read", body = ErrorBody),
    (status = 403, description = "For operators only", body = ErrorBody),
    (status = 404, description = "No such proxy is connected", body = ErrorBody),
))]
pub(crate) async fn proxy(
    State(broker): State<Arc<Broker>>,
    Operator(_): Operator,
    Id(id): Id<String>,
) -> Result<Json<ProxyDetail>, Error> {
    let found = broker.parts.view.proxy(&id).await;
    let unknown = || {
        let why = "no proxy of this id is connected; GET /v1/fleet tells which are";
        Error::new(StatusCode::NOT_FOUND, why)
    };
    found.map(Json).ok_or_else(unknown)
}

/// DNS records.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Records {
    /// In order of hostname.
    records: Vec<RecordLine>,
}

/// The DNS records that the platform has made.
#[utoipa::path(get, path = "/v1/records", tag = "platform", operation_id = "records", responses(
    (status = 200, description = "As it is now", body = Records),
    (status = 403, description = "For operators only", body = ErrorBody),
    (status = 502, description = "The cloud does not answer", body = ErrorBody),
))]
pub(crate) async fn records(
    State(broker): State<Arc<Broker>>,
    Operator(_): Operator,
) -> Result<Json<Records>, Error> {
    let records = broker.parts.view.records().await;
    let records = records.map_err(|why| Error::new(StatusCode::BAD_GATEWAY, why))?;
    Ok(Json(Records { records }))
}

/// The JSON Schema of a descriptor.
#[utoipa::path(get, path = "/v1/schema", tag = "platform", operation_id = "schema", responses(
    (status = 200, description = "As it is now", body = Object),
))]
pub(crate) async fn schema() -> Json<Value> {
    Json(model::descriptor::schema::descriptor())
}

/// This document.
#[utoipa::path(get, path = "/v1/openapi.json", tag = "platform", operation_id = "document", responses(
    (status = 200, description = "As it is now", body = Object),
))]
pub(crate) async fn document() -> Json<Value> {
    Json(super::openapi())
}
