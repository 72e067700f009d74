//! What operators do about an operation that does not come to its end.

#![expect(
    unused_qualifications,
    reason = "the macro that documents the routes names their parameters once more"
)]

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use model::{
    Direction, Instance, InstanceId, InstanceState, Operation, OperationId, OperationKind,
    OperationState, Requester,
};
use serde::Deserialize;
use serde_json::json;
use store::{Accept, Directed};
use utoipa::{IntoParams, ToSchema};

use super::views::OperationView;
use crate::accept::{Accepted, Decision};
use crate::body::JsonBody;
use crate::error::{Error, ErrorBody};
use crate::extract::{Asked, Id};
use crate::identity::requester;
use crate::principal::{Who, operator};
use crate::router::Broker;
use crate::standing::Standing;

/// The longest reason, in characters: it is told in the operation, and read by its team.
const REASON_CHARS_MAX: usize = 500;

/// Why.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Reason {
    /// Why, for the team and the audit log: 1 to 500 characters.
    reason: String,
}

/// Which step, and why.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Skip {
    /// The step's name, as the operation tells it.
    step: String,
    /// Why, for the team and the audit log: 1 to 500 characters.
    reason: String,
}

/// Try an operation again: at once, if it is delayed or waits; as a new operation, if it has failed and
/// is the latest of its instance. For operators.
#[utoipa::path(post, path = "/v1/operations/{id}/retry", tag = "platform", operation_id = "retryOperation",
    params(("id" = String, Path, description = "Its id")), responses(
    (status = 200, description = "It is tried at once", body = OperationView),
    (status = 202, description = "A new operation tries the same", body = Accepted),
    (status = 403, description = "It is for operators", body = ErrorBody),
    (status = 404, description = "There is no such thing", body = ErrorBody),
    (status = 409, description = "It makes no sense: the description tells why", body = ErrorBody),
    (status = 422, description = "Not as things stand: `error` tells why", body = ErrorBody),
))]
pub(crate) async fn retry(
    State(broker): State<Arc<Broker>>,
    Who(who): Who,
    Id(id): Id<OperationId>,
    headers: HeaderMap,
) -> Result<Response, Error> {
    operator(&who)?;
    let by = requester(&who, &headers)?;
    let found = broker.parts.store.operation(&id).await?.ok_or_else(unknown)?;
    if found.state == OperationState::InProgress {
        return direct(&broker, &id, Direction::Retry, by).await.map(Json::into_response);
    }
    broker.change(&who, &found.instance, |standing| anew(&broker, &found, &by, standing)).await
}

/// Pass over a step, having seen to what it does. What was not done is told in the operation. For
/// operators.
#[utoipa::path(post, path = "/v1/operations/{id}/skip", tag = "platform", operation_id = "skipStep",
    params(("id" = String, Path, description = "Its id")), request_body = Skip, responses(
    (status = 200, description = "It goes on without the step", body = OperationView),
    (status = 400, description = "It cannot be read, or is refused", body = ErrorBody),
    (status = 403, description = "It is for operators", body = ErrorBody),
    (status = 404, description = "There is no such thing", body = ErrorBody),
    (status = 409, description = "It makes no sense: the description tells why", body = ErrorBody),
))]
pub(crate) async fn skip(
    State(broker): State<Arc<Broker>>,
    Who(who): Who,
    Id(id): Id<OperationId>,
    headers: HeaderMap,
    JsonBody(asked): JsonBody<Skip>,
) -> Result<Json<OperationView>, Error> {
    operator(&who)?;
    let direction = Direction::Skip { step: asked.step, reason: reason(asked.reason)? };
    direct(&broker, &id, direction, requester(&who, &headers)?).await
}

/// Undo a provision or an update that is not published. For operators; a team cancels by a
/// deprovision.
#[utoipa::path(post, path = "/v1/operations/{id}/cancel", tag = "platform", operation_id = "cancelOperation",
    params(("id" = String, Path, description = "Its id")), request_body = Reason, responses(
    (status = 200, description = "It is being undone", body = OperationView),
    (status = 400, description = "It cannot be read, or is refused", body = ErrorBody),
    (status = 403, description = "It is for operators", body = ErrorBody),
    (status = 404, description = "There is no such thing", body = ErrorBody),
    (status = 409, description = "It makes no sense: the description tells why", body = ErrorBody),
))]
pub(crate) async fn cancel(
    State(broker): State<Arc<Broker>>,
    Who(who): Who,
    Id(id): Id<OperationId>,
    headers: HeaderMap,
    JsonBody(asked): JsonBody<Reason>,
) -> Result<Json<OperationView>, Error> {
    operator(&who)?;
    let direction = Direction::Cancel { reason: reason(asked.reason)? };
    direct(&broker, &id, direction, requester(&who, &headers)?).await
}

/// Whether it is meant.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Force {
    /// Must be `true`: a deprovision that stops at what fails is OSB's.
    force: Option<bool>,
}

