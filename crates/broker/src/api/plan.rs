//! What a descriptor would change: the very decisions that a provision or an update takes, and then
//! nothing of it is done.
//!
//! It is a route of its own and no parameter of the OSB verbs: a broker that does not know a parameter
//! ignores it, and would make the change.

mod resources;

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use model::{
    ExposureChange, Hostname, Instance, InstanceId, InstanceState, Operation, OperationKind, Owner,
    Parameters, Plan, Principal, Requester, Role, Spec,
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::RawValue;
use store::{Accept, Proof};
use utoipa::ToSchema;

use self::resources::ResourceChange;
use super::history::{ChangeView, changes};
use super::{render, teams, words};
use crate::accept::Decision;
use crate::body::JsonBody;
use crate::error::{Error, ErrorBody};
use crate::extract;
use crate::principal::{Who, may_own};
use crate::proof::{self, Withheld};
use crate::router::Broker;
use crate::standing::Standing;
use crate::{identity, provision, update};

/// What is to be looked at, as a provision or an update would bring it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    /// The instance that it would be; absent: a new one.
    instance: Option<String>,
    /// OSB organisation of `team`; default: the platform's own.
    organization: Option<String>,
    /// Whose it is to be, as OSB space; default: the caller's, where it is of one team. What is there
    /// and is another team's is not updated. Not needed for what is there.
    team: Option<String>,
    /// `internal` (the default) or `public`.
    #[serde(default)]
    #[schema(value_type = String)]
    plan: Plan,
    /// The descriptor without its visibility.
    #[schema(value_type = Object)]
    parameters: Box<RawValue>,
}

/// What would be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Action {
    /// There would be a new instance.
    Create,
    /// It would be changed.
    Update,
    /// It is so already.
    Nothing,
    /// It is being done already.
    Underway,
}

/// What would change.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Planned {
    action: Action,
    /// The instance; of a new one that was not named an id that means nothing.
    instance: String,
    service: String,
    plan: words::Plan,
    /// What it would answer to.
    hostnames: Vec<String>,
    /// `became-public` or `no-longer-public`; absent when neither.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    exposure: Option<ExposureChange>,
    /// What would change, in the words of the descriptor: visibility first.
    changes: Vec<ChangeView>,
    /// Why it would be done although nothing differs.
    #[serde(skip_serializing_if = "Option::is_none")]
    because: Option<String>,
    /// The operation that does it already, or in whose place it would come.
    #[serde(skip_serializing_if = "Option::is_none")]
    operation: Option<String>,
    /// Hostnames that it does not hold yet.
    takes: Vec<String>,
    /// Hostnames that it holds and would give up. Those that were served stay the team's for 30 days.
    gives_up: Vec<String>,
    /// Hostnames that would not answer in public before their records are there.
    withheld: Vec<Withheld>,
    /// What would be done, in order.
    steps: Vec<PlannedStep>,
    /// What would change of Envoy's resources, by type and name.
    resources: Vec<ResourceChange>,
}

/// A step that would be done.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PlannedStep {
    /// Its name in the pipeline.
    name: String,
    /// What it does, for people.
    says: String,
    /// Milliseconds that it takes as a rule; absent: not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    typical: Option<i64>,
}

/// What a descriptor would change, were it applied now. Nothing is changed, counted or held.
#[utoipa::path(post, path = "/v1/plan", tag = "platform", operation_id = "plan",
    request_body = Wanted, responses(
    (status = 200, description = "What would change", body = Planned),
    (status = 400, description = "Malformed, or parameters that are refused", body = ErrorBody),
    (status = 403, description = "Into a team that is not yours", body = ErrorBody),
    (status = 409, description = "It is there, and is not yours", body = ErrorBody),
    (status = 422, description = "Not as things stand: `error` tells why", body = ErrorBody),
))]
pub(crate) async fn post(
    State(broker): State<Arc<Broker>>,
    Who(who): Who,
    headers: HeaderMap,
    JsonBody(wanted): JsonBody<Wanted>,
) -> Result<Json<Planned>, Error> {
    let asked = Asked {
        id: wanted.id(&broker)?,
        plan: wanted.plan,
        parameters: Parameters::from_json(wanted.parameters.get()).map_err(Error::refused)?,
        requester: identity::requester(&who, &headers)?,
    };
    let standing = Standing::read(broker.parts.store.as_ref(), &who, &asked.id).await?;
    let owner = wanted.owner(&who)?;
    let is_theirs = |it: &Instance| is_there(it) && owner.as_ref().is_none_or(|o| *o == it.owner);
    let decision = match standing.instance.as_ref().is_some_and(is_theirs) {
        true => update::decide(&broker, &asked.update(), &standing)?,
        false => {
            let owner = owner.ok_or_else(|| Error::bad_request(NOBODYS))?;
            let wish = asked.provision(&broker, owner)?;
            may_own(&who, &wish.owner)?;
            provision::decide(&broker, &wish, &standing)?
        }
    };
    match decision {
        Decision::Answer(_) => asked.nothing(&broker).await,
        Decision::Same(operation) => {
            let id = Some(operation.id.to_string());
            let planned = look(&broker, &operation, Action::Underway).await?;
            let spec = broker.spec(asked.plan, asked.parameters.clone())?;
            let withheld = told(&proof::awaited(&broker, &asked.id, &spec).await?);
            Ok(Planned { operation: id, withheld, ..planned })
        }
        Decision::Change(accept) => would_be(&broker, *accept, &standing).await,
    }
    .map(Json)
}

