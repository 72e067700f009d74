//! `GET …/service_bindings/:id` (OSB 2.17, "Fetching a Service Binding").

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use store::Bound;

use super::{Ids, answer};
use crate::error::{Error, ErrorBody};
use crate::extract::{Asked, Hints};
use crate::principal::Who;
use crate::router::Broker;

/// Fetch a binding, with its credential.
#[utoipa::path(get, path = "/v2/service_instances/{id}/service_bindings/{binding}", tag = "osb", operation_id = "fetchBinding",
    params(("id" = String, Path, description = "The OSB `instance_id`"),
        ("binding" = String, Path, description = "The OSB `binding_id`")), responses(
    (status = 200, description = "As it was bound, and its parameters", body = Object),
    (status = 404, description = "There is none", body = ErrorBody),
))]
pub(crate) async fn get(
    State(broker): State<Arc<Broker>>,
    Who(who): Who,
    Ids(instance, id): Ids,
    Asked(hints): Asked<Hints>,
) -> Result<Response, Error> {
    hints.check()?;
    let unknown = || Error::not_found("there is no such binding");
    let instance = broker.bindable(&who, &instance).await?.ok_or_else(unknown)?;
    let found = broker.parts.bindings.binding(&id).await?;
    let is_its = |found: &Bound| found.binding.instance == instance.id;
    let found = found.filter(is_its).ok_or_else(unknown)?;
    let mut body = broker.binding_body(&instance, &found)?;
    body["parameters"] = answer::parameters(&found.binding);
    Ok(answer::secret(StatusCode::OK, body))
}
