//! What happened, and who asked for it.

#![expect(
    unused_qualifications,
    reason = "the macro that documents the routes names their parameters once more"
)]

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use model::{Millis, Owner, Principal, Role};
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use store::{AuditFilter, AuditHead, AuditRecord};
use utoipa::{IntoParams, ToSchema};

use crate::error::{Error, ErrorBody};
use crate::extract::Asked;
use crate::principal::Who;
use crate::router::Broker;

/// Rows of a page unless asked otherwise, and at most.
const PAGE_ROWS: usize = 100;
const PAGE_ROWS_MAX: usize = 1000;

/// Which entries.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct AuditQuery {
    /// Only of this object, such as the id of an instance.
    object: Option<String>,
    /// Only of this organisation; goes with `space`.
    organization: Option<String>,
    /// Only of this space (the team); goes with `organization`.
    space: Option<String>,
    /// Only what this credential asked for.
    credential: Option<String>,
    /// Only this action, such as `instance.update`.
    action: Option<String>,
    /// Not before this time: milliseconds since the Unix epoch.
    since: Option<Millis>,
    /// Before this time: milliseconds since the Unix epoch.
    until: Option<Millis>,
    /// `oldest` (default) or `latest` first.
    #[param(inline)]
    order: Option<Order>,
    /// The `next` of the page before.
    beyond: Option<u64>,
    /// 1 to 1,000; default 100.
    limit: Option<usize>,
}

/// What comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Order {
    /// In the order in which it was written.
    Oldest,
    /// The other way round.
    Latest,
}

/// An entry of the audit log.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AuditLine {
    /// Its place: 1, 2, 3.
    seq: u64,
    /// Milliseconds since the Unix epoch.
    at: Millis,
    /// Which store wrote it: another one after a restore.
    writer: String,
    /// Who did what to what, byte for byte as it was hashed.
    #[schema(value_type = Object)]
    entry: Box<RawValue>,
    /// Covers all of this and the entry before: see the reference.
    hash: String,
}

impl AuditLine {
    fn of(record: AuditRecord) -> Result<Self, Error> {
        let AuditRecord { seq, at, writer, text, hash } = record;
        // What is no JSON any more was tampered with: shown as a string, so that it can be found.
        let entry = RawValue::from_string(text.clone())
            .or_else(|_| to_raw_value(&text))
            .map_err(|error| store::StoreError::Corrupt(error.to_string()))?;
        Ok(Self { seq, at, writer, entry, hash: hash.to_string() })
    }
}

/// A page of the audit log.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AuditLines {
    /// Fewer than asked for, or none, also where more follow.
    entries: Vec<AuditLine>,
    /// Send it as `beyond` for the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<u64>,
}

/// The audit log: operators see all of it, teams what is theirs, platforms what they asked for.
#[utoipa::path(get, path = "/v1/audit", tag = "platform", operation_id = "audit",
    params(AuditQuery), responses(
    (status = 200, description = "A page", body = AuditLines),
    (status = 400, description = "It cannot be read, or is refused", body = ErrorBody),
    (status = 403, description = "It is another team's", body = ErrorBody),
))]
pub(crate) async fn list(
    State(broker): State<Arc<Broker>>,
    Who(who): Who,
    Asked(query): Asked<AuditQuery>,
) -> Result<Json<AuditLines>, Error> {
    let page = broker.parts.audit.entries(query.filter(&who)?).await?;
    let entries = page.records.into_iter().map(AuditLine::of).collect::<Result<_, _>>()?;
    Ok(Json(AuditLines { entries, next: page.next }))
}

impl AuditQuery {
    fn filter(self, who: &Principal) -> Result<AuditFilter, Error> {
        let limit = self.limit.unwrap_or(PAGE_ROWS);
        if !(1..=PAGE_ROWS_MAX).contains(&limit) {
            return Err(Error::bad_request("limit is 1 to 1000"));
        }
        let owner = match (self.organization, self.space) {
            (Some(organization), Some(space)) => Some(Owner { organization, space }),
            (None, None) => None,
            _ => return Err(Error::bad_request("organization and space go together")),
        };
        let mut filter = AuditFilter {
            object: self.object,
            owners: owner.map(|owner| vec![owner]),
            credential: self.credential,
            action: self.action,
            since: self.since,
            until: self.until,
            latest_first: self.order == Some(Order::Latest),
            beyond: self.beyond,
            limit,
        };
        narrow(&mut filter, who)?;
        Ok(filter)
    }
}

