//! Tokens of people and CI.

#![expect(
    unused_qualifications,
    reason = "the macro that documents the routes names their parameters once more"
)]

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use model::{CredentialId, CredentialName, Millis, ORGANIZATION, Owner, Principal, Role};
use serde::{Deserialize, Serialize};
use store::{Credential, CredentialFilter, PAGE_ROWS_MAX};
use utoipa::{IntoParams, ToSchema};

use super::credentials::{Change, CredentialView};
use crate::body::JsonBody;
use crate::error::{Error, ErrorBody};
use crate::extract::{self, Asked, Id};
use crate::lasting;
use crate::principal::{Entered, How, Who, may_own};
use crate::router::Broker;

const DAY_S: u64 = 24 * 60 * 60;
/// Unless asked otherwise, and at the longest.
const TTL_S: u64 = 90 * DAY_S;
const TTL_S_MAX: u64 = 366 * DAY_S;
/// Teams of one token.
const TEAMS_MAX: usize = 16;
/// The longest team, in bytes (OSB recommends at most 255 for a space).
const TEAM_BYTES_MAX: usize = 255;
/// Rows of a page unless asked otherwise.
const PAGE_ROWS: usize = 100;

/// A token to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct NewToken {
    /// What operations and the audit log will call it. Absent: made of its team.
    #[schema(value_type = Option<String>)]
    name: Option<CredentialName>,
    /// What it is good for; absent: `member`.
    #[serde(default)]
    role: TokenRole,
    /// Of a member: its teams, 1 to 16.
    #[serde(default)]
    teams: BTreeSet<String>,
    /// How long it is good for, from `1s` to `366d`; absent: `90d`.
    ttl: Option<String>,
}

/// What a token can be good for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum TokenRole {
    /// What belongs to its teams.
    #[default]
    Member,
    /// Everything.
    Operator,
}

/// A token that was made.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MadeToken {
    /// The secret: told here, and never again.
    secret: String,
    token: CredentialView,
}

/// Tokens.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Tokens {
    /// In order of id, which is that of their making.
    tokens: Vec<CredentialView>,
    /// Send it as `after` for the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// Which tokens.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct TokensQuery {
    /// Also those that have ended, as long as they are remembered.
    ended: Option<bool>,
    /// The `next` of the page before.
    after: Option<String>,
    /// 1 to 1,000; default 100.
    limit: Option<usize>,
}

impl NewToken {
    fn role(&self) -> Result<Role, Error> {
        if self.role == TokenRole::Operator {
            return match self.teams.is_empty() {
                true => Ok(Role::Operator),
                false => {
                    Err(Error::bad_request("an operator's token is of no team: leave them out"))
                }
            };
        }
        if !(1..=TEAMS_MAX).contains(&self.teams.len()) {
            return Err(Error::bad_request("a member's token is of 1 to 16 teams: name them"));
        }
        let is_team = |team: &String| {
            (1..=TEAM_BYTES_MAX).contains(&team.len()) && !team.chars().any(char::is_control)
        };
        if !self.teams.iter().all(is_team) {
            return Err(Error::bad_request("a team has 1 to 255 bytes and no control characters"));
        }
        Ok(Role::Member { organization: ORGANIZATION.to_owned(), teams: self.teams.clone() })
    }

    fn expires_at(&self, now: Millis) -> Result<Millis, Error> {
        let asked = self.ttl.as_deref().map_or(Some(TTL_S), lasting::seconds);
        let ttl_s = asked.filter(|ttl_s| (1..=TTL_S_MAX).contains(ttl_s)).ok_or_else(|| {
            Error::bad_request("a token lasts from 1s to 366d: say `ttl` as in `12h` or `90d`")
        })?;
        Ok(now.saturating_add_unsigned(ttl_s * 1000))
    }

    /// As given, or of the first team and the end of a new id.
    fn name(&self, broker: &Broker) -> Result<CredentialName, Error> {
        if let Some(name) = &self.name {
            return Ok(name.clone());
        }
        let team = self.teams.first().map_or("operator", String::as_str);
        let plain = |c: &char| c.is_ascii_lowercase() || c.is_ascii_digit() || *c == '-';
        let team: String = team.to_lowercase().chars().filter(plain).take(40).collect();
        let team = team.trim_matches('-');
        let team = if team.is_empty() { "token" } else { team };
        let id = (broker.parts.new_id)().to_string().to_lowercase();
        let tail = id.get(id.len().saturating_sub(6)..).unwrap_or_default();
        extract::parse(&format!("{team}-{tail}"))
    }
}

