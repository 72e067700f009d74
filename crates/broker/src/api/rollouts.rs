//! Roll-outs of the platform: its templates and the facts that they see. For operators.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use model::Principal;

use crate::body::JsonBody;
use crate::error::{Error, ErrorBody};
use crate::identity::requester;
use crate::principal::Operator;
use crate::rollouts::{
    Asked, RevertWish, RolloutLine, RolloutPlan, RolloutRefused, RolloutStatus, RolloutWish,
};
use crate::router::Broker;

type Answer<T> = Result<Json<T>, Error>;

/// What would change, and which services would be refused. Nothing is sent.
#[utoipa::path(post, path = "/v1/rollouts/plan", tag = "platform", operation_id = "planRollout",
    request_body = RolloutWish, responses(
    (status = 200, description = "What would change", body = RolloutPlan),
    (status = 400, description = "It cannot be read", body = ErrorBody),
    (status = 403, description = "For operators only", body = ErrorBody),
    (status = 404, description = "There is no such edition", body = ErrorBody),
    (status = 409, description = "Nothing is configured", body = ErrorBody),
    (status = 422, description = "The templates cannot be used", body = ErrorBody),
))]
pub(crate) async fn plan(
    State(broker): State<Arc<Broker>>,
    Operator(_): Operator,
    JsonBody(wish): JsonBody<RolloutWish>,
) -> Answer<RolloutPlan> {
    Ok(Json(broker.parts.rollouts.plan(wish).await?))
}

/// Begins a roll-out: the groups of its first stage are given the edition.
#[utoipa::path(post, path = "/v1/rollouts", tag = "platform", operation_id = "startRollout",
    request_body = RolloutWish, responses(
    (status = 200, description = "It has begun", body = RolloutLine),
    (status = 400, description = "It cannot be read", body = ErrorBody),
    (status = 403, description = "For operators only", body = ErrorBody),
    (status = 404, description = "There is no such edition", body = ErrorBody),
    (status = 409, description = "One is under way, or all groups have it", body = ErrorBody),
    (status = 422, description = "Services would be refused: nothing was sent", body = ErrorBody),
))]
pub(crate) async fn start(
    State(broker): State<Arc<Broker>>,
    Operator(who): Operator,
    headers: HeaderMap,
    JsonBody(wish): JsonBody<RolloutWish>,
) -> Answer<RolloutLine> {
    let detail =
        serde_json::json!({"edition": wish.edition, "templates": wish.templates.is_some()});
    let asked = asked(&who, &headers, "rollout.start", detail)?;
    Ok(Json(broker.parts.rollouts.start(wish, asked).await?))
}

/// No further stage begins. The gates go on watching.
#[utoipa::path(post, path = "/v1/rollouts/pause", tag = "platform", operation_id = "pauseRollout", responses(
    (status = 200, description = "It is paused", body = RolloutLine),
    (status = 403, description = "For operators only", body = ErrorBody),
    (status = 409, description = "None is under way", body = ErrorBody),
))]
pub(crate) async fn pause(
    State(broker): State<Arc<Broker>>,
    Operator(who): Operator,
    headers: HeaderMap,
) -> Answer<RolloutLine> {
    let asked = asked(&who, &headers, "rollout.pause", serde_json::json!({}))?;
    Ok(Json(broker.parts.rollouts.pause(true, asked).await?))
}

/// What was paused goes on.
#[utoipa::path(post, path = "/v1/rollouts/resume", tag = "platform", operation_id = "resumeRollout", responses(
    (status = 200, description = "It goes on", body = RolloutLine),
    (status = 403, description = "For operators only", body = ErrorBody),
    (status = 409, description = "None is under way", body = ErrorBody),
))]
pub(crate) async fn resume(
    State(broker): State<Arc<Broker>>,
    Operator(who): Operator,
    headers: HeaderMap,
) -> Answer<RolloutLine> {
    let asked = asked(&who, &headers, "rollout.resume", serde_json::json!({}))?;
    Ok(Json(broker.parts.rollouts.pause(false, asked).await?))
}

/// All groups go back at once: to the edition that is named, else to what they had before the latest
/// roll-out. Gates only tell.
#[utoipa::path(post, path = "/v1/rollouts/revert", tag = "platform", operation_id = "revertRollout",
    request_body = RevertWish, responses(
    (status = 200, description = "They go back", body = RolloutLine),
    (status = 400, description = "It cannot be read", body = ErrorBody),
    (status = 403, description = "For operators only", body = ErrorBody),
    (status = 404, description = "There is no such edition", body = ErrorBody),
    (status = 409, description = "There is nothing to go back to", body = ErrorBody),
    (status = 422, description = "The edition cannot be used by this release", body = ErrorBody),
))]
pub(crate) async fn revert(
    State(broker): State<Arc<Broker>>,
    Operator(who): Operator,
    headers: HeaderMap,
    JsonBody(RevertWish { edition }): JsonBody<RevertWish>,
) -> Answer<RolloutLine> {
    let asked = asked(&who, &headers, "rollout.revert", serde_json::json!({"edition": edition}))?;
    Ok(Json(broker.parts.rollouts.revert(edition, asked).await?))
}

/// Which groups are given which edition, the latest roll-out, and the editions that there are.
#[utoipa::path(get, path = "/v1/rollouts/status", tag = "platform", operation_id = "rolloutStatus", responses(
    (status = 200, description = "As it is now", body = RolloutStatus),
    (status = 403, description = "For operators only", body = ErrorBody),
))]
pub(crate) async fn status(
    State(broker): State<Arc<Broker>>,
    Operator(_): Operator,
) -> Answer<RolloutStatus> {
    Ok(Json(broker.parts.rollouts.status().await?))
}

/// The latest roll-outs, latest first.
#[utoipa::path(get, path = "/v1/rollouts", tag = "platform", operation_id = "rollouts", responses(
    (status = 200, description = "100 at most", body = Vec<RolloutLine>),
    (status = 403, description = "For operators only", body = ErrorBody),
))]
pub(crate) async fn list(
    State(broker): State<Arc<Broker>>,
    Operator(_): Operator,
) -> Answer<Vec<RolloutLine>> {
    Ok(Json(broker.parts.rollouts.list().await?))
}

fn asked(
    who: &Principal,
    headers: &HeaderMap,
    action: &str,
    detail: serde_json::Value,
) -> Result<Asked, Error> {
    let entry = super::operate::entry(who, headers, action)?;
    let by = requester(who, headers)?.credential;
    Ok(Asked { by, entry: model::AuditEntry { detail, ..entry } })
}

impl From<RolloutRefused> for Error {
    fn from(refused: RolloutRefused) -> Self {
        match refused {
            RolloutRefused::Refused(why) => Self::new(StatusCode::UNPROCESSABLE_ENTITY, why),
            RolloutRefused::Conflict(why) => Self::conflict(why),
            RolloutRefused::Unknown(why) => Self::not_found(why),
            RolloutRefused::Store(error) => error.into(),
        }
    }
}