fn told(proofs: &[Proof]) -> Vec<Withheld> {
    proofs.iter().map(Withheld::of).collect()
}

const NOBODYS: &str = "a new instance belongs to a team: name it in `team`";

/// Whether it is updated; otherwise its id is free to be provisioned.
fn is_there(instance: &Instance) -> bool {
    !matches!(instance.state, InstanceState::Deleted | InstanceState::Failed)
}

impl Wanted {
    fn id(&self, broker: &Broker) -> Result<InstanceId, Error> {
        match &self.instance {
            Some(id) => extract::parse(id),
            None => extract::parse((broker.parts.new_id)().as_str()),
        }
    }

    /// Whose it is to be, where that is told.
    fn owner(&self, who: &Principal) -> Result<Option<Owner>, Error> {
        let own = match &who.role {
            Role::Member { teams, .. } if teams.len() == 1 => teams.first().cloned(),
            _ => None,
        };
        let team = self.team.clone().or(own);
        team.map(|team| teams::owner(self.organization.clone(), team)).transpose()
    }
}

/// A checked request.
struct Asked {
    id: InstanceId,
    plan: Plan,
    parameters: Parameters,
    requester: Requester,
}

impl Asked {
    fn update(&self) -> update::Wish {
        update::Wish {
            id: self.id.clone(),
            plan: Some(self.plan),
            parameters: Some(self.parameters.clone()),
            context: None,
            upgrade: false,
            requester: self.requester.clone(),
        }
    }

    fn provision(&self, broker: &Broker, owner: Owner) -> Result<provision::Wish, Error> {
        Ok(provision::Wish {
            id: self.id.clone(),
            spec: broker.spec(self.plan, self.parameters.clone())?,
            owner,
            context: json!({}),
            requester: self.requester.clone(),
        })
    }

    async fn nothing(&self, broker: &Broker) -> Result<Planned, Error> {
        let spec = broker.spec(self.plan, self.parameters.clone())?;
        let withheld = told(&proof::awaited(broker, &self.id, &spec).await?);
        Ok(Planned { withheld, ..Planned::of(&self.id, Action::Nothing, &spec) })
    }
}

/// What a request that is decided would change, unless the store would refuse it.
async fn would_be(broker: &Broker, accept: Accept, standing: &Standing) -> Result<Planned, Error> {
    let (operation, over) =
        (accept.operation.clone(), accept.over.as_ref().map(ToString::to_string));
    let withheld = render::foreseen(broker, broker.judged(accept)).await?;
    let action = match operation.kind {
        OperationKind::Provision => Action::Create,
        _ => Action::Update,
    };
    let planned = look(broker, &operation, action).await?;
    let is_again = planned.changes.is_empty() && standing.failed().is_some();
    let because = is_again.then(|| "the last operation failed; it would be tried again".to_owned());
    Ok(Planned { because, operation: over, withheld: told(&withheld), ..planned })
}

/// What an operation changes, or would.
async fn look(broker: &Broker, operation: &Operation, action: Action) -> Result<Planned, Error> {
    let (before, after) = (operation.previous.as_ref(), operation.target.as_ref());
    let Some(spec) = after else { return Err(Error::concurrent(operation)) };
    let (id, refused) = (&operation.instance, StatusCode::UNPROCESSABLE_ENTITY);
    let checked = broker.parts.view.check(id, spec).await;
    checked.map_err(|why| Error::new(refused, why))?;
    let resources = resources::changes(broker.parts.view.as_ref(), id, before, spec)
        .map_err(|why| Error::new(refused, why.join("\n")))?;
    let held = broker.parts.store.claims(id).await?;
    let held: Vec<Hostname> = held.into_iter().map(|claim| claim.hostname).collect();
    let beyond = |names: &[Hostname], others: &[Hostname]| -> Vec<String> {
        names.iter().filter(|name| !others.contains(name)).map(ToString::to_string).collect()
    };
    Ok(Planned {
        exposure: ExposureChange::between(before, after),
        changes: changes(before, after),
        takes: beyond(&spec.hostnames, &held),
        gives_up: beyond(&held, &spec.hostnames),
        steps: steps(broker, operation).await,
        resources,
        ..Planned::of(id, action, spec)
    })
}

async fn steps(broker: &Broker, operation: &Operation) -> Vec<PlannedStep> {
    let search = broker.parts.search.as_ref();
    let usual = broker.typical.of(search, operation.kind, broker.now()).await;
    let step = |record: model::StepRecord| PlannedStep {
        typical: usual.get(&record.name).copied(),
        name: record.name,
        says: record.says,
    };
    broker.parts.view.steps(operation).into_iter().map(step).collect()
}

impl Planned {
    /// Without anything that would change.
    fn of(id: &InstanceId, action: Action, spec: &Spec) -> Self {
        Self {
            action,
            instance: id.to_string(),
            service: spec.parameters.service.to_string(),
            plan: spec.plan.into(),
            hostnames: spec.hostnames.iter().map(ToString::to_string).collect(),
            exposure: None,
            changes: Vec::new(),
            because: None,
            operation: None,
            takes: Vec::new(),
            gives_up: Vec::new(),
            withheld: Vec::new(),
            steps: Vec::new(),
            resources: Vec::new(),
        }
    }
}
