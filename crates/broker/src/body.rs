//! Reading a body: what it says that it is, how large, how fast (OSB 2.17, "Content Type").

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use http_body_util::LengthLimitError;
use serde::de::DeserializeOwned;

use crate::error::Error;

/// The largest body of a request, in bytes. A descriptor's own limit is below it.
const BODY_BYTES_MAX: usize = 1 << 20;
/// Who needs longer for a mebibyte holds a place for nothing.
const BODY_WAIT_MAX: Duration = Duration::from_secs(30);

/// A JSON body. What cannot be read is 400, whatever is wrong with it.
pub(crate) struct JsonBody<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for JsonBody<T> {
    type Rejection = Error;
    async fn from_request(request: Request, _: &S) -> Result<Self, Error> {
        if !says_json(request.headers()) {
            return Err(Error::bad_request(
                "the body must be JSON: send content-type: application/json",
            ));
        }
        let bytes = read(request.into_body()).await?;
        let read = serde_json::from_slice(&bytes);
        read.map(Self).map_err(|why| {
            Error::bad_request(format!("the body is not as the specification has it: {why}"))
        })
    }
}

fn says_json(headers: &HeaderMap) -> bool {
    let said = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = said.and_then(|text| text.split(';').next()).unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
}

async fn read(body: Body) -> Result<Bytes, Error> {
    let arrived = axum::body::to_bytes(body, BODY_BYTES_MAX);
    let Ok(read) = tokio::time::timeout(BODY_WAIT_MAX, arrived).await else {
        let description = "the body did not arrive within 30 seconds";
        return Err(Error::new(StatusCode::REQUEST_TIMEOUT, description));
    };
    read.map_err(|why| {
        let cause = std::error::Error::source(&why);
        if cause.is_some_and(|cause| cause.is::<LengthLimitError>()) {
            return Error::new(StatusCode::PAYLOAD_TOO_LARGE, "the body is larger than 1 MiB");
        }
        Error::bad_request("the body was cut off")
    })
}
