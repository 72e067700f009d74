//! Every answer that is not what was asked for (OSB 2.17, "Service Broker Errors").

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use model::descriptor::Refusal;
use model::{Operation, OperationKind};
use serde::Serialize;
use store::StoreError;
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
    /// One of OSB's codes, or one of ours.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'static str>,
    /// What is wrong and how to mend it.
    description: String,
    /// Each mistake of a descriptor, for programs.
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

    /// A descriptor with mistakes: all of them.
    pub(crate) fn refused(refusals: Vec<Refusal>) -> Self {
        let told: Vec<_> = refusals.iter().map(ToString::to_string).collect();
        for refusal in &refusals {
            metrics::refused(refusal.code.as_str());
        }
        Self { refusals, ..Self::bad_request(told.join("\n")) }
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "the store refused");
        match error {
            StoreError::Unavailable(_) => Self {
                retry_after_s: Some(UNAVAILABLE_RETRY_S),
                ..Self::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "the platform cannot store changes now; nothing was changed, try again soon",
                )
            },
            _ => Self::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "the platform's store is damaged; its operators can see why in the log",
            ),
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
