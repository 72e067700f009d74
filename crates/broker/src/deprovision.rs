//! `DELETE /v2/service_instances/:id` (OSB 2.17, "Deprovisioning").

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use model::{InstanceId, InstanceState, OperationKind, Requester};
use serde_json::json;
use store::Accept;

use crate::accept::{Accepted, Decision};
use crate::envelope::{ChangeQuery, Incomplete};
use crate::error::{Error, ErrorBody};
use crate::extract::{Asked, Id};
use crate::identity;
use crate::principal::Who;
use crate::router::Broker;
use crate::standing::{Phase, Standing};

/// Deprovision an instance. Safe to be repeated at any time; a provision or an update that is in
/// progress is cancelled.
#[utoipa::path(delete, path = "/v2/service_instances/{id}", tag = "osb", operation_id = "deprovision",
    params(("id" = String, Path, description = "The OSB `instance_id`, chosen by the platform"), Incomplete,
        ("service_id" = String, Query, description = "The offering's id in the catalog"),
        ("plan_id" = String, Query, description = "A plan's id in the catalog")),
    responses(
    (status = 202, description = "It is being deprovisioned", body = Accepted),
    (status = 400, description = "Malformed", body = ErrorBody),
    (status = 410, description = "There is none, or none any more", body = Object),
    (status = 422, description = "Not as things stand: `error` tells why", body = ErrorBody),
))]
pub(crate) async fn delete(
    State(broker): State<Arc<Broker>>,
    Who(who): Who,
    Id(id): Id<InstanceId>,
    Asked(query): Asked<ChangeQuery>,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let requester = identity::requester(&who, &headers)?;
    query.check_ids()?;
    query.require_async()?;
    broker.change(&who, &id, |standing| decide(&broker, &id, &requester, standing)).await
}

fn decide(
    broker: &Broker,
    id: &InstanceId,
    requester: &Requester,
    standing: &Standing,
) -> Result<Decision, Error> {
    let instance = match standing.phase() {
        Phase::Changing(_, operation) if operation.kind == OperationKind::Deprovision => {
            return Ok(Decision::Same(Box::new(operation.clone())));
        }
        // Halted where it is; what it did is taken over and cleared away (OSB 2.17, "Blocking
        // Operations": a broker may accept it).
        Phase::Changing(instance, _) | Phase::Settled(instance) | Phase::HalfGone(instance) => {
            instance
        }
        // Of what failed to be provisioned nothing is left but its row, which is wanted away too.
        Phase::Absent => match &standing.instance {
            Some(instance) if instance.state == InstanceState::Failed => instance,
            _ => return Ok(Decision::Answer((StatusCode::GONE, Json(json!({}))).into_response())),
        },
    };
    let previous = Some(instance.spec.clone());
    let operation =
        broker.operation(id, OperationKind::Deprovision, None, previous, requester.clone());
    let accept = Accept::new(operation, instance.clone(), vec![]);
    Ok(Decision::Change(Box::new(Accept { over: standing.in_progress(), ..accept })))
}
