//! `GET /v2/service_instances/:id` (OSB 2.17, "Fetching a Service Instance").

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use model::{Instance, InstanceId, OperationKind};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::catalog::{SERVICE_ID, plan_id};
use crate::error::{Error, ErrorBody};
use crate::extract::{Asked, Hints, Id};
use crate::principal::Who;
use crate::router::Broker;
use crate::standing::{Phase, Standing};

/// Fetch an instance.
#[utoipa::path(get, path = "/v2/service_instances/{id}", tag = "osb", operation_id = "fetch",
    params(("id" = String, Path, description = "The OSB `instance_id`, chosen by the platform")), responses(
    (status = 200, description = "Plan, parameters and metadata", body = Fetched),
    (status = 404, description = "There is none, or it is still being provisioned", body = ErrorBody),
    (status = 422, description = "It is being changed", body = ErrorBody),
))]
pub(crate) async fn get(
    State(broker): State<Arc<Broker>>,
    Who(who): Who,
    Id(id): Id<InstanceId>,
    Asked(hints): Asked<Hints>,
) -> Result<Response, Error> {
    hints.check()?;
    let standing = Standing::read(broker.parts.store.as_ref(), &who, &id).await?;
    let instance = match standing.phase() {
        Phase::Settled(instance) | Phase::HalfGone(instance) => instance,
        Phase::Changing(_, operation) if operation.kind != OperationKind::Provision => {
            return Err(Error::concurrent(operation));
        }
        Phase::Changing(..) | Phase::Absent => {
            return Err(Error::not_found(
                "there is no such instance, or it is still being provisioned",
            ));
        }
    };
    let maintenance = standing.latest.as_ref().and_then(|latest| latest.maintenance.clone());
    Ok(Json(Fetched {
        service_id: SERVICE_ID,
        plan_id: plan_id(instance.spec.plan),
        dashboard_url: broker.dashboard_url(&id),
        parameters: instance.spec.parameters.to_json(),
        maintenance_info: maintenance.map(|version| Version { version }),
        metadata: Metadata::of(instance),
    })
    .into_response())
}

/// An instance as a platform sees it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Fetched {
    /// The offering's id in the catalog.
    service_id: &'static str,
    /// The plan's id in the catalog.
    plan_id: &'static str,
    /// The page of the instance, where there is a console.
    #[serde(skip_serializing_if = "Option::is_none")]
    dashboard_url: Option<String>,
    /// The descriptor without its visibility.
    #[schema(value_type = Object)]
    parameters: Value,
    /// The version of the platform under which it was last changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    maintenance_info: Option<Version>,
    metadata: Metadata,
}

/// A version of the platform.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Version {
    /// As in the catalog at that time.
    version: String,
}

/// What a platform may show or select by (OSB 2.17, "Service Instance Metadata Object").
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Metadata {
    /// `service`, `organization`, `space`.
    #[schema(value_type = Object)]
    labels: Map<String, Value>,
    /// `hostnames`, separated by commas, `exposure` and `revision`.
    #[schema(value_type = Object)]
    attributes: Map<String, Value>,
}

impl Metadata {
    fn of(instance: &Instance) -> Self {
        let Instance { spec, owner, revision, .. } = instance;
        let pair = |(name, value): (&str, String)| (name.to_owned(), Value::String(value));
        let labels = [
            ("service", spec.parameters.service.to_string()),
            ("organization", owner.organization.clone()),
            ("space", owner.space.clone()),
        ];
        let hostnames: Vec<&str> = spec.hostnames.iter().map(|name| name.as_str()).collect();
        let attributes = [
            ("hostnames", hostnames.join(",")),
            ("exposure", spec.plan.as_str().to_owned()),
            ("revision", revision.map_or_else(String::new, |revision| revision.to_string())),
        ];
        let said = |pairs: &[(&str, String)]| {
            pairs.iter().filter(|(_, value)| !value.is_empty()).cloned().map(pair).collect()
        };
        Self { labels: said(&labels), attributes: said(&attributes) }
    }
}
