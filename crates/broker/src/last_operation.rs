//! `GET /v2/service_instances/:id/last_operation` (OSB 2.17, "Polling Last Operation for Service
//! Instances").
//!
//! `service_id` and `plan_id` are hints and not compared: while a plan changes, the plan of the poll
//! is the one before it. An `operation` that is not known falls back to the latest, because some
//! platforms lose it.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use model::{InstanceId, InstanceState, Operation, OperationKind, OperationState};
use serde::Serialize;

use crate::error::Error;
use crate::extract::{Asked, Hints, Id};
use crate::progress::{POLL_AGAIN_S, description};
use crate::router::Broker;

#[derive(Debug, Serialize)]
struct LastOperation {
    state: OperationState,
    description: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    instance_usable: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    update_repeatable: Option<bool>,
}

pub(crate) async fn get(
    State(broker): State<Arc<Broker>>,
    Id(id): Id<InstanceId>,
    Asked(hints): Asked<Hints>,
) -> Result<Response, Error> {
    hints.check()?;
    let instance = broker.parts.store.instance(&id).await?;
    let instance = instance.ok_or_else(|| Error::not_found("there is no such instance"))?;
    let operation = asked(&broker, &id, hints.operation.as_deref()).await?;
    let Some(operation) = operation else {
        // A row without operations is a tombstone whose history was forgotten.
        let state = if instance.state == InstanceState::Deleted { "gone" } else { "live" };
        let body = LastOperation {
            state: OperationState::Succeeded,
            description: state.to_owned(),
            instance_usable: None,
            update_repeatable: None,
        };
        return Ok(Json(body).into_response());
    };
    Ok(answer(&operation))
}

async fn asked(
    broker: &Broker,
    id: &InstanceId,
    operation: Option<&str>,
) -> Result<Option<Operation>, Error> {
    if let Some(known) = operation.and_then(|text| text.parse().ok()) {
        let found = broker.parts.store.operation(&known).await?;
        if let Some(found) = found.filter(|operation| operation.instance == *id) {
            return Ok(Some(found));
        }
    }
    Ok(broker.parts.store.operations(id, 1).await?.into_iter().next())
}

fn answer(operation: &Operation) -> Response {
    let failed = operation.state == OperationState::Failed;
    let changed = failed && operation.kind == OperationKind::Update;
    let usable = failed && operation.kind != OperationKind::Provision;
    let body = LastOperation {
        state: operation.state,
        description: description(operation),
        // What was live before goes on: an update that fails takes nothing away, and neither does a
        // deprovision that failed before its commit.
        instance_usable: usable
            .then_some(operation.kind == OperationKind::Update || operation.revision.is_none()),
        update_repeatable: changed.then_some(true),
    };
    let mut response = Json(body).into_response();
    if operation.state == OperationState::InProgress {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(POLL_AGAIN_S));
    }
    response
}
