//! What operators ask of the platform as a whole.

use std::sync::Arc;

use axum::Json;
use axum::body::{Body, HttpBody};
use axum::extract::{FromRequest, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use keys::{PASSPHRASE_BYTES_MIN, Secret};
use model::{AuditEntry, Principal};
use serde::Deserialize;
use serde_json::json;
use tokio_util::io::ReaderStream;
use utoipa::ToSchema;

use super::reading::Reading;
use crate::body::JsonBody;
use crate::error::{Error, ErrorBody};
use crate::identity::requester;
use crate::port::{BackupFile, LetGo};
use crate::principal::Who;
use crate::router::Broker;

/// A backup of the whole platform, as it is at one moment: a file for `margrave restore`. It holds what
/// every team has, and goes to operators only. One at a time.
#[utoipa::path(post, path = "/v1/backup", tag = "platform", operation_id = "backup",
    request_body = inline(Option<BackupWish>), responses(
    (status = 200, description = "The backup", body = Vec<u8>, content_type = "application/octet-stream"),
    (status = 400, description = "It cannot be read, or is refused", body = ErrorBody),
    (status = 403, description = "It is for operators", body = ErrorBody),
    (status = 409, description = "Another is being made", body = ErrorBody),
    (status = 500, description = "It cannot be made", body = ErrorBody),
))]
pub(crate) async fn backup(
    State(broker): State<Arc<Broker>>,
    Who(who): Who,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, Error> {
    crate::principal::operator(&who)?;
    let passphrase = passphrase(request).await?;
    let Ok(place) = Arc::clone(&broker.backups).try_acquire_owned() else {
        return Err(Error::conflict("another backup is being made; try again when it is done"));
    };
    let entry = entry(&who, &headers, "platform.backup")?;
    broker.parts.audit.append(broker.now(), entry).await?;
    let made = broker.parts.keeper.backup(passphrase).await;
    let BackupFile { bytes, content } = made.map_err(|why| {
        tracing::error!(%why, "a backup was not made");
        Error::new(StatusCode::INTERNAL_SERVER_ERROR, format!("the backup cannot be made: {why}"))
    })?;
    let content = Reading::new(content, place);
    let mut response = Body::from_stream(ReaderStream::new(content)).into_response();
    let kind = HeaderValue::from_static("application/octet-stream");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(bytes));
    Ok(response)
}

/// What is wished of a backup.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BackupWish {
    /// Wraps the keys of secrets, which are left out without it: 12 bytes or more.
    #[serde(default)]
    passphrase: Option<String>,
}

/// The passphrase of a request, which may go without a body. A body that is not read would be a backup without
/// the keys that its maker believes to be in it.
async fn passphrase(request: Request) -> Result<Option<Secret>, Error> {
    if request.body().is_end_stream() {
        return Ok(None);
    }
    let JsonBody(wish) = JsonBody::<BackupWish>::from_request(request, &()).await?;
    let passphrase = wish.passphrase.map(Secret::from);
    if passphrase.as_ref().is_some_and(|it| it.expose().len() < PASSPHRASE_BYTES_MIN) {
        return Err(Error::bad_request("the passphrase has fewer than 12 bytes"));
    }
    Ok(passphrase)
}

/// An entry about the platform as a whole.
pub(super) fn entry(
    who: &Principal,
    headers: &HeaderMap,
    action: &str,
) -> Result<AuditEntry, Error> {
    Ok(AuditEntry {
        by: requester(who, headers)?,
        action: action.to_owned(),
        object: "platform".to_owned(),
        owner: None,
        detail: json!({}),
    })
}

/// What the store does not know may go from the proxies: what `ahead` tells as kept, and what
/// `removalsHeld` counts, in `GET /v1/fleet`.
#[utoipa::path(post, path = "/v1/fleet/confirm-removal", tag = "platform", operation_id = "confirmRemoval", responses(
    (status = 200, description = "It goes", body = LetGo),
    (status = 403, description = "It is for operators", body = ErrorBody),
))]
pub(crate) async fn confirm_removal(
    State(broker): State<Arc<Broker>>,
    Who(who): Who,
    headers: HeaderMap,
) -> Result<Json<LetGo>, Error> {
    crate::principal::operator(&who)?;
    let entry = entry(&who, &headers, "fleet.confirm-removal")?;
    Ok(Json(broker.parts.keeper.confirm_removals(broker.now(), entry).await?))
}
