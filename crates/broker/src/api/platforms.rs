//! Credentials of OSB platforms: names and passwords for Basic, rotated while they are in use.

#![expect(
    unused_qualifications,
    reason = "the macro that documents the routes names their parameters once more"
)]

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use model::{AccessKind, AccessSecret, CredentialId, CredentialName, Millis, Role};
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::{CREDENTIALS_MAX, Credential, CredentialFilter, PAGE_ROWS_MAX};
use utoipa::{IntoParams, ToSchema};

use super::credentials::{Change, CredentialView};
use crate::body::JsonBody;
use crate::error::{Error, ErrorBody};
use crate::extract::{Asked, Id};
use crate::lasting;
use crate::principal::Operator;
use crate::router::Broker;

/// How long the password before stays good unless asked otherwise, and at the longest.
const OVERLAP_S: u64 = 24 * 60 * 60;
const OVERLAP_S_MAX: u64 = 7 * OVERLAP_S;

/// A platform to be let in.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewPlatform {
    /// The username that it will send.
    #[schema(value_type = String)]
    name: CredentialName,
}

/// A password to be replaced.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(crate) struct Rotation {
    /// How long the present password stays good, from `0s` to `7d`; absent: `24h`.
    overlap: Option<String>,
}

/// A platform and its new password.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MadePlatform {
    /// The password: told here, and never again.
    secret: String,
    /// Until when the password before is good, in milliseconds since the Unix epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    previous_until: Option<Millis>,
    platform: CredentialView,
}

/// The platforms.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Platforms {
    /// In order of id, which is that of their making.
    platforms: Vec<CredentialView>,
}

/// Which platforms.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct PlatformsQuery {
    /// Also those that have ended, as long as they are remembered.
    ended: Option<bool>,
}

/// Let a platform in. Its password is told in the answer, and never again.
#[utoipa::path(post, path = "/v1/platforms", tag = "access", operation_id = "createPlatform",
    request_body = NewPlatform, responses(
    (status = 201, description = "It may come in", body = MadePlatform),
    (status = 400, description = "It cannot be read, or is refused", body = ErrorBody),
    (status = 403, description = "For operators only", body = ErrorBody),
    (status = 409, description = "The name is taken", body = ErrorBody),
))]
pub(crate) async fn create(
    State(broker): State<Arc<Broker>>,
    Operator(who): Operator,
    headers: HeaderMap,
    JsonBody(wish): JsonBody<NewPlatform>,
) -> Result<(StatusCode, Json<MadePlatform>), Error> {
    let change = Change { who: &who, headers: &headers, action: "platform.create" };
    let made = broker.make_credential(&change, wish.name, Role::Platform, None).await?;
    let (platform, secret) = made;
    let platform = CredentialView::of(&platform, broker.now());
    let secret = secret.expose().to_owned();
    Ok((StatusCode::CREATED, Json(MadePlatform { secret, previous_until: None, platform })))
}

/// List the platforms' credentials.
#[utoipa::path(get, path = "/v1/platforms", tag = "access", operation_id = "listPlatforms",
    params(PlatformsQuery), responses(
    (status = 200, description = "As it is now", body = Platforms),
    (status = 400, description = "It cannot be read, or is refused", body = ErrorBody),
    (status = 403, description = "For operators only", body = ErrorBody),
))]
pub(crate) async fn list(
    State(broker): State<Arc<Broker>>,
    Operator(_): Operator,
    Asked(query): Asked<PlatformsQuery>,
) -> Result<Json<Platforms>, Error> {
    let now = broker.now();
    let mut filter = CredentialFilter {
        platforms: true,
        alive_at: (query.ended != Some(true)).then_some(now),
        after: None,
        limit: PAGE_ROWS_MAX,
    };
    let mut platforms = Vec::new();
    for _ in 0..CREDENTIALS_MAX.div_ceil(PAGE_ROWS_MAX) {
        let page = broker.parts.credentials.credentials(filter.clone()).await?;
        platforms.extend(page.iter().map(|platform| CredentialView::of(platform, now)));
        let Some(last) = page.last().filter(|_| page.len() == PAGE_ROWS_MAX) else { break };
        filter.after = Some(last.id.clone());
    }
    Ok(Json(Platforms { platforms }))
}

async fn found(broker: &Broker, id: &CredentialId) -> Result<Credential, Error> {
    let found = broker.parts.credentials.credential(id).await?;
    found.filter(|found| found.role == Role::Platform).ok_or_else(unknown)
}

fn unknown() -> Error {
    Error::not_found("there is no such platform, or none any more")
}

/// Give a platform another password; the one before stays good for a while.
#[utoipa::path(post, path = "/v1/platforms/{id}/secrets", tag = "access", operation_id = "rotatePlatform",
    params(("id" = String, Path, description = "Its id")), request_body = Rotation, responses(
    (status = 201, description = "It has another", body = MadePlatform),
    (status = 400, description = "It cannot be read, or is refused", body = ErrorBody),
    (status = 403, description = "For operators only", body = ErrorBody),
    (status = 404, description = "There is none, or none any more", body = ErrorBody),
))]
pub(crate) async fn rotate(
    State(broker): State<Arc<Broker>>,
    Operator(who): Operator,
    Id(id): Id<CredentialId>,
    headers: HeaderMap,
    JsonBody(wish): JsonBody<Rotation>,
) -> Result<(StatusCode, Json<MadePlatform>), Error> {
    let asked = wish.overlap.as_deref().map_or(Some(OVERLAP_S), lasting::seconds);
    let overlap_s = asked.filter(|overlap_s| *overlap_s <= OVERLAP_S_MAX).ok_or_else(|| {
        Error::bad_request("both passwords are good for 0s to 7d: say `overlap` as in `12h`")
    })?;
    let platform = found(&broker, &id).await?;
    let secret = AccessSecret::new(AccessKind::Platform, &(broker.parts.random)());
    let now = broker.now();
    let until = now.saturating_add_unsigned(overlap_s * 1000);
    let change = Change { who: &who, headers: &headers, action: "platform.rotate" };
    let entry = change.entry(&platform, &json!({"previous_until": until}))?;
    let credentials = &broker.parts.credentials;
    if !credentials.rotate_credential(&id, secret.hash(), now, until, entry).await? {
        return Err(unknown());
    }
    let rotated = Credential { rotated_at: now, ..platform };
    let platform = CredentialView::of(&rotated, now);
    let secret = secret.expose().to_owned();
    Ok((StatusCode::CREATED, Json(MadePlatform { secret, previous_until: Some(until), platform })))
}

/// Shut a platform out, at once.
#[utoipa::path(delete, path = "/v1/platforms/{id}", tag = "access", operation_id = "revokePlatform",
    params(("id" = String, Path, description = "Its id")), responses(
    (status = 200, description = "It opens nothing any more", body = CredentialView),
    (status = 400, description = "That is no id", body = ErrorBody),
    (status = 403, description = "For operators only", body = ErrorBody),
    (status = 404, description = "There is none, or none any more", body = ErrorBody),
))]
pub(crate) async fn revoke(
    State(broker): State<Arc<Broker>>,
    Operator(who): Operator,
    Id(id): Id<CredentialId>,
    headers: HeaderMap,
) -> Result<Json<CredentialView>, Error> {
    let platform = found(&broker, &id).await?;
    let change = Change { who: &who, headers: &headers, action: "platform.revoke" };
    let ended = broker.revoke_credential(&change, &platform).await?.ok_or_else(unknown)?;
    Ok(Json(CredentialView::of(&ended, broker.now())))
}
