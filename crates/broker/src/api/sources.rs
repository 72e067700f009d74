//! The sources of documents that templates see, for operators.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::error::{Error, ErrorBody};
use crate::port::SourceLine;
use crate::principal::Operator;
use crate::router::Broker;

/// Sources of documents.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Sources {
    /// By name.
    sources: Vec<SourceLine>,
}

/// How the sources of documents stand: what they were last read as, how long ago, and what is wrong.
#[utoipa::path(get, path = "/v1/sources", tag = "platform", operation_id = "sources", responses(
    (status = 200, description = "As it is now", body = Sources),
    (status = 403, description = "For operators only", body = ErrorBody),
))]
pub(crate) async fn list(
    State(broker): State<Arc<Broker>>,
    Operator(_): Operator,
) -> Result<Json<Sources>, Error> {
    Ok(Json(Sources { sources: broker.parts.view.sources().await? }))
}
