//! `PUT …/service_bindings/:id` (OSB 2.17, "Binding" and "Binding Rotation").

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use keys::{KeyPair, SealError};
use model::{Binding, BindingId, Instance, InstanceId, InstanceState, Requester};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use store::{BINDINGS_MAX, Bind, Binds, Bound};
use utoipa::ToSchema;

use super::parameters::Parameters;
use super::{Ids, answer, place};
use crate::body::JsonBody;
use crate::catalog;
use crate::envelope::require;
use crate::error::{Error, ErrorBody};
use crate::extract::parse;
use crate::port::Sealing;
use crate::principal::Who;
use crate::router::Broker;
use crate::{identity, metrics};

/// The largest `bind_resource`, in bytes: ids.
const RESOURCE_BYTES_MAX: usize = 16 << 10;
/// Of the life of a binding, how much is left when it should be replaced.
const RENEWAL_PARTS: i64 = 3;

/// A bind, or a rotation, which names its predecessor and may leave out all else.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct BindEnvelope {
    /// The offering's id in the catalog. Required but for a rotation.
    service_id: Option<String>,
    /// A plan's id in the catalog. Required but for a rotation.
    plan_id: Option<String>,
    /// The application that will call; kept and not interpreted.
    app_guid: Option<String>,
    /// What will call: at most 16 KiB, kept and not interpreted.
    #[schema(value_type = Option<Object>)]
    bind_resource: Option<Map<String, Value>>,
    /// `ttl` and `name`; their schema is in the catalog. A rotation inherits them.
    #[schema(value_type = Option<Object>)]
    parameters: Option<Box<RawValue>>,
    /// The binding that this one comes to replace. Both are good until the older is unbound or
    /// expires.
    predecessor_binding_id: Option<String>,
}

/// A checked request.
struct Wish {
    instance: InstanceId,
    id: BindingId,
    parameters: Option<Parameters>,
    resource: Option<Value>,
    predecessor: Option<BindingId>,
    by: Requester,
}

impl BindEnvelope {
    fn wish(self, Ids(instance, id): Ids, by: Requester) -> Result<Wish, Error> {
        let given = [("service_id", &self.service_id), ("plan_id", &self.plan_id)];
        if self.predecessor_binding_id.is_none() {
            require(&given)?;
        }
        if self.service_id.is_some() {
            catalog::check_service(self.service_id.as_deref())?;
        }
        if self.plan_id.is_some() {
            catalog::plan(self.plan_id.as_deref())?;
        }
        let predecessor = self.predecessor_binding_id.as_deref().map(parse).transpose()?;
        let parameters = self.parameters.as_deref().map(Parameters::read).transpose()?;
        let resource = resource(self.app_guid, self.bind_resource)?;
        Ok(Wish { instance, id, parameters, resource, predecessor, by })
    }
}

fn resource(
    app_guid: Option<String>,
    bind_resource: Option<Map<String, Value>>,
) -> Result<Option<Value>, Error> {
    if app_guid.is_none() && bind_resource.is_none() {
        return Ok(None);
    }
    let resource = json!({"app_guid": app_guid, "bind_resource": bind_resource});
    if resource.to_string().len() > RESOURCE_BYTES_MAX {
        return Err(Error::bad_request("bind_resource is larger than 16 KiB"));
    }
    Ok(Some(resource))
}

/// Bind, or rotate a binding. It is done when this is answered; a repeat answers the same credential.
#[utoipa::path(put, path = "/v2/service_instances/{id}/service_bindings/{binding}", tag = "osb", operation_id = "bind",
    params(("id" = String, Path, description = "The OSB `instance_id`"),
        ("binding" = String, Path, description = "The OSB `binding_id`, chosen by the platform")),
    request_body = BindEnvelope, responses(
    (status = 200, description = "It is so already: the same credential", body = Object),
    (status = 201, description = "Where to call, and the key to call with", body = Object),
    (status = 400, description = "Malformed, parameters that are refused, or a predecessor that cannot be replaced", body = ErrorBody),
    (status = 404, description = "There is no such instance", body = ErrorBody),
    (status = 409, description = "There is another binding of this id", body = ErrorBody),
    (status = 422, description = "Not as things stand: `error` tells why", body = ErrorBody),
))]
pub(crate) async fn put(
    State(broker): State<Arc<Broker>>,
    Who(who): Who,
    ids: Ids,
    headers: HeaderMap,
    JsonBody(envelope): JsonBody<BindEnvelope>,
) -> Result<Response, Error> {
    let by = identity::requester(&who, &headers)?;
    let wish = envelope.wish(ids, by)?;
    let unknown = || {
        let why = "there is no such instance; provision it first";
        refused("unknown-instance", Error::not_found(why))
    };
    let instance = broker.bindable(&who, &wish.instance).await?.ok_or_else(unknown)?;
    if let Some(found) = broker.parts.bindings.binding(&wish.id).await? {
        return again(&broker, &instance, &wish, &found);
    }
    let inherited = predecessor(&broker, &wish).await?;
    let pair = KeyPair::new(&broker.parts.vault.draw());
    let sealing = broker.parts.vault.seal(place(&wish.id), &pair.seed()).await;
    let Sealing { sealed, held } = sealing.map_err(not_sealed)?;
    let binding = made(&broker, &wish, inherited, &pair);
    let bind = Bind { binding, sealed, by: wish.by.clone() };
    let made = Bound { binding: bind.binding.clone(), sealed: bind.sealed.clone() };
    let bound = broker.parts.bindings.bind(bind).await?;
    drop(held);
    match bound {
        Binds::Yes(revision) => {
            tracing::info!(instance = %instance.id, binding = %wish.id, revision, "bound");
            Ok(answer::secret(StatusCode::CREATED, broker.binding_body(&instance, &made)?))
        }
        Binds::Exists(found) => again(&broker, &instance, &wish, &found),
        Binds::NotReady => Err(not_ready(&instance)),
        Binds::NoPredecessor => Err(no_predecessor()),
        Binds::Full => Err(full()),
    }
}

