//! How a checked request becomes an operation: read, decide, accept; once more when another request
//! came between.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use model::{InstanceId, Operation, OperationKind, OperationState, Requester, Spec};
use serde_json::json;
use store::{Accept, Accepted, HostnameOwner, Refusal};

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
    /// Decides and accepts.
    pub(crate) async fn change(
        &self,
        id: &InstanceId,
        decide: impl Fn(&Standing) -> Result<Decision, Error>,
    ) -> Result<Response, Error> {
        for _ in 0..ATTEMPTS_MAX {
            let standing = Standing::read(self.parts.store.as_ref(), id).await?;
            let accept = match decide(&standing)? {
                Decision::Answer(response) => return Ok(response),
                Decision::Same(operation) => return Ok(accepted(&operation)),
                Decision::Change(accept) => accept,
            };
            let operation = accept.operation.clone();
            let expected = standing.instance.as_ref().map(|instance| instance.updated_at);
            match self.parts.store.accept(*accept, expected).await? {
                Accepted::Yes => {
                    tracing::info!(instance = %id, operation = %operation.id, kind = ?operation.kind, "accepted");
                    return Ok(accepted(&operation));
                }
                Accepted::No(Refusal::Taken(owners)) => return Err(taken(&owners)),
                Accepted::No(Refusal::Changed | Refusal::Busy(_)) => {}
            }
        }
        Err(Error::busy("another change"))
    }

    /// An operation to be accepted.
    pub(crate) fn operation(
        &self,
        id: &InstanceId,
        kind: OperationKind,
        target: Option<Spec>,
        previous: Option<Spec>,
        requested_by: Requester,
    ) -> Operation {
        Operation {
            id: (self.parts.new_id)(),
            instance: id.clone(),
            kind,
            state: OperationState::InProgress,
            target,
            previous,
            steps: Vec::new(),
            revision: None,
            error: None,
            notice: None,
            requested_by,
            created_at: (self.parts.clock)(),
            finished_at: None,
        }
    }
}

/// 202 (OSB 2.17, "Asynchronous Operations").
fn accepted(operation: &Operation) -> Response {
    (StatusCode::ACCEPTED, Json(json!({"operation": operation.id}))).into_response()
}

/// A hostname that another service owns: its owner is named, so that the two can talk.
pub(crate) fn taken(owners: &[HostnameOwner]) -> Error {
    let told = owners.iter().map(|owner| {
        format!(
            "MG2101: `{}` is owned by {} through service `{}` (since {}); ask them to give it up, or choose another hostname",
            owner.hostname, owner.owner.space, owner.service, date(owner.since)
        )
    });
    crate::metrics::refused("MG2101");
    Error::conflict(told.collect::<Vec<_>>().join("\n"))
}

/// The UTC date of a time, as `2026-05-01` (days to civil date, proleptic Gregorian).
fn date(at: model::Millis) -> String {
    let days = at.div_euclid(86_400_000) + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

/// A path segment as an instance id.
pub(crate) fn instance_id(text: &str) -> Result<InstanceId, Error> {
    text.parse().map_err(|why: model::NameError| Error::bad_request(why.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (at, shown) in [
            (0, "1970-01-01"),
            (951_782_400_000, "2000-02-29"),
            (1_777_593_600_000, "2026-05-01"),
            (-1, "1969-12-31"),
        ] {
            assert_eq!(date(at), shown);
        }
    }
}
