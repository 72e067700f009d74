//! A service passes from one team to another: one offers, the other takes. Nothing of it is published
//! anew, so what is served never changes.

#![expect(
    unused_qualifications,
    reason = "the macro that documents the routes names their parameters once more"
)]

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use model::{InstanceId, Millis, Owner, Principal, Role};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::Transferred;
use utoipa::{IntoParams, ToSchema};

use super::instances::{found, unknown};
use super::teams::{TeamName, TeamRef, anothers, entry, owner};
use crate::body::JsonBody;
use crate::denied;
use crate::error::{Error, ErrorBody};
use crate::extract::{Asked, Id};
use crate::principal::Who;
use crate::router::Broker;

/// Offers of a page.
const PAGE_ROWS: usize = 1000;

/// Whose offers.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct OfferQuery {
    /// OSB organisation; default: the platform's own.
    organization: Option<String>,
    /// OSB space; default: every team that one may see.
    team: Option<String>,
}

/// A service that is offered to another team.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
pub(crate) struct OfferView {
    service: String,
    /// Its OSB id.
    instance: String,
    /// The team whose it is.
    from: TeamRef,
    /// The team that may take it.
    to: TeamRef,
    /// The names that go with it.
    hostnames: Vec<String>,
    /// The credential that offered it.
    by: String,
    /// When: milliseconds since the Unix epoch.
    at: Millis,
}

/// Offers.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Offers {
    offers: Vec<OfferView>,
}

impl From<store::Offer> for OfferView {
    fn from(offer: store::Offer) -> Self {
        Self {
            service: offer.service,
            instance: offer.instance.into(),
            from: offer.from.into(),
            to: offer.to.into(),
            hostnames: offer.hostnames.into_iter().map(String::from).collect(),
            by: offer.by,
            at: offer.at,
        }
    }
}

impl OfferQuery {
    /// Whose, each in turn; `None`: everybody's.
    fn owners(self, who: &Principal) -> Result<Vec<Option<Owner>>, Error> {
        match (self.team, &who.role) {
            (Some(team), _) => {
                let owner = owner(self.organization, team)?;
                who.owns(&owner).then(|| vec![Some(owner)]).ok_or_else(anothers)
            }
            (None, _) if self.organization.is_some() => {
                Err(Error::bad_request("organization goes with team"))
            }
            (None, Role::Member { organization, teams }) => {
                let own = |team: &String| {
                    Some(Owner { organization: organization.clone(), space: team.clone() })
                };
                Ok(teams.iter().map(own).collect())
            }
            (None, Role::Operator | Role::Platform) => Ok(vec![None]),
        }
    }
}

/// The services that are offered by or to teams.
#[utoipa::path(get, path = "/v1/offers", tag = "platform", operation_id = "offers",
    params(OfferQuery), responses(
    (status = 200, description = "At most 1,000 of each team, by service", body = Offers),
    (status = 400, description = "It cannot be read, or is refused", body = ErrorBody),
    (status = 403, description = "It is another's", body = ErrorBody),
))]
pub(crate) async fn list(
    State(broker): State<Arc<Broker>>,
    Who(who): Who,
    Asked(query): Asked<OfferQuery>,
) -> Result<Json<Offers>, Error> {
    let mut offers: Vec<OfferView> = Vec::new();
    for of in query.owners(&who)? {
        let found = broker.parts.teams.offers(of, PAGE_ROWS).await?;
        offers.extend(found.into_iter().map(OfferView::from));
    }
    offers.sort();
    offers.dedup();
    Ok(Json(Offers { offers }))
}

/// Offers a service to another team. A later offer comes in the place of an earlier.
#[utoipa::path(post, path = "/v1/instances/{id}/offer", tag = "platform", operation_id = "offerInstance",
    params(("id" = String, Path, description = "Its id")), request_body = TeamName, responses(
    (status = 200, description = "That team may take it", body = Object),
    (status = 400, description = "It cannot be read, or is refused", body = ErrorBody),
    (status = 404, description = "There is no such thing", body = ErrorBody),
    (status = 409, description = "It cannot pass as it stands", body = ErrorBody),
))]
pub(crate) async fn offer(
    State(broker): State<Arc<Broker>>,
    Who(who): Who,
    Id(id): Id<InstanceId>,
    headers: HeaderMap,
    JsonBody(to): JsonBody<TeamName>,
) -> Result<Json<Value>, Error> {
    let to = to.read()?;
    let from = found(&broker, &who, &id).await?.owner;
    if from == to {
        return Err(Error::bad_request(format!("this service is already {}'s", to.space)));
    }
    let detail = json!({ "to": to });
    let entry = entry(&who, &headers, "instance.offer", id.as_str(), Some(&from), detail)?;
    let done = broker.parts.teams.offer(&id, &from, &to, broker.now(), entry).await?;
    answer(&broker, &to, done)
}

