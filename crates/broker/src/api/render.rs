//! What a descriptor would become, and whether it would be accepted; nothing is changed.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use model::{
    Instance, InstanceId, InstanceState, OperationKind, Owner, Parameters, Plan, Principal,
    Requester, Role, Spec,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use store::{Accept, Foretold, Proof};
use utoipa::ToSchema;

use super::instances::{found, unknown};
use super::teams;
use crate::body::JsonBody;
use crate::denied;
use crate::error::{Error, ErrorBody};
use crate::extract::{self, Id};
use crate::port::RenderedLine;
use crate::principal::{Who, may_own};
use crate::proof::{self, Withheld};
use crate::router::Broker;
use crate::standing::{Phase, Standing};
use crate::update::renamed;

/// A descriptor that is not sent to be carried out.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Draft {
    /// The instance that it would be; absent: a new one.
    instance: Option<String>,
    /// The OSB space that a new one would belong to; absent: the caller's, where it is of one team.
    /// Where neither tells, nothing that teams are granted or limited to is looked at.
    team: Option<String>,
    /// The OSB organisation of `team`; default: the platform's own.
    organization: Option<String>,
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
    /// Those of them that would not answer in public before their records are there.
    withheld: Vec<Withheld>,
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
    let is_so = matches!(standing.phase(), Phase::Settled(present) if present.spec == spec);
    let withheld = if is_so {
        proof::awaited(&broker, &id, &spec).await?
    } else {
        let wish = draft.wish(&broker, &who, &standing, spec.clone())?;
        foreseen(&broker, wish).await?
    };
    drop(rendered(&broker, &id, &spec)?);
    Ok(Json(Valid {
        hostnames: spec.hostnames.iter().map(ToString::to_string).collect(),
        withheld: withheld.iter().map(Withheld::of).collect(),
    }))
}

/// What would be withheld of what is asked for, unless it would be refused.
pub(super) async fn foreseen(broker: &Broker, wish: Accept) -> Result<Vec<Proof>, Error> {
    let owner = wish.instance.owner.clone();
    match broker.parts.teams.foretell(wish).await? {
        Foretold::Accepted(proofs) => Ok(proofs),
        Foretold::Refused(refusal) => Err(denied::error(&refusal, &owner, broker.now())),
    }
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

    /// What a provision or an update to `spec` would ask of the store.
    fn wish(
        &self,
        broker: &Broker,
        who: &Principal,
        standing: &Standing,
        spec: Spec,
    ) -> Result<Accept, Error> {
        let present = match standing.phase() {
            Phase::Absent => None,
            Phase::Changing(it, _) | Phase::HalfGone(it) | Phase::Settled(it) => Some(it),
        };
        let owner = present
            .map(|it| it.owner.clone())
            .map_or_else(|| self.owner(who), |it| Ok(Some(it)))?;
        let is_told = owner.is_some();
        let id = extract::parse(self.instance.as_deref().unwrap_or(DRAFT_ID))?;
        let accept = asks(broker, who, id, owner.unwrap_or_else(nobody), present, spec);
        Ok(if is_told { broker.judged(accept) } else { accept })
    }

    /// Whose a new one would be, where that is told.
    fn owner(&self, who: &Principal) -> Result<Option<Owner>, Error> {
        let Some(team) = &self.team else {
            return Ok(match &who.role {
                Role::Member { organization, teams } if teams.len() == 1 => teams
                    .first()
                    .map(|team| Owner { organization: organization.clone(), space: team.clone() }),
                _ => None,
            });
        };
        let owner = teams::owner(self.organization.clone(), team.clone())?;
        may_own(who, &owner)?;
        Ok(Some(owner))
    }
}

fn nobody() -> Owner {
    Owner { organization: String::new(), space: String::new() }
}

/// The request that a descriptor would be: nobody sends it.
fn asks(
    broker: &Broker,
    who: &Principal,
    id: InstanceId,
    owner: Owner,
    present: Option<&Instance>,
    spec: Spec,
) -> Accept {
    let requester = Requester {
        credential: who.credential.clone(),
        originating_identity: None,
        request_identity: None,
    };
    let kind = present.map_or(OperationKind::Provision, |_| OperationKind::Update);
    let previous = present.map(|it| it.spec.clone());
    let operation = broker.operation(&id, kind, Some(spec.clone()), previous, requester);
    let claim = spec.hostnames.clone();
    let now = operation.created_at;
    let instance = Instance {
        id,
        owner,
        platform_context: Value::Null,
        state: InstanceState::Provisioning,
        spec,
        revision: None,
        created_at: now,
        updated_at: now,
    };
    Accept::new(operation, instance, claim)
}
