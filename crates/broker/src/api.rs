//! The platform API, `/v1`: what the Open Service Broker API lacks. It reads; changes go through
//! OSB.

mod audit;
mod direct;
mod document;
mod history;
mod instances;
mod operate;
mod operations;
mod platform;
mod render;
mod search;
mod views;
pub(crate) mod words;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi, openapi};

use crate::router::Broker;
use crate::{catalog, deprovision, fetch, last_operation, provision, update};

/// The routes of the platform API.
pub(crate) fn routes() -> Router<Arc<Broker>> {
    Router::new()
        .route("/v1/instances", get(search::instances))
        .route("/v1/instances/{id}", get(instances::one).delete(direct::force_delete))
        .route("/v1/instances/{id}/operations", get(instances::history))
        .route("/v1/instances/{id}/resources", get(render::instance))
        .route("/v1/operations", get(search::operations))
        .route("/v1/operations/{id}", get(operations::one))
        .route("/v1/operations/{id}/retry", post(direct::retry))
        .route("/v1/operations/{id}/skip", post(direct::skip))
        .route("/v1/operations/{id}/cancel", post(direct::cancel))
        .route("/v1/render", post(render::descriptor))
        .route("/v1/validate", post(render::validate))
        .route("/v1/audit", get(audit::list))
        .route("/v1/audit/head", get(audit::head))
        .route("/v1/backup", post(operate::backup))
        .route("/v1/fleet", get(platform::fleet))
        .route("/v1/fleet/confirm-removal", post(operate::confirm_removal))
        .route("/v1/records", get(platform::records))
        .route("/v1/schema", get(platform::schema))
        .route("/v1/openapi.json", get(platform::document))
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Margrave broker and platform API",
        version = "1",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
        description = "The Open Service Broker API v2.17 under /v2, and what it lacks under /v1. Requests under /v2 carry `X-Broker-API-Version: 2.x`, else 412. Every answer carries `X-Request-Id`, and `X-Broker-API-Request-Identity` if the request does. Any request may be answered with 401, 404, 405, 408, 413 or, with `Retry-After`, 503; the body is then an ErrorBody."
    ),
    tags(
        (name = "osb", description = "Open Service Broker API: every change to an instance"),
        (name = "platform", description = "Everything else: nothing here changes anything")
    ),
    security(("basic" = [])),
    modifiers(&Basic),
    paths(
        catalog::get,
        provision::put,
        update::patch,
        deprovision::delete,
        fetch::get,
        last_operation::get,
        search::instances,
        search::operations,
        instances::one,
        instances::history,
        operations::one,
        direct::retry,
        direct::skip,
        direct::cancel,
        direct::force_delete,
        render::instance,
        render::descriptor,
        render::validate,
        audit::list,
        audit::head,
        operate::backup,
        operate::confirm_removal,
        platform::fleet,
        platform::records,
        platform::schema,
    ),
    components(schemas(crate::error::ErrorBody))
)]
struct Document;

/// Who may ask.
struct Basic;

impl Modify for Basic {
    fn modify(&self, document: &mut openapi::OpenApi) {
        let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Basic));
        document.components.get_or_insert_default().add_security_scheme("basic", scheme);
    }
}

/// The OpenAPI 3.1 document of both, made from the code.
pub fn openapi() -> serde_json::Value {
    document::complete(serde_json::to_value(Document::openapi()).unwrap_or_default())
}
