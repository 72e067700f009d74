//! A service passes from one team to another: one offers, the other takes. Nothing of it is published
//! anew, so what is served never changes.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use model::InstanceId;
use serde_json::{Value, json};
use store::Transferred;

use super::instances::unknown;
use super::teams::{TeamName, entry};
use crate::body::JsonBody;
use crate::denied;
use crate::error::{Error, ErrorBody};
use crate::extract::Id;
use crate::principal::Who;
use crate::router::Broker;

/// Offers a service to another team. A later offer comes in the place of an earlier.
#[utoipa::path(post, path = "/v1/instances/{id}/offer", tag = "platform", operation_id = "offerInstance",
    params(("id" = String, Path, description = "Its id")), request_body = TeamName, responses(
    (status = 200, description = "That team may take it", body = Object),
    (status = 400, description = "It cannot be read, or is refused", body = ErrorBody),
    (status = 404, description = "There is no such thing", body = ErrorBody),
    (status = 409, description = "It cannot pass as it stands", body = ErrorBody),
))]
pub(crate) async fn offer(
    State(broker): State<Arc<Broker>>,
    Who(who): Who,
    Id(id): Id<InstanceId>,
    headers: HeaderMap,
    JsonBody(to): JsonBody<TeamName>,
) -> Result<Json<Value>, Error> {
    let to = to.read()?;
    let from = broker.parts.store.instance(&id).await?.ok_or_else(unknown)?.owner;
    if !who.owns(&from) {
        return Err(unknown());
    }
    let detail = json!({ "to": to });
    let entry = entry(&who, &headers, "instance.offer", id.as_str(), Some(&from), detail)?;
    let done = broker.parts.teams.offer(&id, &from, &to, broker.now(), entry).await?;
    answer(&broker, done)
}

/// Takes a service that was offered to a team, with its hostnames.
#[utoipa::path(post, path = "/v1/instances/{id}/take", tag = "platform", operation_id = "takeInstance",
    params(("id" = String, Path, description = "Its id")), responses(
    (status = 200, description = "It is that team's", body = Object),
    (status = 400, description = "It cannot be read, or is refused", body = ErrorBody),
    (status = 404, description = "There is no such thing", body = ErrorBody),
    (status = 409, description = "It cannot pass as it stands", body = ErrorBody),
    (status = 422, description = "The team would have more than it may", body = ErrorBody),
))]
pub(crate) async fn take(
    State(broker): State<Arc<Broker>>,
    Who(who): Who,
    Id(id): Id<InstanceId>,
    headers: HeaderMap,
) -> Result<Json<Value>, Error> {
    let from = broker.parts.store.instance(&id).await?.ok_or_else(unknown)?.owner;
    let to = broker.parts.teams.offered(&id).await?;
    // What is neither theirs nor offered to them is not there.
    let Some(to) = to.filter(|to| who.owns(to)) else {
        if !who.owns(&from) {
            return Err(unknown());
        }
        return answer(&broker, Transferred::NotOffered);
    };
    let given = json!({ "to": to });
    let taken = json!({ "from": from });
    let entries = [
        entry(&who, &headers, "instance.given", id.as_str(), Some(&from), given)?,
        entry(&who, &headers, "instance.taken", id.as_str(), Some(&to), taken)?,
    ];
    let quota = broker.config.quota;
    let done = broker.parts.teams.take(&id, &to, quota, broker.now(), entries).await?;
    answer(&broker, done)
}

fn answer(broker: &Broker, done: Transferred) -> Result<Json<Value>, Error> {
    let conflict = |why: &str| Err(Error::new(StatusCode::CONFLICT, why));
    match done {
        Transferred::Yes => Ok(Json(json!({}))),
        Transferred::Gone => conflict("this service is gone or going"),
        Transferred::NotTheirs => conflict("this service has passed to another team meanwhile"),
        Transferred::NotOffered => {
            conflict("this service is not offered; its team offers it first")
        }
        Transferred::NameTaken => conflict("that team has a service of this name already"),
        Transferred::Full(excess) => Err(denied::too_many(&excess, broker.now())),
    }
}
