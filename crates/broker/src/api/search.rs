//! Instances and operations, listed and looked for.

#![expect(
    unused_qualifications,
    reason = "the macro that documents the routes names their parameters once more"
)]

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use model::{
    Hostname, InstanceId, InstanceState, Millis, OperationKind, OperationState, Owner, Plan,
    Principal, Role,
};
use serde::{Deserialize, Serialize};
use store::{InstanceSearch, OperationSearch};
use utoipa::{IntoParams, ToSchema};

use super::views::{InstanceView, OperationView};
use crate::error::{Error, ErrorBody};
use crate::extract::{self, Asked};
use crate::principal::Who;
use crate::router::Broker;

/// Rows of a page unless asked otherwise, and at most.
const PAGE_ROWS: usize = 100;
const PAGE_ROWS_MAX: usize = 1000;

fn limit(asked: Option<usize>) -> Result<usize, Error> {
    let limit = asked.unwrap_or(PAGE_ROWS);
    if (1..=PAGE_ROWS_MAX).contains(&limit) {
        return Ok(limit);
    }
    Err(Error::bad_request("limit is 1 to 1000"))
}

/// Whose things are looked for: of those that are asked for, what `who` may see.
fn owners(
    who: &Principal,
    organization: Option<String>,
    space: Option<String>,
    team: Option<String>,
) -> Result<Option<Vec<Owner>>, Error> {
    let asked = match (organization, space, team) {
        (Some(organization), Some(space), None) => Some(Owner { organization, space }),
        (None, None, Some(space)) => {
            Some(Owner { organization: model::ORGANIZATION.to_owned(), space })
        }
        (None, None, None) => None,
        _ => return Err(Error::bad_request("organization and space go together, without team")),
    };
    Ok(match (asked, &who.role) {
        (Some(owner), _) => Some(Some(owner).filter(|owner| who.owns(owner)).into_iter().collect()),
        (None, Role::Operator | Role::Platform) => None,
        (None, Role::Member { organization, teams }) => {
            let own =
                |team: &String| Owner { organization: organization.clone(), space: team.clone() };
            Some(teams.iter().map(own).collect())
        }
    })
}

/// Which instances: all that is given must hold.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct InstanceQuery {
    /// Only this service.
    service: Option<String>,
    /// Only services whose name begins so.
    prefix: Option<String>,
    /// Only the one that holds this hostname.
    hostname: Option<String>,
    /// Only in this state: `provisioning`, `ready`, `failed`, `deprovisioning`, `deleted`.
    #[param(value_type = Option<String>)]
    state: Option<InstanceState>,
    /// Only of this plan: `internal`, `public`.
    #[param(value_type = Option<String>)]
    plan: Option<Plan>,
    /// Only of this team, which is a space of the platform's own organisation.
    team: Option<String>,
    /// Only of this organisation; goes with `space`.
    organization: Option<String>,
    /// Only of this space; goes with `organization`.
    space: Option<String>,
    /// Also those that were deleted, as long as they are remembered.
    deleted: Option<bool>,
    /// The `next` of the page before.
    after: Option<String>,
    /// 1 to 1,000; default 100.
    limit: Option<usize>,
}

/// A page.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct InstancePage {
    /// In order of service, then id. Fewer than asked for, or none, also where more follow.
    instances: Vec<InstanceView>,
    /// Send it as `after` for the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// Lists instances, or looks for some.
#[utoipa::path(get, path = "/v1/instances", tag = "platform", operation_id = "listInstances",
    params(InstanceQuery), responses(
    (status = 200, description = "As it is now", body = InstancePage),
    (status = 400, description = "It cannot be read, or is refused", body = ErrorBody),
))]
pub(crate) async fn instances(
    State(broker): State<Arc<Broker>>,
    Who(who): Who,
    Asked(query): Asked<InstanceQuery>,
) -> Result<Json<InstancePage>, Error> {
    let page = broker.parts.search.search_instances(query.search(&who)?).await?;
    let mut instances = Vec::with_capacity(page.items.len());
    for instance in &page.items {
        let latest = broker.parts.store.operations(&instance.id, 1).await?.pop();
        instances.push(InstanceView::of(instance).with(latest.as_ref(), None, broker.now()));
    }
    Ok(Json(InstancePage { instances, next: page.next }))
}