/// Counted by its reason, which is ours.
fn refused(reason: &'static str, error: Error) -> Error {
    metrics::bind_refused(reason);
    error
}

fn full() -> Error {
    let why = format!(
        "this instance has {BINDINGS_MAX} bindings, which is the most; unbind what is not used. \
         What has expired counts for a day, unless it is unbound"
    );
    refused("full", Error::unprocessable("TooManyBindings", why))
}

/// A binding of this id is there: the same again, or another.
fn again(
    broker: &Broker,
    instance: &Instance,
    wish: &Wish,
    found: &Bound,
) -> Result<Response, Error> {
    let binding = &found.binding;
    let parameters = Parameters { name: binding.name.clone(), ttl_s: binding.ttl_s };
    let is_rotation = wish.predecessor.is_some();
    // What a rotation leaves out it has inherited.
    let has_parameters = match &wish.parameters {
        None if is_rotation => true,
        given => given.clone().unwrap_or_default() == parameters,
    };
    let has_resource = match &wish.resource {
        None if is_rotation => true,
        given => given.clone().unwrap_or_default() == binding.resource,
    };
    let is_same = binding.instance == wish.instance
        && binding.predecessor == wish.predecessor
        && has_parameters
        && has_resource;
    if is_same {
        return Ok(answer::secret(StatusCode::OK, broker.binding_body(instance, found)?));
    }
    let why = "there is another binding of this id, with other attributes";
    Err(refused("other-attributes", Error::conflict(why)))
}

/// What a rotation inherits from.
async fn predecessor(broker: &Broker, wish: &Wish) -> Result<Option<Binding>, Error> {
    let Some(id) = &wish.predecessor else { return Ok(None) };
    let found = broker.parts.bindings.binding(id).await?.map(|found| found.binding);
    let found = found.filter(|it| it.instance == wish.instance && !it.has_expired(broker.now()));
    let found = found.ok_or_else(no_predecessor)?;
    let own = Parameters { name: found.name.clone(), ttl_s: found.ttl_s };
    if wish.parameters.as_ref().is_some_and(|given| *given != own) {
        return Err(Error::bad_request(
            "a rotation inherits the parameters of its predecessor; leave them out, or bind anew",
        ));
    }
    Ok(Some(found))
}

fn not_sealed(why: SealError) -> Error {
    tracing::error!(%why, "a key was not sealed");
    Error::unavailable("the platform cannot keep a key now; nothing was changed")
}

fn made(broker: &Broker, wish: &Wish, inherited: Option<Binding>, pair: &KeyPair) -> Binding {
    let given = wish.parameters.clone().unwrap_or_default();
    let resource = wish.resource.clone().unwrap_or_default();
    let (name, ttl_s, resource) = match inherited {
        Some(old) => (old.name, old.ttl_s, wish.resource.clone().unwrap_or(old.resource)),
        None => (given.name, given.ttl_s, resource),
    };
    let now = broker.now();
    let life = ttl_s.map(|seconds| i64::try_from(seconds).unwrap_or(0) * 1_000);
    Binding {
        id: wish.id.clone(),
        instance: wish.instance.clone(),
        name,
        ttl_s,
        resource,
        predecessor: wish.predecessor.clone(),
        public_key: pair.public_key(),
        created_by: wish.by.credential.clone(),
        created_at: now,
        renew_before: life.map(|life| now + life - life / RENEWAL_PARTS),
        expires_at: life.map(|life| now + life),
    }
}

/// OSB 2.17, "Blocking Operations": a platform must not orphan-mitigate on it.
fn not_ready(instance: &Instance) -> Error {
    let what = match instance.state {
        InstanceState::Deprovisioning => "the deprovision",
        _ => "the provision",
    };
    refused("not-ready", Error::busy(what))
}

fn no_predecessor() -> Error {
    let why =
        "predecessor_binding_id is not a binding of this instance, or it has expired; bind anew";
    refused("predecessor", Error::bad_request(why))
}
