//! A proof of a hostname is looked for because somebody has made the record just now.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use model::{Hostname, Millis};

use crate::error::{Error, ErrorBody};
use crate::extract::Id;
use crate::principal::Who;
use crate::proof::Proven;
use crate::router::Broker;

/// Within this a look is not repeated, whoever asks: name servers are not ours to be flooded.
const PAUSE_MILLIS: Millis = 2_000;

/// Looks now for the proof of a hostname, unless it was looked for within two seconds.
#[utoipa::path(post, path = "/v1/hostnames/{hostname}/verify", tag = "platform", operation_id = "verifyHostname",
    params(("hostname" = String, Path, description = "It")), responses(
    (status = 200, description = "How it stands after the look", body = Proven),
    (status = 400, description = "It cannot be read", body = ErrorBody),
    (status = 404, description = "No proof of it was ever needed, or it is another team's", body = ErrorBody),
))]
pub(crate) async fn verify(
    State(broker): State<Arc<Broker>>,
    Who(who): Who,
    Id(hostname): Id<Hostname>,
) -> Result<Json<Proven>, Error> {
    let proofs = broker.parts.proofs.as_ref();
    let unknown = || Error::not_found("no proof of this hostname is needed");
    let found = proofs.proof(&hostname).await?;
    let found = found.filter(|it| who.owns(&it.owner)).ok_or_else(unknown)?;
    let now = broker.now();
    let is_fresh = found.looked_at.is_some_and(|at| (0..PAUSE_MILLIS).contains(&(now - at)));
    if found.proven_at.is_some() || is_fresh {
        return Ok(Json(Proven::of(&found)));
    }
    if !broker.parts.prover.look(&found).await? {
        return Err(Error::unavailable(
            "many hostnames are being looked for; try again in a moment",
        ));
    }
    let found = proofs.proof(&hostname).await?.ok_or_else(unknown)?;
    Ok(Json(Proven::of(&found)))
}
