//! `PUT /v2/service_instances/:id` (OSB 2.17, "Provisioning").

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use model::{Instance, InstanceId, InstanceState, OperationKind, Owner, Requester, Spec};
use serde_json::{Value, json};
use store::Accept;

use crate::accept::{Current, Decision, instance_id};
use crate::envelope::{self, ChangeQuery};
use crate::error::Error;
use crate::identity;
use crate::router::Broker;

/// A checked request.
struct Wish {
    id: InstanceId,
    spec: Spec,
    owner: Owner,
    context: Value,
    requester: Requester,
}

pub(crate) async fn put(
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
    let plan = plan.ok_or_else(|| Error::bad_request("plan_id is required"))?;
    let owner = envelope.owner()?;
    query.require_async()?;
    let parameters = match envelope.parameters()? {
        Some(parameters) => parameters,
        None => {
            return Err(Error::bad_request(
                "parameters are required: at least `service` and an upstream",
            ));
        }
    };
    envelope.check_maintenance()?;
    let spec = broker.spec(plan, parameters)?;
    let wish = Wish { id, spec, owner, context: envelope.context(), requester };
    broker.change(&wish.id, |current| decide(&broker, &wish, current)).await
}

fn decide(broker: &Broker, wish: &Wish, current: &Current) -> Result<Decision, Error> {
    let Some(instance) = &current.instance else { return Ok(fresh(broker, wish)) };
    let same = instance.spec == wish.spec && instance.owner == wish.owner;
    match (instance.state, current.in_progress()) {
        (InstanceState::Deleted | InstanceState::Failed, None) => Ok(fresh(broker, wish)),
        (InstanceState::Deprovisioning, Some(_)) => Err(Error::busy("the deprovision")),
        (InstanceState::Provisioning, Some(operation)) if same => {
            Ok(Decision::Same(Box::new(operation.clone())))
        }
        // The wish is what it is and nothing is under way, or something else is: a repeated PUT
        // during an update is as much a no-op as before it.
        (InstanceState::Ready, _) if same => {
            Ok(Decision::Answer((StatusCode::OK, Json(json!({}))).into_response()))
        }
        _ => Err(Error::conflict(
            "this instance exists with other attributes; update it instead, or use another id",
        )),
    }
}

fn fresh(broker: &Broker, wish: &Wish) -> Decision {
    let target = Some(wish.spec.clone());
    let operation =
        broker.operation(&wish.id, OperationKind::Provision, target, None, wish.requester.clone());
    let instance = Instance {
        id: wish.id.clone(),
        owner: wish.owner.clone(),
        platform_context: wish.context.clone(),
        state: InstanceState::Provisioning,
        spec: wish.spec.clone(),
        revision: None,
        created_at: operation.created_at,
        updated_at: operation.created_at,
    };
    let claim = wish.spec.hostnames.clone();
    Decision::Change(Box::new(Accept { operation, instance, claim }))
}
