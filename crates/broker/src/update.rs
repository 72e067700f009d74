//! `PATCH /v2/service_instances/:id` (OSB 2.17, "Updating a Service Instance").
//!
//! Parameters, when given, are the whole descriptor: they replace what was there. What is absent is
//! not changed.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use model::{Instance, InstanceId, OperationKind, Parameters, Plan, Requester, Spec};
use serde_json::{Value, json};
use store::Accept;

use crate::accept::{Decision, instance_id};
use crate::envelope::{self, ChangeQuery};
use crate::error::Error;
use crate::identity;
use crate::router::Broker;
use crate::standing::{Phase, Standing};

/// A checked request.
struct Wish {
    id: InstanceId,
    plan: Option<Plan>,
    parameters: Option<Parameters>,
    context: Value,
    requester: Requester,
}

pub(crate) async fn patch(
    State(broker): State<Arc<Broker>>,
    Path(id): Path<String>,
    Query(query): Query<ChangeQuery>,
    headers: HeaderMap,
    request: Request<Body>,
) -> Result<Response, Error> {
    let id = instance_id(&id)?;
    let requester = identity::requester(&broker.config.username, &headers)?;
    let envelope = envelope::read(request).await?;
    let plan = envelope.plan(&broker.catalog)?;
    query.require_async()?;
    let parameters = envelope.parameters()?;
    envelope.check_maintenance()?;
    let wish = Wish { id, plan, parameters, context: envelope.context(), requester };
    broker.change(&wish.id, |standing| decide(&broker, &wish, standing)).await
}

fn decide(broker: &Broker, wish: &Wish, standing: &Standing) -> Result<Decision, Error> {
    match standing.phase() {
        Phase::Absent => Err(unknown()),
        Phase::Changing(instance, operation) if operation.kind == OperationKind::Update => {
            let target = target(broker, wish, instance)?;
            if operation.target.as_ref() == Some(&target) {
                return Ok(Decision::Same(Box::new(operation.clone())));
            }
            Err(Error::concurrent(operation))
        }
        Phase::Changing(_, operation) => Err(Error::concurrent(operation)),
        Phase::HalfGone(_) => Err(Error::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "the deprovision of this instance failed half way; ask for it once more",
        )),
        Phase::Settled(instance) => {
            let target = target(broker, wish, instance)?;
            if target == instance.spec && standing.failed().is_none() {
                return Ok(Decision::Answer((StatusCode::OK, Json(json!({}))).into_response()));
            }
            Ok(change(broker, wish, instance, target))
        }
    }
}

fn unknown() -> Error {
    Error::not_found("there is no such instance; provision it first")
}

fn target(broker: &Broker, wish: &Wish, instance: &Instance) -> Result<Spec, Error> {
    let plan = wish.plan.unwrap_or(instance.spec.plan);
    let parameters = wish.parameters.clone().unwrap_or_else(|| instance.spec.parameters.clone());
    let (was, now) = (&instance.spec.parameters.service, &parameters.service);
    if was != now {
        return Err(Error::bad_request(format!(
            "`service` is `{was}` for the life of the instance and cannot become `{now}`; provision `{now}` beside it and move over"
        )));
    }
    broker.spec(plan, parameters)
}

fn change(broker: &Broker, wish: &Wish, instance: &Instance, target: Spec) -> Decision {
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
    if wish.context.as_object().is_some_and(|context| !context.is_empty()) {
        instance.platform_context = wish.context.clone();
    }
    Decision::Change(Box::new(Accept { operation, instance, claim }))
}
