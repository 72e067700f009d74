//! What teams may have and have.

#![expect(
    unused_qualifications,
    reason = "the macro that documents the routes names their parameters once more"
)]

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use model::{AuditEntry, Hostname, ORGANIZATION, Owner, Policy, Principal, Quota, Zone};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::Team;
use utoipa::{IntoParams, ToSchema};

use crate::body::JsonBody;
use crate::error::{Error, ErrorBody};
use crate::extract::{Asked, Id};
use crate::identity::requester;
use crate::principal::{Who, operator};
use crate::router::Broker;

/// Teams of a page.
const PAGE_ROWS: usize = 1000;
/// Characters of an organisation's or a team's name.
const NAME_CHARS_MAX: usize = 200;
/// Wildcards that one team may be granted.
const WILDCARDS_MAX: usize = 1000;
/// Zones that one team may be allowed.
const ZONES_MAX: usize = 100;

/// Which organisation's team.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Organization {
    /// OSB organisation; default: the platform's own.
    organization: Option<String>,
}

/// Where a list goes on.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct After {
    /// After this organisation; goes with `team`.
    organization: Option<String>,
    /// After this team of it.
    team: Option<String>,
}

/// A team.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TeamName {
    /// OSB organisation; default: the platform's own.
    organization: Option<String>,
    /// OSB space.
    team: String,
}

/// Which team.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
pub(crate) struct TeamRef {
    organization: String,
    team: String,
}

impl From<Owner> for TeamRef {
    fn from(owner: Owner) -> Self {
        Self { organization: owner.organization, team: owner.space }
    }
}

/// How much a team may have; absent: as the platform's settings say.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct QuotaBody {
    /// Instances.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    instances: Option<u32>,
    /// Hostnames of all of them together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hostnames: Option<u32>,
    /// Routes of one instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    routes: Option<u32>,
    /// Provisions and updates in a minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    changes_per_minute: Option<u32>,
}

/// What is laid down for a team. A `PUT` replaces all of it.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PolicyBody {
    /// The wildcards that it may take, such as `*.shop.example.com`.
    #[serde(default)]
    wildcards: Vec<String>,
    /// The zones below which its public hostnames need no proof, beside those of the platform.
    #[serde(default)]
    zones: Vec<String>,
    /// How much it may have.
    #[serde(default)]
    quota: QuotaBody,
}

/// A team as it stands.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TeamView {
    organization: String,
    team: String,
    policy: PolicyBody,
    /// What counts: what is laid down, and the platform's settings where that says nothing. Absent:
    /// as much as it likes.
    limits: QuotaBody,
    /// Instances that it has.
    instances: u32,
    /// Hostnames that it has.
    hostnames: u32,
}

/// Teams.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Teams {
    teams: Vec<TeamView>,
}

impl From<Quota> for QuotaBody {
    fn from(quota: Quota) -> Self {
        let Quota { instances, hostnames, routes, changes_per_minute } = quota;
        Self { instances, hostnames, routes, changes_per_minute }
    }
}

impl TeamView {
    fn of(team: Team, platform: Quota) -> Self {
        let Team { owner, policy, usage } = team;
        Self {
            organization: owner.organization,
            team: owner.space,
            limits: policy.quota.or(platform).into(),
            policy: PolicyBody {
                wildcards: policy.wildcards.into_iter().map(String::from).collect(),
                zones: policy.zones.into_iter().map(String::from).collect(),
                quota: policy.quota.into(),
            },
            instances: usage.instances,
            hostnames: usage.hostnames,
        }
    }
}

impl PolicyBody {
    fn read(self) -> Result<Policy, Error> {
        if self.wildcards.len() > WILDCARDS_MAX {
            return Err(Error::bad_request("a team may be granted 1000 wildcards"));
        }
        let read = |text: &String| -> Result<Hostname, Error> {
            let name: Hostname = text
                .parse()
                .map_err(|why: model::NameError| Error::bad_request(why.to_string()))?;
            if name.is_wildcard() {
                return Ok(name);
            }
            Err(Error::bad_request(format!("`{name}` is not a wildcard such as `*.example.com`")))
        };
        let wildcards = self.wildcards.iter().map(read).collect::<Result<BTreeSet<_>, _>>()?;
        if self.zones.len() > ZONES_MAX {
            return Err(Error::bad_request("a team may be allowed 100 zones"));
        }
        let read = |text: &String| -> Result<Zone, Error> {
            text.parse().map_err(|why: model::NameError| Error::bad_request(why.to_string()))
        };
        let zones = self.zones.iter().map(read).collect::<Result<BTreeSet<_>, _>>()?;
        let QuotaBody { instances, hostnames, routes, changes_per_minute } = self.quota;
        Ok(Policy {
            wildcards,
            zones,
            quota: Quota { instances, hostnames, routes, changes_per_minute },
        })
    }
}

impl TeamName {
    pub(super) fn read(self) -> Result<Owner, Error> {
        owner(self.organization, self.team)
    }
}

pub(super) fn owner(organization: Option<String>, team: String) -> Result<Owner, Error> {
    let organization = organization.unwrap_or_else(|| ORGANIZATION.to_owned());
    let fits = |text: &str| (1..=NAME_CHARS_MAX).contains(&text.chars().count());
    if !fits(&organization) || !fits(&team) {
        return Err(Error::bad_request("organization and team have 1 to 200 characters"));
    }
    Ok(Owner { organization, space: team })
}

