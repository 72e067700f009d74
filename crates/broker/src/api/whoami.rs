//! Who asks, as the broker sees it, and the code by which a browser becomes the same.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use model::{AccessKind, AccessSecret, Millis};
use serde::Serialize;
use store::CODE_MILLIS_MAX;
use utoipa::ToSchema;

use super::credentials::{teams, word};
use crate::error::Error;
use crate::principal::{Entered, Who};
use crate::router::Broker;

/// Who asks.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Whoami {
    /// What operations and the audit log call it.
    credential: String,
    /// `operator`, `platform` or `member`.
    role: &'static str,
    /// Of a member: its teams.
    teams: Vec<String>,
    /// By what it came in: `configuration`, `credential` or `login`.
    by: &'static str,
    /// When what was shown ends by itself, in milliseconds since the Unix epoch; null: it does not.
    expires_at: Option<Millis>,
}

/// Who asks.
#[utoipa::path(get, path = "/v1/whoami", tag = "access", operation_id = "whoami", responses(
    (status = 200, description = "As the broker sees it", body = Whoami),
))]
pub(crate) async fn get(Entered { who, how, until }: Entered) -> Json<Whoami> {
    Json(Whoami {
        credential: who.credential.clone(),
        role: word(&who.role),
        teams: teams(&who.role),
        by: how.word(),
        expires_at: until,
    })
}

/// A code for a browser.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DashboardCode {
    /// Good once.
    code: String,
    /// Milliseconds since the Unix epoch.
    expires_at: Millis,
}

/// Make a code that opens a session in a browser as whoever asks, once, within a minute.
#[utoipa::path(post, path = "/v1/dashboard-codes", tag = "access", operation_id = "createDashboardCode", responses(
    (status = 201, description = "It is made", body = DashboardCode),
))]
pub(crate) async fn code(
    State(broker): State<Arc<Broker>>,
    Who(who): Who,
) -> Result<(StatusCode, Json<DashboardCode>), Error> {
    let code = AccessSecret::new(AccessKind::Code, &(broker.parts.random)());
    let now = broker.now();
    let expires_at = now + CODE_MILLIS_MAX;
    broker.parts.sessions.create_code(code.hash(), (*who).clone(), now, expires_at).await?;
    let code = code.expose().to_owned();
    Ok((StatusCode::CREATED, Json(DashboardCode { code, expires_at })))
}
