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
use model::{InstanceId, Millis, Operation, OperationKind, OperationState};
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::words;
use crate::error::{Error, ErrorBody};
use crate::extract::{Asked, Hints, Id};
use crate::principal::Who;
use crate::progress::{description, poll_again_s};
use crate::proof;
use crate::router::Broker;
use crate::standing::sees;
use crate::typical::Usual;

/// Operations in a row that came in each other's place; a history keeps no more.
const SUPERSEDED_MAX: usize = 100;

/// How an operation stands.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LastOperation {
    state: words::OperationState,
    /// What is done now, or why it failed.
    description: String,
    /// Of a failed update or deprovision: whether the instance still works.
    #[serde(skip_serializing_if = "Option::is_none")]
    instance_usable: Option<bool>,
    /// Of a failed update: whether to try it again makes sense.
    #[serde(skip_serializing_if = "Option::is_none")]
    update_repeatable: Option<bool>,
}

/// How the last operation stands; with `Retry-After` while it is in progress.
#[utoipa::path(get, path = "/v2/service_instances/{id}/last_operation", tag = "osb", operation_id = "lastOperation",
    params(("id" = String, Path, description = "The OSB `instance_id`, chosen by the platform"),
        ("operation" = Option<String>, Query, description = "Absent or unknown: the latest")),
    responses(
    (status = 200, description = "How it stands", body = LastOperation),
    (status = 404, description = "There is no such instance", body = ErrorBody),
))]
pub(crate) async fn get(
    State(broker): State<Arc<Broker>>,
    Who(who): Who,
    Id(id): Id<InstanceId>,
    Asked(hints): Asked<Hints>,
) -> Result<Response, Error> {
    hints.check()?;
    let unknown = || Error::not_found("there is no such instance");
    if !sees(broker.parts.store.as_ref(), &who, &id).await? {
        return Err(unknown());
    }
    let operation = asked(&broker, &id, hints.operation.as_deref()).await?;
    let operation = operation.ok_or_else(unknown)?;
    let newest = newest(&broker, operation).await?;
    let aside = proof::aside(&broker, &newest).await?;
    // Not looked up here: who polls is answered from what is in memory.
    let usual = broker.typical.known(newest.kind);
    Ok(answer(&newest, &usual, aside, broker.now()))
}

/// The operation that is meant. An instance has one from its first day to the end of its tombstone.
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

/// What has come in place of an operation that was superseded, which has not failed: to tell a
/// platform so would make it take away an instance that works.
async fn newest(broker: &Broker, mut operation: Operation) -> Result<Operation, Error> {
    for _ in 0..SUPERSEDED_MAX {
        let Some(newer) = operation.superseded_by() else { break };
        let Some(found) = broker.parts.store.operation(newer).await? else { break };
        operation = found;
    }
    Ok(operation)
}

fn answer(operation: &Operation, usual: &Usual, aside: Option<String>, now: Millis) -> Response {
    let failed = operation.state == OperationState::Failed;
    let changed = failed && operation.kind == OperationKind::Update;
    let usable = failed && operation.kind != OperationKind::Provision;
    let body = LastOperation {
        state: operation.state.into(),
        description: match aside {
            Some(aside) => format!("{}; {aside}", description(operation)),
            None => description(operation),
        },
        // What was live before goes on: an update that fails takes nothing away, and neither does a
        // deprovision that failed before its commit.
        instance_usable: usable
            .then_some(operation.kind == OperationKind::Update || operation.revision.is_none()),
        update_repeatable: changed.then_some(!operation.hopeless),
    };
    let mut response = Json(body).into_response();
    if operation.state == OperationState::InProgress {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, HeaderValue::from(poll_again_s(operation, usual, now)));
    }
    response
}
