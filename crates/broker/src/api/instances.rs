//! One instance, and what was done to it.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use model::{Instance, InstanceId, Principal};
use serde::Serialize;
use utoipa::ToSchema;

use super::history::HistoryLine;
use super::views::InstanceView;
use crate::error::{Error, ErrorBody};
use crate::extract::Id;
use crate::principal::Who;
use crate::proof;
use crate::router::Broker;
use crate::standing::Standing;

/// Operations of a history.
const HISTORY_ROWS_MAX: usize = 100;

/// One instance, its latest operation, and how it stands.
#[utoipa::path(get, path = "/v1/instances/{id}", tag = "platform", operation_id = "instance",
    params(("id" = String, Path, description = "Its id")), responses(
    (status = 200, description = "As it is now", body = InstanceView),
    (status = 404, description = "There is no such thing", body = ErrorBody),
))]
pub(crate) async fn one(
    State(broker): State<Arc<Broker>>,
    Who(who): Who,
    Id(id): Id<InstanceId>,
) -> Result<Json<InstanceView>, Error> {
    let standing = Standing::read(broker.parts.store.as_ref(), &who, &id).await?;
    let Standing { instance, latest, .. } = standing;
    let instance = instance.ok_or_else(unknown)?;
    let plane = broker.parts.view.standing(&id).await;
    let now = broker.now();
    let conditions = proof::conditions(&proof::awaited(&broker, &id, &instance.spec).await?);
    let mut view =
        InstanceView::of(&instance).with(latest.as_ref(), plane, now).awaiting(conditions);
    if let Some(latest) = &latest {
        let search = broker.parts.search.as_ref();
        view.beside(&*broker.typical.of(search, latest.kind, now).await);
    }
    let offered = broker.parts.teams.offered(&id).await?;
    Ok(Json(view.offered(offered)))
}

/// The instance, if it is there for `who`.
pub(super) async fn found(
    broker: &Broker,
    who: &Principal,
    id: &InstanceId,
) -> Result<Instance, Error> {
    let instance = broker.parts.store.instance(id).await?;
    instance.filter(|instance| who.owns(&instance.owner)).ok_or_else(unknown)
}

pub(super) fn unknown() -> Error {
    Error::not_found("there is no such instance")
}

/// What was done to an instance.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct History {
    /// Latest first.
    operations: Vec<HistoryLine>,
}

/// The latest operations of an instance.
#[utoipa::path(get, path = "/v1/instances/{id}/operations", tag = "platform", operation_id = "history",
    params(("id" = String, Path, description = "Its id")), responses(
    (status = 200, description = "As it is now", body = History),
    (status = 404, description = "There is no such thing", body = ErrorBody),
))]
pub(crate) async fn history(
    State(broker): State<Arc<Broker>>,
    Who(who): Who,
    Id(id): Id<InstanceId>,
) -> Result<Json<History>, Error> {
    found(&broker, &who, &id).await?;
    let operations = broker.parts.store.operations(&id, HISTORY_ROWS_MAX).await?;
    let now = broker.now();
    let operations = operations.iter().map(|operation| HistoryLine::of(operation, now));
    Ok(Json(History { operations: operations.collect() }))
}