/// Deprovision an instance whatever fails: its routes go, and what could not be taken away is told in
/// the operation. It comes in place of any operation. For operators.
#[utoipa::path(delete, path = "/v1/instances/{id}", tag = "platform", operation_id = "forceDelete",
    params(("id" = String, Path, description = "Its id"), Force), responses(
    (status = 202, description = "It is being deprovisioned", body = Accepted),
    (status = 400, description = "It cannot be read, or is refused", body = ErrorBody),
    (status = 403, description = "It is for operators", body = ErrorBody),
    (status = 404, description = "There is no such thing", body = ErrorBody),
    (status = 410, description = "There is none any more", body = Object),
    (status = 422, description = "Not as things stand: `error` tells why", body = ErrorBody),
))]
pub(crate) async fn force_delete(
    State(broker): State<Arc<Broker>>,
    Who(who): Who,
    Id(id): Id<InstanceId>,
    Asked(query): Asked<Force>,
    headers: HeaderMap,
) -> Result<Response, Error> {
    operator(&who)?;
    if query.force != Some(true) {
        let why = "say force=true; a deprovision that stops at what fails is DELETE \
                   /v2/service_instances/:id";
        return Err(Error::bad_request(why));
    }
    let by = requester(&who, &headers)?;
    broker.change(&who, &id, |standing| forced(&broker, &by, standing)).await
}

fn forced(broker: &Broker, by: &Requester, standing: &Standing) -> Result<Decision, Error> {
    let instance = standing.instance.as_ref().ok_or_else(super::instances::unknown)?;
    if instance.state == InstanceState::Deleted {
        return Ok(Decision::Answer((StatusCode::GONE, Json(json!({}))).into_response()));
    }
    let over = standing.in_progress();
    let latest = standing.latest.as_ref().filter(|_| over.is_some());
    if let Some(already) = latest.filter(|operation| operation.force) {
        return Ok(Decision::Same(Box::new(already.clone())));
    }
    let mut accept = again(broker, OperationKind::Deprovision, None, instance, by);
    accept.operation.force = true;
    Ok(Decision::Change(Box::new(Accept { over, ..accept })))
}

/// The same as `failed` once more, as things stand now.
fn anew(
    broker: &Broker,
    failed: &Operation,
    by: &Requester,
    standing: &Standing,
) -> Result<Decision, Error> {
    let refuse = |why| Err(Error::conflict(why));
    if standing.latest.as_ref().is_none_or(|latest| latest.id != failed.id) {
        return refuse("another operation has come since; look at the latest of the instance");
    }
    if failed.state != OperationState::Failed {
        return refuse("it has succeeded");
    }
    let Some(instance) = &standing.instance else { return Err(unknown()) };
    let kind = match (failed.kind, instance.state) {
        (OperationKind::Deprovision, _) => OperationKind::Deprovision,
        (_, InstanceState::Failed) => OperationKind::Provision,
        (_, InstanceState::Ready) => OperationKind::Update,
        _ => return refuse("what it has left can only be taken away: ask for a deprovision"),
    };
    let mut accept = again(broker, kind, failed.target.clone(), instance, by);
    accept.operation.force = failed.force;
    Ok(Decision::Change(Box::new(accept)))
}

fn again(
    broker: &Broker,
    kind: OperationKind,
    target: Option<model::Spec>,
    instance: &Instance,
    by: &Requester,
) -> Accept {
    let previous = (kind != OperationKind::Provision).then(|| instance.spec.clone());
    let claim = target.iter().flat_map(|spec| spec.hostnames.clone()).collect();
    let operation = broker.operation(&instance.id, kind, target.clone(), previous, by.clone());
    let mut instance = instance.clone();
    if let (OperationKind::Provision, Some(spec)) = (kind, target) {
        instance.state = InstanceState::Provisioning;
        instance.spec = spec;
        instance.revision = None;
    }
    Accept::new(operation, instance, claim)
}

async fn direct(
    broker: &Broker,
    id: &OperationId,
    direction: Direction,
    by: Requester,
) -> Result<Json<OperationView>, Error> {
    let now = broker.now();
    let action = direction.action();
    match broker.parts.operators.direct(id, direction, by, now).await? {
        Directed::Yes(operation) => {
            tracing::info!(operation = %id, action, "an operator has stepped in");
            Ok(Json(OperationView::of(&operation, now)))
        }
        Directed::No(why) => Err(Error::conflict(why)),
        Directed::Unknown => Err(unknown()),
    }
}

fn reason(text: String) -> Result<String, Error> {
    let fits = !text.trim().is_empty() && text.chars().count() <= REASON_CHARS_MAX;
    if fits { Ok(text) } else { Err(Error::bad_request("`reason` has 1 to 500 characters")) }
}

fn unknown() -> Error {
    Error::not_found("there is no such operation")
}