/// Takes an offer back, or declines it: either side may.
#[utoipa::path(delete, path = "/v1/instances/{id}/offer", tag = "platform", operation_id = "withdrawOffer",
    params(("id" = String, Path, description = "Its id")), responses(
    (status = 200, description = "It is not offered any more", body = Object),
    (status = 404, description = "It is not offered, or not there", body = ErrorBody),
))]
pub(crate) async fn withdraw(
    State(broker): State<Arc<Broker>>,
    Who(who): Who,
    Id(id): Id<InstanceId>,
    headers: HeaderMap,
) -> Result<Json<Value>, Error> {
    let none = || Error::not_found("this service is not offered to anybody");
    let from = broker.parts.store.instance(&id).await?.ok_or_else(unknown)?.owner;
    let to = broker.parts.teams.offered(&id).await?;
    let theirs = |to: &Owner| who.owns(to) || who.owns(&from);
    let Some(to) = to.filter(theirs) else {
        return Err(if who.owns(&from) { none() } else { unknown() });
    };
    let detail = json!({ "to": to });
    let entry = entry(&who, &headers, "instance.withdraw", id.as_str(), Some(&from), detail)?;
    match broker.parts.teams.withdraw_offer(&id, &to, broker.now(), entry).await? {
        true => Ok(Json(json!({}))),
        false => Err(none()),
    }
}

/// Takes a service that was offered to a team, with its hostnames.
#[utoipa::path(post, path = "/v1/instances/{id}/take", tag = "platform", operation_id = "takeInstance",
    params(("id" = String, Path, description = "Its id")), responses(
    (status = 200, description = "It is that team's", body = Object),
    (status = 400, description = "It cannot be read, or is refused", body = ErrorBody),
    (status = 404, description = "There is no such thing", body = ErrorBody),
    (status = 409, description = "It cannot pass as it stands", body = ErrorBody),
    (status = 422, description = "The team would have more than it may", body = ErrorBody),
))]
pub(crate) async fn take(
    State(broker): State<Arc<Broker>>,
    Who(who): Who,
    Id(id): Id<InstanceId>,
    headers: HeaderMap,
) -> Result<Json<Value>, Error> {
    let from = broker.parts.store.instance(&id).await?.ok_or_else(unknown)?.owner;
    let to = broker.parts.teams.offered(&id).await?;
    // What is neither theirs nor offered to them is not there.
    let Some(to) = to.filter(|to| who.owns(to)) else {
        if !who.owns(&from) {
            return Err(unknown());
        }
        return answer(&broker, &from, Transferred::NotOffered);
    };
    let given = json!({ "to": to });
    let taken = json!({ "from": from });
    let entries = [
        entry(&who, &headers, "instance.given", id.as_str(), Some(&from), given)?,
        entry(&who, &headers, "instance.taken", id.as_str(), Some(&to), taken)?,
    ];
    let quota = broker.config.quota;
    let done = broker.parts.teams.take(&id, &to, quota, broker.now(), entries).await?;
    answer(&broker, &to, done)
}

fn answer(broker: &Broker, to: &Owner, done: Transferred) -> Result<Json<Value>, Error> {
    let conflict = |why: &str| Err(Error::new(StatusCode::CONFLICT, why));
    match done {
        Transferred::Yes => Ok(Json(json!({}))),
        Transferred::Gone => conflict("this service is gone or going"),
        Transferred::NotTheirs => conflict("this service has passed to another team meanwhile"),
        Transferred::NotOffered => {
            conflict("this service is not offered; its team offers it first")
        }
        Transferred::NameTaken => conflict("that team has a service of this name already"),
        Transferred::NotGranted(names) => Err(denied::not_granted(&names, to)),
        Transferred::Full(excess) => Err(denied::too_many(&excess, to, broker.now())),
    }
}
