//! Every answer that is not what was asked for (OSB 2.17, "Service Broker Errors").

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use model::descriptor::{Code, Refusal};
use model::{Operation, OperationKind, Owner};
use serde::Serialize;
use store::{HostnameOwner, StoreError};
use utoipa::ToSchema;

use crate::metrics;

/// Seconds after which a request that met a store that cannot commit should be sent again.
const UNAVAILABLE_RETRY_S: u64 = 5;

/// An error, for whoever sent the request.
#[derive(Debug)]
pub(crate) struct Error {
    status: StatusCode,
    code: Option<&'static str>,
    description: String,
    refusals: Vec<Refusal>,
    retry_after_s: Option<u64>,
}

/// The body of an error.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ErrorBody {
    /// OSB's `AsyncRequired`, `ConcurrencyError`, `MaintenanceInfoConflict`, or our
    /// `InvalidParameters`, `HostnameTaken`, `TooManyBindings`, `Forbidden`, `HostnameReserved`,
    /// `HostnameCovered`, `WildcardNotGranted`, `QuotaExceeded`, `TooManyChanges`.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'static str>,
    /// What is wrong and how to mend it.
    description: String,
    /// Each mistake of the parameters, for programs: `code`, `path`, `message` and, where known,
    /// `label`, `why`, `help`, `also`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<Object>)]
    refusals: Vec<Refusal>,
}

impl Error {
    pub(crate) fn new(status: StatusCode, description: impl Into<String>) -> Self {
        let description = description.into();
        Self { status, code: None, description, refusals: Vec::new(), retry_after_s: None }
    }

    pub(crate) fn bad_request(description: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, description)
    }

    pub(crate) fn unauthorized(description: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, description)
    }

    /// Known, and not entitled.
    pub(crate) fn forbidden(description: impl Into<String>) -> Self {
        Self { code: Some("Forbidden"), ..Self::new(StatusCode::FORBIDDEN, description) }
    }

    /// Too many attempts to come in failed.
    pub(crate) fn too_many(retry_after_s: u64) -> Self {
        let description =
            "too many attempts with wrong credentials from this address; try again later";
        let retry_after_s = Some(retry_after_s);
        Self { retry_after_s, ..Self::new(StatusCode::TOO_MANY_REQUESTS, description) }
    }

    /// The same, once too often.
    pub(crate) fn too_often(self, retry_after_s: u64) -> Self {
        let late = Self::too_many(retry_after_s);
        let description = format!("{}; {}", self.description, late.description);
        Self { code: self.code, description, ..late }
    }

    pub(crate) fn not_found(description: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, description)
    }

    pub(crate) fn conflict(description: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, description)
    }

    /// OSB 2.17, "Error Codes": 422 with a code of the specification.
    pub(crate) fn unprocessable(code: &'static str, description: impl Into<String>) -> Self {
        Self { code: Some(code), ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, description) }
    }

    /// OSB 2.17, "Blocking Operations".
    pub(crate) fn busy(what: &str) -> Self {
        Self::unprocessable(
            "ConcurrencyError",
            format!("{what} of this instance is in progress; try again when it has ended"),
        )
    }

    /// The same, because of an operation.
    pub(crate) fn concurrent(operation: &Operation) -> Self {
        Self::busy(match operation.kind {
            OperationKind::Provision => "the provision",
            OperationKind::Update => "an update",
            OperationKind::Deprovision => "the deprovision",
        })
    }

    /// Not now; nothing was changed.
    pub(crate) fn unavailable(description: &str) -> Self {
        let retry_after_s = Some(UNAVAILABLE_RETRY_S);
        Self { retry_after_s, ..Self::new(StatusCode::SERVICE_UNAVAILABLE, description) }
    }

    /// A descriptor with mistakes: all of them.
    pub(crate) fn refused(refusals: Vec<Refusal>) -> Self {
        Self::telling(StatusCode::BAD_REQUEST, "InvalidParameters", refusals)
    }

    /// Hostnames that other services own, who are named, so that the two can talk. Not 400, as the
    /// document is not to blame; not 409, which says that the instance itself exists.
    pub(crate) fn taken(owners: &[HostnameOwner]) -> Self {
        let refusals = owners.iter().map(taken).collect();
        Self::told("HostnameTaken", refusals)
    }

    /// Not as things stand, for reasons that have codes.
    pub(crate) fn told(code: &'static str, refusals: Vec<Refusal>) -> Self {
        Self::telling(StatusCode::UNPROCESSABLE_ENTITY, code, refusals)
    }

    /// The same request would be accepted then.
    pub(crate) fn retry_after_millis(self, millis: i64) -> Self {
        let seconds = u64::try_from(millis).unwrap_or(0).div_ceil(1000).max(1);
        Self { retry_after_s: Some(seconds), ..self }
    }

    fn telling(status: StatusCode, code: &'static str, refusals: Vec<Refusal>) -> Self {
        let told: Vec<_> = refusals.iter().map(ToString::to_string).collect();
        for refusal in &refusals {
            metrics::refused(refusal.code.as_str());
        }
        Self { code: Some(code), refusals, ..Self::new(status, told.join("\n")) }
    }
}

fn taken(owner: &HostnameOwner) -> Refusal {
    let HostnameOwner { hostname, service, owner: Owner { space, .. }, since, .. } = owner;
    Refusal {
        code: Code::Taken,
        path: "hostnames".to_owned(),
        place: None,
        message: format!(
            "`{hostname}` is owned by {space} through service `{service}` (since {})",
            model::date(*since)
        ),
        label: None,
        why: None,
        help: Some(format!("ask {space} to give it up, or choose another hostname")),
        also: None,
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(why) => {
                tracing::warn!(why, "the store is unavailable");
                Self::unavailable(
                    "the platform cannot store changes now; nothing was changed, try again soon",
                )
            }
            StoreError::TooLarge(what) => Self::bad_request(format!("too large: {what}")),
            StoreError::Fenced | StoreError::Corrupt(_) => {
                tracing::error!(%error, "the store failed");
                let description =
                    "the platform's store failed; its operators can see why in the log";
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, description)
            }
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let body =
            ErrorBody { error: self.code, description: self.description, refusals: self.refusals };
        let mut response = (self.status, Json(body)).into_response();
        if let Some(seconds) = self.retry_after_s {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
