//! Whose a hostname is, and what else stands between it and who wants it.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use model::{Hostname, Millis, Owner, Principal};
use serde::Serialize;
use serde_json::{Value, json};
use store::{HostnameOwner, Reservation};
use utoipa::ToSchema;

use super::teams::{TeamName, TeamRef, anothers, entry};
use crate::body::JsonBody;
use crate::error::{Error, ErrorBody};
use crate::extract::Id;
use crate::principal::{Who, operator};
use crate::proof::Proven;
use crate::router::Broker;

/// A hostname as it stands. Nothing but the name: anybody may take it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HostnameView {
    hostname: String,
    /// Who has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    held: Option<Held>,
    /// For whom it is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    reserved: Option<Reserved>,
    /// Who has the wildcard above it, and so has a say.
    #[serde(skip_serializing_if = "Option::is_none")]
    under: Option<Held>,
    /// Whom they let have it. Told to both, and to operators.
    #[serde(skip_serializing_if = "Option::is_none")]
    consent: Option<TeamRef>,
    /// How its proof stands, where one was ever needed. Told to its team, and to operators.
    #[serde(skip_serializing_if = "Option::is_none")]
    proof: Option<Proven>,
}

/// Who has a hostname.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Held {
    hostname: String,
    organization: String,
    team: String,
    service: String,
    /// Milliseconds since the Unix epoch.
    since: Millis,
}

/// For whom a hostname is kept.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Reserved {
    organization: String,
    team: String,
    /// The service that had it.
    service: String,
    /// Milliseconds since the Unix epoch.
    until: Millis,
}

impl From<HostnameOwner> for Held {
    fn from(held: HostnameOwner) -> Self {
        let HostnameOwner { hostname, service, owner, since, .. } = held;
        let Owner { organization, space: team } = owner;
        Self { hostname: hostname.into(), organization, team, service, since }
    }
}

impl From<Reservation> for Reserved {
    fn from(kept: Reservation) -> Self {
        let Reservation { owner, service, until, .. } = kept;
        Self { organization: owner.organization, team: owner.space, service, until }
    }
}

/// Whose a hostname is. Told to anybody who might want it, as a refusal would.
#[utoipa::path(get, path = "/v1/hostnames/{hostname}", tag = "platform", operation_id = "hostname",
    params(("hostname" = String, Path, description = "It")), responses(
    (status = 200, description = "As it is now", body = HostnameView),
    (status = 400, description = "It cannot be read, or is refused", body = ErrorBody),
))]
pub(crate) async fn show(
    State(broker): State<Arc<Broker>>,
    Who(who): Who,
    Id(hostname): Id<Hostname>,
) -> Result<Json<HostnameView>, Error> {
    let teams = &broker.parts.teams;
    let held = broker.parts.store.hostname(&hostname).await?;
    let kept = teams.reservation(&hostname, broker.now()).await?;
    // Who has it again needs no reservation.
    let reserved = kept.filter(|it| held.as_ref().is_none_or(|held| held.owner != it.owner));
    let under = teams.wildcard_of(&hostname).await?;
    let consent = teams.consented(&hostname).await?;
    let proof = broker.parts.proofs.proof(&hostname).await?.filter(|it| who.owns(&it.owner));
    let theirs = under.as_ref().is_some_and(|above| who.owns(&above.owner));
    Ok(Json(HostnameView {
        hostname: hostname.into(),
        held: held.map(Held::from),
        reserved: reserved.map(Reserved::from),
        under: under.map(Held::from),
        consent: consent.filter(|to| theirs || who.owns(to)).map(TeamRef::from),
        proof: proof.as_ref().map(Proven::of),
    }))
}

