//! The principal of a request, for the handlers that need it, and what it may not.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use model::{Millis, Owner, Principal, Role};

use crate::error::Error;

/// Who has come in, and how.
#[derive(Debug, Clone)]
pub(crate) struct Entered {
    pub(crate) who: Arc<Principal>,
    pub(crate) how: How,
    /// When what was shown ends by itself.
    pub(crate) until: Option<Millis>,
}

/// By what somebody has come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    /// The pair of the configuration.
    Configured,
    /// A credential of the store.
    Credential,
    /// What an issuer of logins has signed.
    Login,
}

impl How {
    /// For people and programs.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Configured => "configuration",
            Self::Credential => "credential",
            Self::Login => "login",
        }
    }
}

/// Who asks, which the guard has found out.
pub(crate) struct Who(pub(crate) Arc<Principal>);

impl<S: Send + Sync> FromRequestParts<S> for Who {
    type Rejection = Error;
    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Error> {
        let found = parts.extensions.get::<Arc<Principal>>().cloned();
        found.map(Self).ok_or_else(|| Error::unauthorized("credentials are missing"))
    }
}

/// Only operators go on: what concerns all tenants at once, or the platform itself, is nobody else's.
pub(crate) fn operator(who: &Principal) -> Result<(), Error> {
    match who.role {
        Role::Operator => Ok(()),
        _ => Err(Error::forbidden(
            "this is for the operators of the platform; ask one of them, or use an operator's token",
        )),
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Entered {
    type Rejection = Error;
    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Error> {
        let found = parts.extensions.get::<Self>().cloned();
        found.ok_or_else(|| Error::unauthorized("credentials are missing"))
    }
}

/// An operator.
pub(crate) struct Operator(pub(crate) Arc<Principal>);

impl<S: Send + Sync> FromRequestParts<S> for Operator {
    type Rejection = Error;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let Who(who) = Who::from_request_parts(parts, state).await?;
        operator(&who)?;
        Ok(Self(who))
    }
}

/// Whether something may be made that belongs to `owner`: 403 with the team and who can help. The
/// caller has named the team, so that this tells nothing of it.
pub(crate) fn may_own(who: &Principal, owner: &Owner) -> Result<(), Error> {
    let Role::Member { organization, teams } = &who.role else { return Ok(()) };
    if who.owns(owner) {
        return Ok(());
    }
    if owner.organization != *organization {
        return Err(Error::forbidden(format!(
            "the organisation `{}` is not yours, which is `{organization}`; only platforms bring others",
            owner.organization
        )));
    }
    let own: Vec<_> = teams.iter().map(|team| format!("`{team}`")).collect();
    let own = if own.is_empty() { "none".to_owned() } else { own.join(", ") };
    Err(Error::forbidden(format!(
        "the team `{}` is not among yours ({own}): ask a member of `{}` to do it, or an operator of the \
         platform for a token of that team",
        owner.space, owner.space
    )))
}
