//! `GET /v2/service_instances/:id` (OSB 2.17, "Fetching a Service Instance").

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use model::{InstanceId, OperationKind};
use serde_json::json;

use crate::catalog::{SERVICE_ID, plan_id};
use crate::error::{Error, ErrorBody};
use crate::extract::{Asked, Hints, Id};
use crate::router::Broker;
use crate::standing::{Phase, Standing};

/// Fetch an instance.
#[utoipa::path(get, path = "/v2/service_instances/{id}", tag = "osb", operation_id = "fetch",
    params(("id" = String, Path, description = "The OSB `instance_id`, chosen by the platform")), responses(
    (status = 200, description = "Plan, parameters and metadata", body = Object),
    (status = 404, description = "There is none, or it is still being provisioned", body = ErrorBody),
    (status = 422, description = "It is being changed", body = ErrorBody),
))]
pub(crate) async fn get(
    State(broker): State<Arc<Broker>>,
    Id(id): Id<InstanceId>,
    Asked(hints): Asked<Hints>,
) -> Result<Response, Error> {
    hints.check()?;
    let standing = Standing::read(broker.parts.store.as_ref(), &id).await?;
    let instance = match standing.phase() {
        Phase::Settled(instance) | Phase::HalfGone(instance) => instance,
        Phase::Changing(_, operation) if operation.kind != OperationKind::Provision => {
            return Err(Error::concurrent(operation));
        }
        Phase::Changing(..) | Phase::Absent => {
            return Err(Error::not_found(
                "there is no such instance, or it is still being provisioned",
            ));
        }
    };
    Ok(Json(json!({
        "service_id": SERVICE_ID,
        "plan_id": plan_id(instance.spec.plan),
        "parameters": instance.spec.parameters.to_json(),
        "metadata": {"attributes": {
            "hostnames": instance.spec.hostnames.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(","),
            "revision": instance.revision.map(|revision| revision.to_string()),
        }},
    }))
    .into_response())
}
