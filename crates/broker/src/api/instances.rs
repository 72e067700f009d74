//! Instances: all, one, and what was done to one.

#![expect(
    unused_qualifications,
    reason = "the macro that documents the routes names their parameters once more"
)]

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use model::{InstanceId, Owner};
use serde::{Deserialize, Serialize};
use store::Filter;
use utoipa::{IntoParams, ToSchema};

use super::views::{InstanceView, OperationView};
use crate::error::{Error, ErrorBody};
use crate::extract::{self, Asked, Id};
use crate::router::Broker;
use crate::standing::Standing;

/// Rows of a page unless asked otherwise, and at most.
const PAGE_ROWS: usize = 100;
const PAGE_ROWS_MAX: usize = 1000;

/// Operations of a history.
const HISTORY_ROWS_MAX: usize = 100;

/// Which instances.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListQuery {
    /// Only this service.
    service: Option<String>,
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
    /// In order of id.
    instances: Vec<InstanceView>,
    /// Send it as `after` for the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// Lists instances.
#[utoipa::path(get, path = "/v1/instances", tag = "platform", operation_id = "listInstances",
    params(ListQuery), responses(
    (status = 200, description = "As it is now", body = InstancePage),
    (status = 400, description = "It cannot be read, or is refused", body = ErrorBody),
))]
pub(crate) async fn list(
    State(broker): State<Arc<Broker>>,
    Asked(query): Asked<ListQuery>,
) -> Result<Json<InstancePage>, Error> {
    let limit = query.limit.unwrap_or(PAGE_ROWS);
    if !(1..=PAGE_ROWS_MAX).contains(&limit) {
        return Err(Error::bad_request("limit is 1 to 1000"));
    }
    let owner = match (query.organization, query.space) {
        (Some(organization), Some(space)) => Some(Owner { organization, space }),
        (None, None) => None,
        _ => return Err(Error::bad_request("organization and space go together")),
    };
    let after = query.after.as_deref().map(extract::parse).transpose()?;
    let filter = Filter {
        owner,
        service: query.service,
        deleted: query.deleted == Some(true),
        after,
        limit,
    };
    let store = &broker.parts.store;
    let page = store.instances(filter).await?;
    let mut instances = Vec::with_capacity(page.items.len());
    for instance in &page.items {
        let latest = store.operations(&instance.id, 1).await?.pop();
        instances.push(InstanceView::of(instance).with(latest.as_ref(), None, broker.now()));
    }
    Ok(Json(InstancePage { instances, next: page.next.map(String::from) }))
}

/// One instance, its latest operation, and how it stands.
#[utoipa::path(get, path = "/v1/instances/{id}", tag = "platform", operation_id = "instance",
    params(("id" = String, Path, description = "Its id")), responses(
    (status = 200, description = "As it is now", body = InstanceView),
    (status = 404, description = "There is no such thing", body = ErrorBody),
))]
pub(crate) async fn one(
    State(broker): State<Arc<Broker>>,
    Id(id): Id<InstanceId>,
) -> Result<Json<InstanceView>, Error> {
    let Standing { instance, latest } = Standing::read(broker.parts.store.as_ref(), &id).await?;
    let instance = instance.ok_or_else(unknown)?;
    let plane = broker.parts.view.standing(&id).await;
    Ok(Json(InstanceView::of(&instance).with(latest.as_ref(), plane, broker.now())))
}

pub(super) fn unknown() -> Error {
    Error::not_found("there is no such instance")
}

/// What was done to an instance.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct History {
    /// Latest first.
    operations: Vec<OperationView>,
}

/// The latest operations of an instance.
#[utoipa::path(get, path = "/v1/instances/{id}/operations", tag = "platform", operation_id = "history",
    params(("id" = String, Path, description = "Its id")), responses(
    (status = 200, description = "As it is now", body = History),
    (status = 404, description = "There is no such thing", body = ErrorBody),
))]
pub(crate) async fn history(
    State(broker): State<Arc<Broker>>,
    Id(id): Id<InstanceId>,
) -> Result<Json<History>, Error> {
    broker.parts.store.instance(&id).await?.ok_or_else(unknown)?;
    let operations = broker.parts.store.operations(&id, HISTORY_ROWS_MAX).await?;
    let now = broker.now();
    let operations = operations.iter().map(|operation| OperationView::of(operation, now));
    Ok(Json(History { operations: operations.collect() }))
}
