//! `PATCH /v2/service_instances/:id` (OSB 2.17, "Updating a Service Instance").
//!
//! Parameters, when given, are the whole descriptor: they replace what was there. What is absent is
//! not changed.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use model::descriptor::{Code, Refusal};
use model::{Instance, InstanceId, Operation, OperationKind, Parameters, Plan, Requester, Spec};
use serde_json::Value;
use store::Accept;

use crate::accept::{Accepted, Decision, Unchanged};
use crate::body::JsonBody;
use crate::context;
use crate::envelope::{ChangeQuery, Envelope, Incomplete};
use crate::error::{Error, ErrorBody};
use crate::extract::{Asked, Id};
use crate::identity;
use crate::principal::Who;
use crate::router::Broker;
use crate::standing::{Phase, Standing};

/// A checked request.
pub(crate) struct Wish {
    pub(crate) id: InstanceId,
    pub(crate) plan: Option<Plan>,
    pub(crate) parameters: Option<Parameters>,
    pub(crate) context: Option<Value>,
    /// Whether it is to be published anew, should it be of an earlier version of the platform.
    pub(crate) upgrade: bool,
    pub(crate) requester: Requester,
}

/// Update an instance. Parameters replace the present ones; what is absent stays.
#[utoipa::path(patch, path = "/v2/service_instances/{id}", tag = "osb", operation_id = "update",
    params(("id" = String, Path, description = "The OSB `instance_id`, chosen by the platform"), Incomplete), request_body = Envelope, responses(
    (status = 200, description = "It is so already, or nothing but its context was changed", body = Unchanged),
    (status = 202, description = "It is being updated", body = Accepted),
    (status = 400, description = "Malformed, or parameters that are refused", body = ErrorBody),
    (status = 404, description = "There is no such instance", body = ErrorBody),
    (status = 422, description = "Not as things stand: `error` tells why", body = ErrorBody),
))]
pub(crate) async fn patch(
    State(broker): State<Arc<Broker>>,
    Who(who): Who,
    Id(id): Id<InstanceId>,
    Asked(query): Asked<ChangeQuery>,
    headers: HeaderMap,
    JsonBody(envelope): JsonBody<Envelope>,
) -> Result<Response, Error> {
    let requester = identity::requester(&who, &headers)?;
    let plan = envelope.update()?;
    let context = envelope.context()?;
    identity::check_platform(&who, &headers, context.as_ref())?;
    query.require_async()?;
    let parameters = envelope.parameters()?;
    let upgrade = envelope.check_maintenance(&broker.config.maintenance.version)?;
    let wish = Wish { id, plan, parameters, context, upgrade, requester };
    if let Some(settled) =
        context::settle(&broker, &who, &wish.id, &envelope, &wish.requester).await?
    {
        return Ok(settled);
    }
    broker.change(&who, &wish.id, |standing| decide(&broker, &wish, standing)).await
}

pub(crate) fn decide(broker: &Broker, wish: &Wish, standing: &Standing) -> Result<Decision, Error> {
    match standing.phase() {
        Phase::Absent => Err(unknown()),
        Phase::Changing(instance, operation) => over(broker, wish, instance, operation),
        Phase::HalfGone(_) => Err(Error::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "the deprovision of this instance failed half way; ask for it once more",
        )),
        Phase::Settled(instance) => {
            let target = target(broker, wish, instance)?;
            let is_current = !wish.upgrade || standing.is_at(&broker.config.maintenance.version);
            if target == instance.spec && standing.failed().is_none() && is_current {
                return Ok(broker.unchanged(&wish.id));
            }
            Ok(Decision::Change(Box::new(change(broker, wish, instance, target))))
        }
    }
}

/// While another operation is in progress. Once that is published it merely waits for the proxies
/// and clears up, and a newer wish comes in its place.
fn over(
    broker: &Broker,
    wish: &Wish,
    instance: &Instance,
    operation: &Operation,
) -> Result<Decision, Error> {
    if operation.kind == OperationKind::Deprovision {
        return Err(Error::concurrent(operation));
    }
    let target = target(broker, wish, instance)?;
    let is_same = operation.target.as_ref() == Some(&target);
    if is_same && (operation.kind == OperationKind::Update || operation.revision.is_some()) {
        return Ok(Decision::Same(Box::new(operation.clone())));
    }
    let accept = change(broker, wish, instance, target);
    if !operation.gives_way_to(&accept.operation) {
        return Err(Error::concurrent(operation));
    }
    Ok(Decision::Change(Box::new(Accept { over: Some(operation.id.clone()), ..accept })))
}

fn unknown() -> Error {
    Error::not_found("there is no such instance; provision it first")
}

fn target(broker: &Broker, wish: &Wish, instance: &Instance) -> Result<Spec, Error> {
    let plan = wish.plan.unwrap_or(instance.spec.plan);
    let parameters = wish.parameters.clone().unwrap_or_else(|| instance.spec.parameters.clone());
    renamed(&instance.spec.parameters, &parameters).map_or(Ok(()), Err)?;
    broker.spec(plan, parameters)
}

/// The one thing that never changes: 400 with words, if it is to.
pub(crate) fn renamed(present: &Parameters, wanted: &Parameters) -> Option<Error> {
    let (was, now) = (&present.service, &wanted.service);
    let refusal = Refusal {
        code: Code::BadValue,
        path: "service".to_owned(),
        place: None,
        message: format!(
            "`service` is `{was}` for the life of the instance and cannot become `{now}`"
        ),
        label: None,
        why: None,
        help: Some(format!("provision `{now}` beside it and move over")),
        also: None,
    };
    (was != now).then(|| Error::refused(vec![refusal]))
}

fn change(broker: &Broker, wish: &Wish, instance: &Instance, target: Spec) -> Accept {
    let claim = target.hostnames.clone();
    let previous = Some(instance.spec.clone());
    let operation = broker.operation(
        &wish.id,
        OperationKind::Update,
        Some(target),
        previous,
        wish.requester.clone(),
    );
    let mut instance = instance.clone();
    if let Some(context) = &wish.context {
        instance.platform_context = context.clone();
    }
    Accept::new(operation, instance, claim)
}
