//! What a descriptor would become, and whether it would be accepted; nothing is changed.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use model::{InstanceId, Parameters, Plan, Spec};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::instances::{found, unknown};
use crate::body::JsonBody;
use crate::error::{Error, ErrorBody};
use crate::extract::{self, Id};
use crate::port::RenderedLine;
use crate::principal::Who;
use crate::router::Broker;
use crate::standing::{Phase, Standing};
use crate::update::renamed;

/// A descriptor that is not sent to be carried out.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Draft {
    /// The instance that it would be; absent: a new one.
    instance: Option<String>,
    /// `internal` (the default) or `public`.
    #[serde(default)]
    #[schema(value_type = String)]
    plan: Plan,
    /// The descriptor without its visibility.
    #[schema(value_type = Object)]
    parameters: Box<RawValue>,
}

/// Envoy's resources.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Rendered {
    /// In the order in which they are made.
    resources: Vec<RenderedLine>,
}

/// A descriptor that would be accepted.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Valid {
    /// What it would answer to.
    hostnames: Vec<String>,
}

/// The id under which a draft without an instance is rendered.
const DRAFT_ID: &str = "draft";

fn rendered(broker: &Broker, id: &InstanceId, spec: &Spec) -> Result<Rendered, Error> {
    let resources = broker.parts.view.render(id, spec).map_err(|complaints| {
        Error::new(StatusCode::UNPROCESSABLE_ENTITY, complaints.join("\n"))
    })?;
    Ok(Rendered { resources })
}

/// The resources that an instance becomes.
#[utoipa::path(get, path = "/v1/instances/{id}/resources", tag = "platform", operation_id = "resources",
    params(("id" = String, Path, description = "Its id")), responses(
    (status = 200, description = "As it is now", body = Rendered),
    (status = 404, description = "There is no such thing", body = ErrorBody),
    (status = 422, description = "Not as things stand", body = ErrorBody),
))]
pub(crate) async fn instance(
    State(broker): State<Arc<Broker>>,
    Who(who): Who,
    Id(id): Id<InstanceId>,
) -> Result<Json<Rendered>, Error> {
    let instance = found(&broker, &who, &id).await?;
    rendered(&broker, &id, &instance.spec).map(Json)
}

/// The resources that a descriptor would become.
#[utoipa::path(post, path = "/v1/render", tag = "platform", operation_id = "render",
    request_body = Draft, responses(
    (status = 200, description = "As it is now", body = Rendered),
    (status = 400, description = "It cannot be read, or is refused", body = ErrorBody),
    (status = 422, description = "Not as things stand", body = ErrorBody),
))]
pub(crate) async fn descriptor(
    State(broker): State<Arc<Broker>>,
    Who(who): Who,
    JsonBody(draft): JsonBody<Draft>,
) -> Result<Json<Rendered>, Error> {
    let (id, spec) = draft.read(&broker)?;
    not_anothers(&Standing::read(broker.parts.store.as_ref(), &who, &id).await?)?;
    rendered(&broker, &id, &spec).map(Json)
}

/// Whether a descriptor would be accepted now, its hostnames included.
#[utoipa::path(post, path = "/v1/validate", tag = "platform", operation_id = "validate",
    request_body = Draft, responses(
    (status = 200, description = "As it is now", body = Valid),
    (status = 400, description = "It cannot be read, or is refused", body = ErrorBody),
    (status = 422, description = "Not as things stand", body = ErrorBody),
))]
pub(crate) async fn validate(
    State(broker): State<Arc<Broker>>,
    Who(who): Who,
    JsonBody(draft): JsonBody<Draft>,
) -> Result<Json<Valid>, Error> {
    let (id, spec) = draft.read(&broker)?;
    let standing = Standing::read(broker.parts.store.as_ref(), &who, &id).await?;
    not_anothers(&standing)?;
    if let Phase::Settled(present) | Phase::Changing(present, _) = standing.phase()
        && let Some(refusal) = renamed(&present.spec.parameters, &spec.parameters)
    {
        return Err(refusal);
    }
    let mut owners = Vec::new();
    for hostname in &spec.hostnames {
        let owner = broker.parts.store.hostname(hostname).await?;
        owners.extend(owner.filter(|owner| owner.instance != id));
    }
    if !owners.is_empty() {
        return Err(Error::taken(&owners));
    }
    drop(rendered(&broker, &id, &spec)?);
    Ok(Json(Valid { hostnames: spec.hostnames.iter().map(ToString::to_string).collect() }))
}

/// A draft of an instance that is another's would tell of it.
fn not_anothers(standing: &Standing) -> Result<(), Error> {
    if standing.is_others { Err(unknown()) } else { Ok(()) }
}

impl Draft {
    fn read(&self, broker: &Broker) -> Result<(InstanceId, Spec), Error> {
        let parameters = Parameters::from_json(self.parameters.get()).map_err(Error::refused)?;
        let id = extract::parse(self.instance.as_deref().unwrap_or(DRAFT_ID))?;
        Ok((id, broker.spec(self.plan, parameters)?))
    }
}