/// To what this principal may see.
fn narrow(filter: &mut AuditFilter, who: &Principal) -> Result<(), Error> {
    let anothers = || Error::new(StatusCode::FORBIDDEN, "these entries are another's");
    match &who.role {
        Role::Operator => {}
        Role::Platform => {
            if filter.credential.as_ref().is_some_and(|asked| *asked != who.credential) {
                return Err(anothers());
            }
            filter.credential = Some(who.credential.clone());
        }
        Role::Member { organization, teams } => match &filter.owners {
            Some(owners) if owners.iter().all(|owner| who.owns(owner)) => {}
            Some(_) => return Err(anothers()),
            None => {
                let owner = |team: &String| Owner {
                    organization: organization.clone(),
                    space: team.clone(),
                };
                filter.owners = Some(teams.iter().map(owner).collect());
            }
        },
    }
    Ok(())
}

/// The end of the audit log.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Head {
    /// The place of the last entry; 0 when there is none.
    seq: u64,
    /// Its hash.
    hash: String,
}

/// The head of the audit log: who keeps it can prove later that nothing before it was changed.
#[utoipa::path(get, path = "/v1/audit/head", tag = "platform", operation_id = "auditHead", responses(
    (status = 200, description = "As it is now", body = Head),
))]
pub(crate) async fn head(State(broker): State<Arc<Broker>>) -> Result<Json<Head>, Error> {
    let AuditHead { seq, hash } = broker.parts.audit.head().await?;
    Ok(Json(Head { seq, hash: hash.to_string() }))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn principal(role: Role) -> Principal {
        Principal { credential: "me".to_owned(), role }
    }

    fn member(teams: &[&str]) -> Principal {
        let teams: BTreeSet<String> = teams.iter().map(|team| (*team).to_owned()).collect();
        principal(Role::Member { organization: "margrave".to_owned(), teams })
    }

    fn asked(
        query: serde_json::Value,
        who: &Principal,
    ) -> Option<(Option<String>, Option<Vec<String>>)> {
        let query: AuditQuery = serde_json::from_value(query).unwrap();
        let filter = query.filter(who).ok()?;
        let teams = |owners: Vec<Owner>| owners.into_iter().map(|owner| owner.space).collect();
        Some((filter.credential, filter.owners.map(teams)))
    }

    #[test]
    fn everybody_sees_what_is_theirs() {
        let (all, ci) = (serde_json::json!({}), serde_json::json!({"credential": "ci"}));
        let team = |name: &str| serde_json::json!({"organization": "margrave", "space": name});
        let words = |words: &[&str]| Some(words.iter().map(|word| (*word).to_owned()).collect());
        let me = || Some("me".to_owned());
        for (query, who, seen) in [
            (&all, principal(Role::Operator), Some((None, None))),
            (&team("pay"), principal(Role::Operator), Some((None, words(&["pay"])))),
            (&all, principal(Role::Platform), Some((me(), None))),
            (&ci, principal(Role::Platform), None),
            (&all, member(&["pay", "shop"]), Some((None, words(&["pay", "shop"])))),
            (&all, member(&[]), Some((None, words(&[])))),
            (&team("pay"), member(&["pay", "shop"]), Some((None, words(&["pay"])))),
            (&team("web"), member(&["pay", "shop"]), None),
            (&serde_json::json!({"organization": "other", "space": "pay"}), member(&["pay"]), None),
            (&ci, member(&["pay"]), Some((Some("ci".to_owned()), words(&["pay"])))),
        ] {
            assert_eq!(asked(query.clone(), &who), seen, "{query} by {who:?}");
        }
    }
}