impl InstanceQuery {
    fn search(self, who: &Principal) -> Result<InstanceSearch, Error> {
        let place = |after: &str| {
            let (_, id) = after.split_once('/').unwrap_or_default();
            extract::parse::<InstanceId>(id)
        };
        if let Some(Err(_)) = self.after.as_deref().map(place) {
            return Err(Error::bad_request("after is not the `next` of a page"));
        }
        let hostname = self.hostname.as_deref().map(extract::parse::<Hostname>).transpose()?;
        Ok(InstanceSearch {
            owners: owners(who, self.organization, self.space, self.team)?,
            service: self.service,
            prefix: self.prefix,
            hostname,
            state: self.state,
            deleted: self.deleted == Some(true),
            plan: self.plan,
            after: self.after,
            limit: limit(self.limit)?,
        })
    }
}

/// Which operations: all that is given must hold.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct OperationQuery {
    /// Only in this state: `in progress`, `succeeded`, `failed`.
    #[param(value_type = Option<String>)]
    state: Option<OperationState>,
    /// Only of this kind: `provision`, `update`, `deprovision`.
    #[param(value_type = Option<String>)]
    kind: Option<OperationKind>,
    /// `true`: only the latest of each instance. With `state=failed`: what is failing now.
    current: Option<bool>,
    /// Only of this instance.
    instance: Option<String>,
    /// Only of this team, which is a space of the platform's own organisation.
    team: Option<String>,
    /// Only of this organisation; goes with `space`.
    organization: Option<String>,
    /// Only of this space; goes with `organization`.
    space: Option<String>,
    /// Not accepted before this time: milliseconds since the Unix epoch.
    since: Option<Millis>,
    /// The `next` of the page before.
    after: Option<u64>,
    /// 1 to 1,000; default 100.
    limit: Option<usize>,
}

/// An operation and whose it is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OperationLine {
    #[serde(flatten)]
    operation: OperationView,
    /// The service's name.
    service: String,
    /// OSB organisation.
    organization: String,
    /// OSB space: the team.
    space: String,
}

/// A page.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OperationPage {
    /// The latest accepted first. Fewer than asked for, or none, also where more follow.
    operations: Vec<OperationLine>,
    /// Send it as `after` for the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<u64>,
}

/// Lists operations, such as those that are failing now.
#[utoipa::path(get, path = "/v1/operations", tag = "platform", operation_id = "listOperations",
    params(OperationQuery), responses(
    (status = 200, description = "As it is now", body = OperationPage),
    (status = 400, description = "It cannot be read, or is refused", body = ErrorBody),
))]
pub(crate) async fn operations(
    State(broker): State<Arc<Broker>>,
    Who(who): Who,
    Asked(query): Asked<OperationQuery>,
) -> Result<Json<OperationPage>, Error> {
    let search = OperationSearch {
        owners: owners(&who, query.organization, query.space, query.team)?,
        instance: query.instance.as_deref().map(extract::parse).transpose()?,
        state: query.state,
        kind: query.kind,
        latest: query.current == Some(true),
        since: query.since,
        after: query.after,
        limit: limit(query.limit)?,
    };
    let page = broker.parts.search.search_operations(search).await?;
    let now = broker.now();
    let line = |found: store::Found| {
        let spec = found.operation.target.as_ref().or(found.operation.previous.as_ref());
        OperationLine {
            service: spec.map_or_else(String::new, |spec| spec.parameters.service.to_string()),
            operation: OperationView::of(&found.operation, now),
            organization: found.owner.organization,
            space: found.owner.space,
        }
    };
    let operations = page.items.into_iter().map(line).collect();
    Ok(Json(OperationPage { operations, next: page.next }))
}
