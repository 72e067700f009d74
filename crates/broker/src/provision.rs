//! `PUT /v2/service_instances/:id` (OSB 2.17, "Provisioning").

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use model::{Instance, InstanceId, InstanceState, OperationKind, Owner, Requester, Spec};
use serde_json::{Value, json};
use store::Accept;

use crate::accept::{Accepted, Decision, Unchanged};
use crate::body::JsonBody;
use crate::envelope::{ChangeQuery, Envelope, Incomplete};
use crate::error::{Error, ErrorBody};
use crate::extract::{Asked, Id};
use crate::identity;
use crate::principal::{Who, may_own};
use crate::router::Broker;
use crate::standing::{Phase, Standing};

/// A checked request.
pub(crate) struct Wish {
    pub(crate) id: InstanceId,
    pub(crate) spec: Spec,
    pub(crate) owner: Owner,
    pub(crate) context: Value,
    pub(crate) requester: Requester,
}

/// Provision an instance.
#[utoipa::path(put, path = "/v2/service_instances/{id}", tag = "osb", operation_id = "provision",
    params(("id" = String, Path, description = "The OSB `instance_id`, chosen by the platform"), Incomplete), request_body = Envelope, responses(
    (status = 200, description = "It is there, as asked for", body = Unchanged),
    (status = 202, description = "It is being provisioned", body = Accepted),
    (status = 400, description = "Malformed, or parameters that are refused", body = ErrorBody),
    (status = 403, description = "Into a team that is not yours", body = ErrorBody),
    (status = 409, description = "It is there, otherwise than asked for", body = ErrorBody),
    (status = 422, description = "Not as things stand: `error` tells why", body = ErrorBody),
))]
pub(crate) async fn put(
    State(broker): State<Arc<Broker>>,
    Who(who): Who,
    Id(id): Id<InstanceId>,
    Asked(query): Asked<ChangeQuery>,
    headers: HeaderMap,
    JsonBody(envelope): JsonBody<Envelope>,
) -> Result<Response, Error> {
    let requester = identity::requester(&who, &headers)?;
    let (plan, owner) = envelope.provision()?;
    may_own(&who, &owner)?;
    let context = envelope.context()?;
    identity::check_platform(&who, &headers, context.as_ref())?;
    let context = context.unwrap_or_else(|| json!({}));
    query.require_async()?;
    let spec = broker.spec(plan, envelope.all_parameters()?)?;
    envelope.check_maintenance(&broker.config.maintenance.version)?;
    let wish = Wish { id, spec, owner, context, requester };
    broker.change(&who, &wish.id, |standing| decide(&broker, &wish, standing)).await
}

/// Whatever it is that stands there, and whose ever it is.
const TAKEN: &str =
    "this instance exists with other attributes; update it instead, or use another id";

pub(crate) fn decide(broker: &Broker, wish: &Wish, standing: &Standing) -> Result<Decision, Error> {
    let is_same = |instance: &Instance, spec: Option<&Spec>| {
        spec == Some(&wish.spec) && instance.owner == wish.owner
    };
    if standing.is_others {
        return Err(Error::conflict(TAKEN));
    }
    match standing.phase() {
        Phase::Absent => Ok(fresh(broker, wish)),
        Phase::Changing(_, operation) if operation.kind != OperationKind::Provision => {
            Err(Error::concurrent(operation))
        }
        Phase::Changing(instance, operation) if is_same(instance, operation.target.as_ref()) => {
            Ok(Decision::Same(Box::new(operation.clone())))
        }
        Phase::Settled(instance) if is_same(instance, Some(&instance.spec)) => {
            Ok(match standing.failed() {
                Some(failed) if failed.kind == OperationKind::Provision => {
                    again(broker, wish, instance)
                }
                _ => broker.unchanged(&wish.id),
            })
        }
        Phase::HalfGone(_) => Err(Error::conflict(
            "the deprovision of this instance failed half way; ask for it once more first",
        )),
        Phase::Changing(..) | Phase::Settled(_) => Err(Error::conflict(TAKEN)),
    }
}

/// It was published and then failed to become live. It is tried again as an update, because a
/// provision that fails would take away what is there.
fn again(broker: &Broker, wish: &Wish, instance: &Instance) -> Decision {
    let previous = Some(instance.spec.clone());
    let target = Some(wish.spec.clone());
    let operation =
        broker.operation(&wish.id, OperationKind::Update, target, previous, wish.requester.clone());
    let instance = Instance { platform_context: wish.context.clone(), ..instance.clone() };
    let claim = wish.spec.hostnames.clone();
    Decision::Change(Box::new(Accept::new(operation, instance, claim)))
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
    Decision::Change(Box::new(Accept::new(operation, instance, claim)))
}
