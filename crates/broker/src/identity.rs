//! Who asked: recorded with the operation, believed for nothing (OSB 2.17, "Originating Identity" and
//! "Request Identity").

use axum::http::{HeaderMap, HeaderValue};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use model::{Principal, Requester, Role};
use serde_json::{Map, Value};

use crate::error::Error;

const ORIGINATING: &str = "x-broker-api-originating-identity";
/// A platform's own id of a request.
pub(crate) const REQUEST: &str = "x-broker-api-request-identity";
/// The longest identity that is kept, in bytes.
const IDENTITY_BYTES_MAX: usize = 4096;

/// The identity of a request; an empty one is none.
pub(crate) fn of_request(headers: &HeaderMap) -> Option<&HeaderValue> {
    headers.get(REQUEST).filter(|value| !value.is_empty())
}

/// A malformed identity is refused, not ignored.
pub(crate) fn check(headers: &HeaderMap) -> Result<(), Error> {
    text(headers.get(REQUEST), REQUEST)?;
    match text(headers.get(ORIGINATING), ORIGINATING)? {
        Some(identity) if !is_well_formed(identity) => Err(Error::bad_request(
            "X-Broker-API-Originating-Identity is not `<platform> <base64 of a JSON object>`",
        )),
        _ => Ok(()),
    }
}

/// The requester of a change.
pub(crate) fn requester(who: &Principal, headers: &HeaderMap) -> Result<Requester, Error> {
    let owned = |text: Option<&str>| text.map(str::to_owned);
    Ok(Requester {
        credential: who.credential.clone(),
        originating_identity: owned(originating(who, headers)?),
        request_identity: owned(text(of_request(headers), REQUEST)?),
    })
}

/// On whose behalf a platform asks, in its own words; of anybody else that is no more than a claim.
fn originating<'a>(who: &Principal, headers: &'a HeaderMap) -> Result<Option<&'a str>, Error> {
    let identity = text(headers.get(ORIGINATING), ORIGINATING)?;
    Ok(identity.filter(|_| who.role == Role::Platform))
}

/// OSB 2.17, "Originating Identity": the platform that it names is the one of the context, where both
/// are given.
pub(crate) fn check_platform(
    who: &Principal,
    headers: &HeaderMap,
    context: Option<&Value>,
) -> Result<(), Error> {
    let named = originating(who, headers)?.and_then(|identity| identity.split_once(' '));
    let context = context.and_then(|context| context["platform"].as_str());
    match (named, context) {
        (Some((named, _)), Some(context)) if named != context => Err(Error::bad_request(format!(
            "the platform of X-Broker-API-Originating-Identity and that of the context differ: \
             `{}` and `{}`",
            clip(named),
            clip(context)
        ))),
        _ => Ok(()),
    }
}

fn clip(text: &str) -> String {
    text.chars().take(60).flat_map(char::escape_debug).collect()
}

fn text<'a>(value: Option<&'a HeaderValue>, name: &str) -> Result<Option<&'a str>, Error> {
    let Some(value) = value else { return Ok(None) };
    match value.to_str() {
        Ok(text) if text.len() <= IDENTITY_BYTES_MAX => Ok(Some(text)),
        _ => Err(Error::bad_request(format!("{name} is not text of at most 4 KiB"))),
    }
}

fn is_well_formed(identity: &str) -> bool {
    let Some((platform, encoded)) = identity.split_once(' ') else { return false };
    let json = STANDARD.decode(encoded.trim()).unwrap_or_default();
    !platform.is_empty() && serde_json::from_slice::<Map<String, Value>>(&json).is_ok()
}
