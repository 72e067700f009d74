//! How a checked request becomes an operation: read, decide, accept; once more when another request
//! came between.

use std::sync::Arc;

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use model::{InstanceId, Operation, OperationKind, Principal, Requester, Spec};
use serde::Serialize;
use store::{Accept, Refusal};
use utoipa::ToSchema;

use crate::denied;
use crate::error::Error;
use crate::router::Broker;
use crate::standing::Standing;

/// How often a request is decided anew because the instance changed under it.
const ATTEMPTS_MAX: usize = 8;

/// What a verb decides, seeing the instance as it is.
pub(crate) enum Decision {
    /// Nothing to do: answer this.
    Answer(Response),
    /// This operation does it already: 202 again, with the same `operation`.
    Same(Box<Operation>),
    /// To be accepted.
    Change(Box<Accept>),
}

impl Broker {
    /// Decides and accepts, seeing what `who` sees.
    pub(crate) async fn change(
        &self,
        who: &Principal,
        id: &InstanceId,
        decide: impl Fn(&Standing) -> Result<Decision, Error>,
    ) -> Result<Response, Error> {
        for _ in 0..ATTEMPTS_MAX {
            let standing = Standing::read(self.parts.store.as_ref(), who, id).await?;
            let accept = match decide(&standing)? {
                Decision::Answer(response) => return Ok(response),
                Decision::Same(operation) => return Ok(self.accepted(&operation)),
                Decision::Change(accept) => self.judged(*accept),
            };
            let (operation, owner) = (accept.operation.clone(), accept.instance.owner.clone());
            let expected = standing.instance.as_ref().map(|instance| instance.updated_at);
            match self.parts.store.accept(accept, expected).await? {
                store::Accepted::Yes => {
                    tracing::info!(instance = %id, operation = %operation.id, kind = ?operation.kind, "accepted");
                    return Ok(self.accepted(&operation));
                }
                store::Accepted::No(Refusal::Changed | Refusal::Busy(_)) => {}
                store::Accepted::No(refusal) => {
                    return Err(denied::error(&refusal, &owner, self.now()));
                }
            }
        }
        Err(Error::busy("another change"))
    }

    /// To be held against what the platform lets teams have.
    pub(crate) fn judged(&self, accept: Accept) -> Accept {
        let zones = Arc::clone(&self.config.zones);
        Accept { quota: Some(self.config.quota), zones, ..accept }
    }

    /// An operation to be accepted.
    pub(crate) fn operation(
        &self,
        instance: &InstanceId,
        kind: OperationKind,
        target: Option<Spec>,
        previous: Option<Spec>,
        requested_by: Requester,
    ) -> Operation {
        let id = (self.parts.new_id)();
        let fresh = Operation::new(id, instance.clone(), kind, requested_by, self.now());
        let maintenance = Some(self.config.maintenance.version.clone());
        Operation { target, previous, maintenance, ..fresh }
    }

    fn accepted(&self, operation: &Operation) -> Response {
        let body = Accepted {
            operation: operation.id.to_string(),
            dashboard_url: self.dashboard_url(&operation.instance),
        };
        (StatusCode::ACCEPTED, Json(body)).into_response()
    }

    /// It is so already (OSB 2.17: 200 of a provision or an update).
    pub(crate) fn unchanged(&self, id: &InstanceId) -> Decision {
        let body = Unchanged { dashboard_url: self.dashboard_url(id) };
        Decision::Answer((StatusCode::OK, Json(body)).into_response())
    }
}

/// A change was accepted and is being made (OSB 2.17, "Asynchronous Operations").
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Accepted {
    /// What to ask the last operation for.
    operation: String,
    /// The page of the instance, where there is a console.
    #[serde(skip_serializing_if = "Option::is_none")]
    dashboard_url: Option<String>,
}

/// Nothing was to be done.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Unchanged {
    /// The page of the instance, where there is a console.
    #[serde(skip_serializing_if = "Option::is_none")]
    dashboard_url: Option<String>,
}
