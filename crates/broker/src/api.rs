//! The platform API, `/v1`: what the Open Service Broker API lacks. It reads; changes go through
//! OSB.

mod audit;
mod credentials;
mod direct;
mod document;
mod history;
mod hostnames;
mod instances;
mod join;
mod keys;
mod nodes;
mod operate;
mod operations;
mod plan;
mod platform;
mod platforms;
mod proofs;
mod reading;
mod render;
mod rollouts;
mod search;
mod sources;
mod teams;
mod tokens;
mod transfer;
mod views;
mod whoami;
pub(crate) mod words;

use std::sync::Arc;

use axum::Router;
use axum::routing::{delete, get, post};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi, openapi};

use crate::router::Broker;
use crate::{binding, catalog, deprovision, fetch, last_operation, provision, update};

/// The routes of the platform API.
pub(crate) fn routes() -> Router<Arc<Broker>> {
    Router::new()
        .route("/v1/instances", get(search::instances))
        .route("/v1/instances/{id}", get(instances::one).delete(direct::force_delete))
        .route("/v1/instances/{id}/operations", get(instances::history))
        .route("/v1/instances/{id}/resources", get(render::instance))
        .route("/v1/operations", get(search::operations))
        .route("/v1/instances/{id}/bindings", get(binding::list::get))
        .route("/v1/keys", get(keys::list))
        .route("/v1/keys/rotate", post(keys::rotate))
        .route("/v1/operations/{id}", get(operations::one))
        .route("/v1/operations/{id}/retry", post(direct::retry))
        .route("/v1/operations/{id}/skip", post(direct::skip))
        .route("/v1/operations/{id}/cancel", post(direct::cancel))
        .route("/v1/plan", post(plan::post))
        .route("/v1/render", post(render::descriptor))
        .route("/v1/validate", post(render::validate))
        .route("/v1/audit", get(audit::list))
        .route("/v1/audit/head", get(audit::head))
        .route("/v1/backup", post(operate::backup))
        .route("/v1/fleet", get(platform::fleet))
        .route("/v1/fleet/proxies/{id}", get(platform::proxy))
        .route("/v1/fleet/confirm-removal", post(operate::confirm_removal))
        .route("/v1/rollouts", get(rollouts::list).post(rollouts::start))
        .route("/v1/rollouts/plan", post(rollouts::plan))
        .route("/v1/rollouts/status", get(rollouts::status))
        .route("/v1/rollouts/pause", post(rollouts::pause))
        .route("/v1/rollouts/resume", post(rollouts::resume))
        .route("/v1/rollouts/revert", post(rollouts::revert))
        .route("/v1/join-tokens", post(nodes::invite))
        .route("/v1/join", post(join::join))
        .route("/v1/join/renew", post(join::renew))
        .route("/v1/nodes", get(nodes::list))
        .route("/v1/nodes/{node}", delete(nodes::revoke))
        .route("/v1/records", get(platform::records))
        .route("/v1/sources", get(sources::list))
        .route("/v1/whoami", get(whoami::get))
        .route("/v1/dashboard-codes", post(whoami::code))
        .route("/v1/tokens", get(tokens::list).post(tokens::create))
        .route("/v1/tokens/{id}", delete(tokens::revoke))
        .route("/v1/platforms", get(platforms::list).post(platforms::create))
        .route("/v1/platforms/{id}", delete(platforms::revoke))
        .route("/v1/platforms/{id}/secrets", post(platforms::rotate))
        .route("/v1/teams", get(teams::list))
        .route("/v1/teams/{team}", get(teams::one).put(teams::set))
        .route("/v1/hostnames/{hostname}", get(hostnames::show))
        .route("/v1/hostnames/{hostname}/release", post(hostnames::release))
        .route("/v1/hostnames/{hostname}/consent", post(hostnames::consent))
        .route("/v1/hostnames/{hostname}/verify", post(proofs::verify))
        .route("/v1/hostnames/{hostname}/withdraw", post(hostnames::withdraw))
        .route("/v1/offers", get(transfer::list))
        .route("/v1/instances/{id}/offer", post(transfer::offer).delete(transfer::withdraw))
        .route("/v1/instances/{id}/take", post(transfer::take))
        .route("/v1/schema", get(platform::schema))
        .route("/v1/openapi.json", get(platform::document))
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Margrave broker and platform API",
        version = "1",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
        description = "The Open Service Broker API v2.17 under /v2, and what it lacks under /v1. Requests under /v2 carry `X-Broker-API-Version: 2.x`, else 412. Every answer carries `X-Request-Id`, and `X-Broker-API-Request-Identity` if the request does. Any request may be answered with 401, 403, 404, 405, 408, 413 or, with `Retry-After`, 429 or 503; the body is then an ErrorBody."
    ),
    tags(
        (name = "osb", description = "Open Service Broker API: every change to an instance"),
        (name = "platform", description = "Everything else: nothing here changes an instance"),
        (name = "fleet", description = "Hosts that join as proxies, and stay or are revoked"),
        (name = "access", description = "Who may come in: tokens of people and CI, credentials of platforms")
    ),
    security(("basic" = []), ("bearer" = [])),
    modifiers(&Door),
    paths(
        catalog::get,
        provision::put,
        update::patch,
        deprovision::delete,
        fetch::get,
        last_operation::get,
        search::instances,
        search::operations,
        binding::put::put,
        binding::fetch::get,
        binding::delete::delete,
        binding::last_operation::get,
        binding::list::get,
        keys::list,
        keys::rotate,
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
        plan::post,
        audit::list,
        audit::head,
        operate::backup,
        operate::confirm_removal,
        platform::fleet,
        platform::proxy,
        nodes::invite,
        nodes::list,
        nodes::revoke,
        join::join,
        join::renew,
        platform::records,
        rollouts::plan,
        rollouts::start,
        rollouts::pause,
        rollouts::resume,
        rollouts::revert,
        rollouts::status,
        rollouts::list,
        sources::list,
        platform::schema,
        platform::document,
        whoami::get,
        whoami::code,
        tokens::create,
        tokens::list,
        tokens::revoke,
        platforms::create,
        platforms::list,
        platforms::rotate,
        platforms::revoke,
        teams::list,
        teams::one,
        teams::set,
        hostnames::show,
        hostnames::release,
        hostnames::consent,
        hostnames::withdraw,
        proofs::verify,
        transfer::list,
        transfer::offer,
        transfer::withdraw,
        transfer::take,
    ),
    components(schemas(crate::error::ErrorBody))
)]
struct Document;

/// Who may ask.
struct Door;

impl Modify for Door {
    fn modify(&self, document: &mut openapi::OpenApi) {
        let components = document.components.get_or_insert_default();
        for (name, scheme) in [("basic", HttpAuthScheme::Basic), ("bearer", HttpAuthScheme::Bearer)]
        {
            let scheme = SecurityScheme::Http(Http::new(scheme));
            components.add_security_scheme(name, scheme);
        }
    }
}

/// The OpenAPI 3.1 document of both, made from the code.
pub fn openapi() -> serde_json::Value {
    document::complete(serde_json::to_value(Document::openapi()).unwrap_or_default())
}
