//! `GET /v2/catalog` (OSB 2.17, "Catalog Management").

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use model::Plan;
use serde_json::{Value, json};

use crate::binding;
use crate::error::Error;
use crate::router::{Broker, Config};

/// The offering's id. Never changes.
pub const SERVICE_ID: &str = "6a0b5b1e-6c1a-4d0e-9b0a-6d6172677276";
/// The id of the plan `internal`. Never changes.
pub const PLAN_INTERNAL_ID: &str = "6a0b5b1e-6c1a-4d0e-9b0a-696e7465726e";
/// The id of the plan `public`. Never changes.
pub const PLAN_PUBLIC_ID: &str = "6a0b5b1e-6c1a-4d0e-9b0a-7075626c6963";
/// The catalog, made once.
#[derive(Debug)]
pub(crate) struct Catalog {
    body: Value,
    etag: HeaderValue,
}

/// A plan's id.
pub(crate) fn plan_id(plan: Plan) -> &'static str {
    match plan {
        Plan::Internal => PLAN_INTERNAL_ID,
        Plan::Public => PLAN_PUBLIC_ID,
    }
}

fn describe(plan: Plan) -> (&'static str, [&'static str; 2]) {
    match plan {
        Plan::Internal => (
            "Answers inside the platform's network only",
            ["never public by accident", "live on every proxy in seconds"],
        ),
        Plan::Public => (
            "Answers to everyone, and inside",
            ["public because it was asked for", "live on every proxy in seconds"],
        ),
    }
}

impl Catalog {
    pub(crate) fn new(config: &Config) -> Self {
        let schema = model::descriptor::schema::parameters();
        let plans: Vec<_> =
            Plan::ALL.into_iter().map(|plan| plan_entry(plan, &schema, config)).collect();
        let body = json!({"services": [{
            "id": SERVICE_ID,
            "name": "load-balancer",
            "description": "Routes requests for your hostnames to your service, on every proxy of the fleet",
            "tags": ["edge", "ingress", "http"],
            "bindable": true,
            "instances_retrievable": true,
            "bindings_retrievable": true,
            "allow_context_updates": true,
            "plan_updateable": true,
            "metadata": {"displayName": "Load balancer"},
            "plans": plans,
        }]});
        let hash = model::Version::hash_of(body.to_string().as_bytes());
        let etag = HeaderValue::try_from(format!("\"{hash:016x}\""));
        Self { body, etag: etag.unwrap_or_else(|_| HeaderValue::from_static("\"\"")) }
    }
}

/// The offering must be ours.
pub(crate) fn check_service(id: Option<&str>) -> Result<(), Error> {
    match id {
        Some(SERVICE_ID) => Ok(()),
        _ => Err(Error::bad_request("this service_id is not in the catalog")),
    }
}

/// The plan of an id.
pub(crate) fn plan(id: Option<&str>) -> Result<Plan, Error> {
    let known = Plan::ALL.into_iter().find(|plan| Some(plan_id(*plan)) == id);
    known.ok_or_else(|| Error::bad_request("this plan_id is not in the catalog"))
}

fn plan_entry(plan: Plan, schema: &Value, config: &Config) -> Value {
    let (description, bullets) = describe(plan);
    json!({
        "id": plan_id(plan),
        "name": plan.as_str(),
        "description": description,
        "free": true,
        "bindable": true,
        "binding_rotatable": true,
        "plan_updateable": true,
        "maximum_polling_duration": config.polling.as_secs(),
        "maintenance_info": {
            "version": config.maintenance.version,
            "description": config.maintenance.description,
        },
        "metadata": {"bullets": bullets},
        "schemas": {"service_instance": {
            "create": {"parameters": schema},
            "update": {"parameters": schema},
        }, "service_binding": {"create": {"parameters": binding::schema()}}},
    })
}

/// The catalog: one offering, two plans, the schema of parameters.
#[utoipa::path(get, path = "/v2/catalog", tag = "osb", operation_id = "catalog", responses(
    (status = 200, description = "The catalog, with an ETag", body = Object),
    (status = 304, description = "As it was at the ETag of If-None-Match"),
))]
pub(crate) async fn get(State(broker): State<Arc<Broker>>, headers: HeaderMap) -> Response {
    let Catalog { body, etag } = &broker.catalog;
    let known = is_known(&headers, etag);
    let mut response =
        if known { StatusCode::NOT_MODIFIED.into_response() } else { Json(body).into_response() };
    response.headers_mut().insert(header::ETAG, etag.clone());
    response
}

/// Whether the caller has what has this tag (RFC 9110, 13.1.2: a list, compared weakly).
fn is_known(headers: &HeaderMap, etag: &HeaderValue) -> bool {
    let values = headers.get_all(header::IF_NONE_MATCH).iter();
    let mut tags = values.filter_map(|value| value.to_str().ok()).flat_map(|list| list.split(','));
    tags.any(|tag| {
        let tag = tag.trim();
        tag == "*" || tag.strip_prefix("W/").unwrap_or(tag).as_bytes() == etag.as_bytes()
    })
}