/// Operators make any; a person makes those of its own teams; a token makes none, or it would not
/// end when it ends.
fn may_make(entered: &Entered, role: &Role) -> Result<(), Error> {
    let Role::Member { .. } = &entered.who.role else {
        return match entered.who.role {
            Role::Operator => Ok(()),
            _ => Err(Error::forbidden("a platform's credential makes no tokens: ask an operator")),
        };
    };
    if entered.how != How::Login {
        return Err(Error::forbidden(
            "a token makes no tokens: log in with `margrave login`, or ask an operator",
        ));
    }
    let Role::Member { organization, teams } = role else {
        return Err(Error::forbidden("only operators make operators' tokens: ask one of them"));
    };
    for space in teams {
        may_own(&entered.who, &Owner { organization: organization.clone(), space: space.clone() })?;
    }
    Ok(())
}

/// Make a token. Its secret is told in the answer, and never again.
#[utoipa::path(post, path = "/v1/tokens", tag = "access", operation_id = "createToken",
    request_body = NewToken, responses(
    (status = 201, description = "It is made", body = MadeToken),
    (status = 400, description = "It cannot be read, or is refused", body = ErrorBody),
    (status = 403, description = "For another team, or by a token", body = ErrorBody),
    (status = 409, description = "The name is taken", body = ErrorBody),
))]
pub(crate) async fn create(
    State(broker): State<Arc<Broker>>,
    entered: Entered,
    headers: HeaderMap,
    JsonBody(wish): JsonBody<NewToken>,
) -> Result<(StatusCode, Json<MadeToken>), Error> {
    let (role, expires_at) = (wish.role()?, wish.expires_at(broker.now())?);
    may_make(&entered, &role)?;
    let change = Change { who: &entered.who, headers: &headers, action: "token.create" };
    let name = wish.name(&broker)?;
    let (token, secret) = broker.make_credential(&change, name, role, Some(expires_at)).await?;
    let token = CredentialView::of(&token, broker.now());
    Ok((StatusCode::CREATED, Json(MadeToken { secret: secret.expose().to_owned(), token })))
}

/// Whether a token is there for `who`: all its teams are.
fn sees(who: &Principal, token: &Credential) -> bool {
    match (&who.role, &token.role) {
        (Role::Operator, Role::Operator | Role::Member { .. }) => true,
        (Role::Member { .. }, Role::Member { organization, teams }) => teams.iter().all(|team| {
            who.owns(&Owner { organization: organization.clone(), space: team.clone() })
        }),
        _ => false,
    }
}

/// List the tokens of one's teams; of all, for operators.
#[utoipa::path(get, path = "/v1/tokens", tag = "access", operation_id = "listTokens",
    params(TokensQuery), responses(
    (status = 200, description = "As it is now", body = Tokens),
    (status = 400, description = "It cannot be read, or is refused", body = ErrorBody),
))]
pub(crate) async fn list(
    State(broker): State<Arc<Broker>>,
    Who(who): Who,
    Asked(query): Asked<TokensQuery>,
) -> Result<Json<Tokens>, Error> {
    let limit = query.limit.unwrap_or(PAGE_ROWS);
    if !(1..=PAGE_ROWS_MAX).contains(&limit) {
        return Err(Error::bad_request("limit is 1 to 1000"));
    }
    let now = broker.now();
    let mut filter = CredentialFilter {
        platforms: false,
        alive_at: (query.ended != Some(true)).then_some(now),
        after: query.after.as_deref().map(extract::parse).transpose()?,
        limit: PAGE_ROWS_MAX,
    };
    let mut found: Vec<Credential> = Vec::new();
    while found.len() <= limit {
        let page = broker.parts.credentials.credentials(filter.clone()).await?;
        let is_last = page.len() < PAGE_ROWS_MAX;
        filter.after = page.last().map(|last| last.id.clone());
        found.extend(page.into_iter().filter(|token| sees(&who, token)));
        if is_last {
            break;
        }
    }
    let more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| more).map(|last| last.id.to_string());
    let tokens = found.iter().map(|token| CredentialView::of(token, now)).collect();
    Ok(Json(Tokens { tokens, next }))
}

/// Revoke a token, at once. Members may revoke those of their teams.
#[utoipa::path(delete, path = "/v1/tokens/{id}", tag = "access", operation_id = "revokeToken",
    params(("id" = String, Path, description = "Its id")), responses(
    (status = 200, description = "It opens nothing any more", body = CredentialView),
    (status = 400, description = "That is no id", body = ErrorBody),
    (status = 404, description = "There is none, or none any more", body = ErrorBody),
))]
pub(crate) async fn revoke(
    State(broker): State<Arc<Broker>>,
    Who(who): Who,
    Id(id): Id<CredentialId>,
    headers: HeaderMap,
) -> Result<Json<CredentialView>, Error> {
    let unknown = || Error::not_found("there is no such token, or none any more");
    let found = broker.parts.credentials.credential(&id).await?;
    let token = found.filter(|token| sees(&who, token)).ok_or_else(unknown)?;
    let change = Change { who: &who, headers: &headers, action: "token.revoke" };
    let ended = broker.revoke_credential(&change, &token).await?.ok_or_else(unknown)?;
    Ok(Json(CredentialView::of(&ended, broker.now())))
}
