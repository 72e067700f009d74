//! `DELETE /v2/service_instances/:id` (OSB 2.17, "Deprovisioning").

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use model::{InstanceId, InstanceState, OperationKind, Requester};
use store::Accept;

use crate::accept::{Current, Decision, instance_id};
use crate::envelope::ChangeQuery;
use crate::error::Error;
use crate::identity;
use crate::router::Broker;

pub(crate) async fn delete(
    State(broker): State<Arc<Broker>>,
    Path(id): Path<String>,
    Query(query): Query<ChangeQuery>,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let id = instance_id(&id)?;
    let requester = identity::requester(&broker.config.username, &headers)?;
    broker.catalog.check_service(query.service_id.as_deref())?;
    let plan = query.plan_id.as_deref().ok_or_else(|| Error::bad_request("plan_id is required"))?;
    broker.catalog.plan(plan)?;
    query.require_async()?;
    broker.change(&id, |current| decide(&broker, &id, &requester, current)).await
}

fn decide(
    broker: &Broker,
    id: &InstanceId,
    requester: &Requester,
    current: &Current,
) -> Result<Decision, Error> {
    let gone = || Error::new(StatusCode::GONE, "there is no such instance");
    let instance = current.instance.as_ref().ok_or_else(gone)?;
    if instance.state == InstanceState::Deleted {
        return Err(gone());
    }
    match current.in_progress() {
        Some(operation) if operation.kind == OperationKind::Deprovision => {
            return Ok(Decision::Same(Box::new(operation.clone())));
        }
        Some(operation) if operation.kind == OperationKind::Provision => {
            return Err(Error::busy("the provision"));
        }
        Some(_) => return Err(Error::busy("an update")),
        None => {}
    }
    let previous = Some(instance.spec.clone());
    let operation =
        broker.operation(id, OperationKind::Deprovision, None, previous, requester.clone());
    Ok(Decision::Change(Box::new(Accept { operation, instance: instance.clone(), claim: vec![] })))
}
