//! Who asked (OSB 2.17, "Originating Identity").

use axum::http::HeaderMap;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use model::Requester;

use crate::error::Error;

const ORIGINATING: &str = "x-broker-api-originating-identity";
const REQUEST: &str = "x-broker-api-request-identity";
/// The longest identity that is kept, in bytes.
const IDENTITY_BYTES_MAX: usize = 4096;

/// The requester of a change; a malformed identity is refused, not ignored.
pub(crate) fn requester(username: &str, headers: &HeaderMap) -> Result<Requester, Error> {
    let originating_identity = text(headers, ORIGINATING)?;
    if let Some(identity) = &originating_identity
        && !well_formed(identity)
    {
        return Err(Error::bad_request(
            "X-Broker-API-Originating-Identity is not `<platform> <base64 of a JSON object>`",
        ));
    }
    let request_identity = text(headers, REQUEST)?;
    Ok(Requester { credential: username.to_owned(), originating_identity, request_identity })
}

fn text(headers: &HeaderMap, name: &str) -> Result<Option<String>, Error> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    match value.to_str() {
        Ok(text) if text.len() <= IDENTITY_BYTES_MAX => Ok(Some(text.to_owned())),
        _ => Err(Error::bad_request(format!("{name} is not text of at most 4 KiB"))),
    }
}

fn well_formed(identity: &str) -> bool {
    let decoded =
        identity.split_once(' ').and_then(|(_, value)| STANDARD.decode(value.trim()).ok());
    decoded.is_some_and(|json| {
        serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(&json).is_ok()
    })
}
