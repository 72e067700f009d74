//! One operation, and the wait for news of it.

#![expect(
    unused_qualifications,
    reason = "the macro that documents the routes names their parameters once more"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::{Path, Query, State};
use model::{NameError, OperationId, OperationState};
use serde::Deserialize;
use utoipa::IntoParams;

use super::views::OperationView;
use crate::error::{Error, ErrorBody};
use crate::router::Broker;

/// The longest wait, in seconds.
const WAIT_S_MAX: u64 = 30;
/// Between two looks while somebody waits: far below what a person notices, and a read of one row.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Whether to wait.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct WaitQuery {
    /// Seconds, at most 30, to wait for news; 0 or absent answers at once.
    wait: Option<u64>,
    /// The `tag` that was seen: news is whatever differs from it, or the end of the operation.
    seen: Option<String>,
}

/// One operation with its steps.
#[utoipa::path(get, path = "/v1/operations/{id}", params(("id" = String, Path), WaitQuery), responses((status = 200, body = OperationView), (status = 404, body = ErrorBody)))]
pub(crate) async fn one(
    State(broker): State<Arc<Broker>>,
    Path(id): Path<String>,
    Query(query): Query<WaitQuery>,
) -> Result<Json<OperationView>, Error> {
    let id: OperationId =
        id.parse().map_err(|why: NameError| Error::bad_request(why.to_string()))?;
    let wait = query.wait.unwrap_or(0);
    if wait > WAIT_S_MAX {
        return Err(Error::bad_request("wait is at most 30 seconds"));
    }
    let (began, wait) = (Instant::now(), Duration::from_secs(wait));
    loop {
        let operation = broker.parts.store.operation(&id).await?;
        let operation = operation.ok_or_else(|| Error::not_found("there is no such operation"))?;
        let view = OperationView::of(&operation);
        let ended = operation.state != OperationState::InProgress;
        let news = query.seen.as_ref() != Some(&view.tag);
        if ended || news || began.elapsed() >= wait {
            return Ok(Json(view));
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}
