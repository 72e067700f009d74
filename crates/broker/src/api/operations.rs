//! One operation, and the wait for news of it.

#![expect(
    unused_qualifications,
    reason = "the macro that documents the routes names their parameters once more"
)]

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use model::{OperationId, Principal};
use serde::Deserialize;
use tokio::time::{Instant, timeout_at};
use utoipa::IntoParams;

use super::views::OperationView;
use crate::error::{Error, ErrorBody};
use crate::extract::{Asked, Id};
use crate::principal::Who;
use crate::router::Broker;
use crate::standing::sees;

/// The longest wait, in seconds.
const WAIT_S_MAX: u64 = 30;
/// Whether to wait.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct WaitQuery {
    /// Seconds, at most 30, to wait for news; 0 or absent answers at once.
    wait: Option<u64>,
    /// The `tag` that was seen: news is whatever differs from it, or the end of the operation.
    seen: Option<String>,
}

/// One operation with its steps.
#[utoipa::path(get, path = "/v1/operations/{id}", tag = "platform", operation_id = "operation",
    params(("id" = String, Path, description = "Its id"), WaitQuery), responses(
    (status = 200, description = "As it is now", body = OperationView),
    (status = 404, description = "There is no such thing", body = ErrorBody),
))]
pub(crate) async fn one(
    State(broker): State<Arc<Broker>>,
    Who(who): Who,
    Id(id): Id<OperationId>,
    Asked(query): Asked<WaitQuery>,
) -> Result<Json<OperationView>, Error> {
    let wait = query.wait.unwrap_or(0);
    if wait > WAIT_S_MAX {
        return Err(Error::bad_request("wait is at most 30 seconds"));
    }
    // Before the first look, so that nothing is missed between the two.
    let mut written = broker.parts.search.news(&id);
    let first = look(&broker, &who, &id).await?;
    let is_news = |view: &OperationView| !view.is_open() || query.seen.as_ref() != Some(&view.tag);
    if wait == 0 || is_news(&first) {
        return Ok(Json(first));
    }
    // So many wait already that this one is answered like a plain request.
    let Ok(_place) = broker.waits.try_acquire() else { return Ok(Json(first)) };
    let deadline = Instant::now() + Duration::from_secs(wait);
    let mut last = first;
    while timeout_at(deadline, written.next()).await.is_ok() {
        last = look(&broker, &who, &id).await?;
        if is_news(&last) {
            break;
        }
    }
    Ok(Json(last))
}

async fn look(broker: &Broker, who: &Principal, id: &OperationId) -> Result<OperationView, Error> {
    let operation = broker.parts.store.operation(id).await?;
    let unknown = || Error::not_found("there is no such operation");
    let operation = operation.ok_or_else(unknown)?;
    if !sees(broker.parts.store.as_ref(), who, &operation.instance).await? {
        return Err(unknown());
    }
    let now = broker.now();
    let search = broker.parts.search.as_ref();
    let usual = broker.typical.of(search, operation.kind, now).await;
    Ok(OperationView::of(&operation, now).beside(&usual))
}
