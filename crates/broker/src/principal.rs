//! The principal of a request, for the handlers that need it.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;
use model::{Principal, Role};

use crate::error::Error;

/// Who asks, which the guard has found out.
pub(crate) struct Who(pub(crate) Arc<Principal>);

impl<S: Send + Sync> FromRequestParts<S> for Who {
    type Rejection = Error;
    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Error> {
        let found = parts.extensions.get::<Arc<Principal>>().cloned();
        found.map(Self).ok_or_else(|| Error::unauthorized("credentials are missing or wrong"))
    }
}

/// Only operators go on.
pub(crate) fn operator(who: &Principal) -> Result<(), Error> {
    match who.role {
        Role::Operator => Ok(()),
        _ => Err(Error::new(StatusCode::FORBIDDEN, "this is for the operators of the platform")),
    }
}
