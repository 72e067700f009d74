//! Who asked: recorded with the operation, believed for nothing (OSB 2.17, "Originating Identity" and
//! "Request Identity").

use axum::http::{HeaderMap, HeaderValue};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use model::{Principal, Requester};
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
        originating_identity: owned(text(headers.get(ORIGINATING), ORIGINATING)?),
        request_identity: owned(text(of_request(headers), REQUEST)?),
    })
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