/// Frees a hostname that was given up and stays reserved for the team that had it.
#[utoipa::path(post, path = "/v1/hostnames/{hostname}/release", tag = "platform", operation_id = "releaseHostname",
    params(("hostname" = String, Path, description = "It")), responses(
    (status = 200, description = "Anybody may take it", body = Object),
    (status = 400, description = "It cannot be read, or is refused", body = ErrorBody),
    (status = 403, description = "It is for operators", body = ErrorBody),
    (status = 404, description = "It is not reserved", body = ErrorBody),
))]
pub(crate) async fn release(
    State(broker): State<Arc<Broker>>,
    Who(who): Who,
    Id(hostname): Id<Hostname>,
    headers: HeaderMap,
) -> Result<Json<Value>, Error> {
    operator(&who)?;
    let now = broker.now();
    let missing = || Error::not_found("this hostname is not reserved");
    let held = broker.parts.teams.reservation(&hostname, now).await?.ok_or_else(missing)?;
    let name = hostname.as_str();
    let entry = entry(&who, &headers, "hostname.release", name, Some(&held.owner), json!({}))?;
    broker.parts.teams.lift_reservation(&hostname, now, entry).await?.ok_or_else(missing)?;
    Ok(Json(json!({})))
}

/// The owner of the wildcard above a hostname lets a team have it.
#[utoipa::path(post, path = "/v1/hostnames/{hostname}/consent", tag = "platform", operation_id = "consentHostname",
    params(("hostname" = String, Path, description = "It")), request_body = TeamName, responses(
    (status = 200, description = "That team may take it", body = Object),
    (status = 400, description = "It cannot be read, or is refused", body = ErrorBody),
    (status = 403, description = "The wildcard is another team's", body = ErrorBody),
    (status = 404, description = "It falls under no wildcard", body = ErrorBody),
))]
pub(crate) async fn consent(
    State(broker): State<Arc<Broker>>,
    Who(who): Who,
    Id(hostname): Id<Hostname>,
    headers: HeaderMap,
    JsonBody(to): JsonBody<TeamName>,
) -> Result<Json<Value>, Error> {
    let (by, to) = (above(&broker, &who, &hostname).await?, to.read()?);
    let detail = json!({ "to": to });
    let entry = entry(&who, &headers, "hostname.consent", hostname.as_str(), Some(&by), detail)?;
    match broker.parts.teams.consent(&hostname, &by, &to, broker.now(), entry).await? {
        true => Ok(Json(json!({}))),
        false => Err(uncovered()),
    }
}

/// Takes a consent back. Who has taken the hostname keeps it.
#[utoipa::path(post, path = "/v1/hostnames/{hostname}/withdraw", tag = "platform", operation_id = "withdrawConsent",
    params(("hostname" = String, Path, description = "It")), responses(
    (status = 200, description = "Nobody may take it any more", body = Object),
    (status = 400, description = "It cannot be read, or is refused", body = ErrorBody),
    (status = 403, description = "The wildcard is another team's", body = ErrorBody),
    (status = 404, description = "There was no consent", body = ErrorBody),
))]
pub(crate) async fn withdraw(
    State(broker): State<Arc<Broker>>,
    Who(who): Who,
    Id(hostname): Id<Hostname>,
    headers: HeaderMap,
) -> Result<Json<Value>, Error> {
    let by = above(&broker, &who, &hostname).await?;
    let name = hostname.as_str();
    let entry = entry(&who, &headers, "hostname.withdraw", name, Some(&by), json!({}))?;
    match broker.parts.teams.withdraw_consent(&hostname, &by, broker.now(), entry).await? {
        true => Ok(Json(json!({}))),
        false => Err(Error::not_found("there is no consent to take back")),
    }
}

fn uncovered() -> Error {
    Error::not_found("this hostname falls under no wildcard that anybody has")
}

/// Whose the wildcard above a hostname is, if it is theirs who ask.
async fn above(broker: &Broker, who: &Principal, hostname: &Hostname) -> Result<Owner, Error> {
    let above = broker.parts.teams.wildcard_of(hostname).await?.ok_or_else(uncovered)?;
    who.owns(&above.owner).then_some(above.owner).ok_or_else(anothers)
}