pub(super) fn entry(
    who: &Principal,
    headers: &HeaderMap,
    action: &str,
    object: &str,
    owner: Option<&Owner>,
    detail: Value,
) -> Result<AuditEntry, Error> {
    Ok(AuditEntry {
        by: requester(who, headers)?,
        action: action.to_owned(),
        object: object.to_owned(),
        owner: owner.cloned(),
        detail,
    })
}

pub(super) fn anothers() -> Error {
    Error::new(StatusCode::FORBIDDEN, "this is another team's")
}

/// The teams of which anything is known.
#[utoipa::path(get, path = "/v1/teams", tag = "platform", operation_id = "teams",
    params(After), responses(
    (status = 200, description = "At most 1,000", body = Teams),
    (status = 400, description = "It cannot be read, or is refused", body = ErrorBody),
    (status = 403, description = "It is for operators", body = ErrorBody),
))]
pub(crate) async fn list(
    State(broker): State<Arc<Broker>>,
    Who(who): Who,
    Asked(after): Asked<After>,
) -> Result<Json<Teams>, Error> {
    operator(&who)?;
    let after = after.team.map(|team| owner(after.organization, team)).transpose()?;
    let found = broker.parts.teams.teams(after, PAGE_ROWS).await?;
    let view = |team| TeamView::of(team, broker.config.quota);
    Ok(Json(Teams { teams: found.into_iter().map(view).collect() }))
}

/// A team: what it may have, and what it has.
#[utoipa::path(get, path = "/v1/teams/{team}", tag = "platform", operation_id = "team",
    params(("team" = String, Path, description = "OSB space"), Organization), responses(
    (status = 200, description = "As it is now; `ETag` is of what is laid down", body = TeamView),
    (status = 400, description = "It cannot be read, or is refused", body = ErrorBody),
    (status = 403, description = "It is another's", body = ErrorBody),
))]
pub(crate) async fn one(
    State(broker): State<Arc<Broker>>,
    Who(who): Who,
    Id(team): Id<String>,
    Asked(query): Asked<Organization>,
) -> Result<Response, Error> {
    let owner = owner(query.organization, team)?;
    if !who.owns(&owner) {
        return Err(anothers());
    }
    tagged(&broker, &owner).await
}

/// Lays down what a team may have. What it has already it keeps.
#[utoipa::path(put, path = "/v1/teams/{team}", tag = "platform", operation_id = "setTeam",
    params(("team" = String, Path, description = "OSB space"), Organization,
        ("If-Match" = Option<String>, Header, description = "Only over what has this `ETag`")),
    request_body = PolicyBody, responses(
    (status = 200, description = "It is so, with its `ETag`", body = TeamView),
    (status = 412, description = "What is laid down has another tag than `If-Match` names", body = ErrorBody),
    (status = 400, description = "It cannot be read, or is refused", body = ErrorBody),
    (status = 403, description = "It is for operators", body = ErrorBody),
))]
pub(crate) async fn set(
    State(broker): State<Arc<Broker>>,
    Who(who): Who,
    Id(team): Id<String>,
    Asked(query): Asked<Organization>,
    headers: HeaderMap,
    JsonBody(body): JsonBody<PolicyBody>,
) -> Result<Response, Error> {
    operator(&who)?;
    let owner = owner(query.organization, team)?;
    let policy = body.read()?;
    let detail = json!({ "quota": policy.quota, "wildcards": policy.wildcards.len(), "zones": policy.zones });
    let entry = entry(&who, &headers, "team.set", &owner.space, Some(&owner), detail)?;
    let over = match headers.get(header::IF_MATCH) {
        None => None,
        Some(wanted) => Some(matched(&broker, &owner, wanted).await?),
    };
    if !broker.parts.teams.set_policy(&owner, policy, over, broker.now(), entry).await? {
        return Err(changed());
    }
    tagged(&broker, &owner).await
}

/// A team, with the tag of what is laid down for it.
async fn tagged(broker: &Broker, owner: &Owner) -> Result<Response, Error> {
    let team = broker.parts.teams.team(owner).await?;
    let tag = [(header::ETAG, tag(&team.policy))];
    Ok((tag, Json(TeamView::of(team, broker.config.quota))).into_response())
}

/// What is laid down, if that is what `wanted` names.
async fn matched(broker: &Broker, owner: &Owner, wanted: &HeaderValue) -> Result<Policy, Error> {
    let policy = broker.parts.teams.team(owner).await?.policy;
    let wanted = wanted.to_str().unwrap_or_default();
    let is_it =
        wanted.split(',').any(|it| matches!(it.trim(), it if it == "*" || it == tag(&policy)));
    if is_it { Ok(policy) } else { Err(changed()) }
}

/// Two policies have one tag if they are the same.
fn tag(policy: &Policy) -> String {
    let text = serde_json::to_vec(policy).unwrap_or_default();
    format!("\"{:016x}\"", model::Version::hash_of(&text))
}

fn changed() -> Error {
    let why = "what is laid down for this team has changed since it was read; read it again, and lay it down over that";
    Error::new(StatusCode::PRECONDITION_FAILED, why)
}
