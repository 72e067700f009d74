//! The platform API, `/v1`: what the Open Service Broker API lacks. It reads; changes go through
//! OSB.

mod instances;
mod operations;
mod platform;
mod render;
mod views;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};
use utoipa::OpenApi;

use crate::router::Broker;

/// The routes of the platform API.
pub(crate) fn routes() -> Router<Arc<Broker>> {
    Router::new()
        .route("/v1/instances", get(instances::list))
        .route("/v1/instances/{id}", get(instances::one))
        .route("/v1/instances/{id}/operations", get(instances::history))
        .route("/v1/instances/{id}/resources", get(render::instance))
        .route("/v1/operations/{id}", get(operations::one))
        .route("/v1/render", post(render::descriptor))
        .route("/v1/validate", post(render::validate))
        .route("/v1/fleet", get(platform::fleet))
        .route("/v1/records", get(platform::records))
        .route("/v1/schema", get(platform::schema))
        .route("/v1/openapi.json", get(platform::document))
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Margrave platform API",
        version = "1",
        description = "What the Open Service Broker API, served beside it under /v2, lacks."
    ),
    paths(
        instances::list,
        instances::one,
        instances::history,
        operations::one,
        render::instance,
        render::descriptor,
        render::validate,
        platform::fleet,
        platform::records,
        platform::schema,
    ),
    components(schemas(crate::error::ErrorBody))
)]
struct Document;

/// The OpenAPI document of the platform API, made from the code.
pub fn openapi() -> serde_json::Value {
    serde_json::to_value(Document::openapi()).unwrap_or_default()
}
