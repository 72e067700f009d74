//! What holds for every request: credentials, the API version, the request's identity, counting.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use subtle::ConstantTimeEq;

use crate::error::Error;
use crate::metrics;
use crate::router::Broker;

const VERSION: &str = "x-broker-api-version";
const REQUEST_IDENTITY: &str = "x-broker-api-request-identity";
/// Answered without credentials: it tells nothing of any tenant.
const OPEN: &str = "/v1/openapi.json";

pub(crate) async fn guard(
    State(broker): State<Arc<Broker>>,
    request: Request,
    next: Next,
) -> Response {
    let began = Instant::now();
    let identity = request.headers().get(REQUEST_IDENTITY).cloned();
    let method = request.method().to_string();
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let route = route.unwrap_or_else(|| "unknown".to_owned());
    let mut response = match admit(&broker, &request) {
        Ok(()) => next.run(request).await,
        Err(refusal) => *refusal,
    };
    // OSB 2.17, "Request Identity": echoed in the response, also of an error.
    if let Some(identity) = &identity {
        response.headers_mut().insert(REQUEST_IDENTITY, identity.clone());
    }
    let (status, took) = (response.status().as_u16(), began.elapsed());
    metrics::answered(&route, &method, status, took);
    let request_id = identity.as_ref().and_then(|id| id.to_str().ok()).unwrap_or_default();
    tracing::debug!(%route, %method, status, request_id, ms = took.as_millis(), "answered");
    response
}

fn admit(broker: &Broker, request: &Request) -> Result<(), Box<Response>> {
    let path = request.uri().path();
    if path == OPEN {
        return Ok(());
    }
    if !authenticated(broker, request.headers()) {
        let error = Error::new(StatusCode::UNAUTHORIZED, "credentials are missing or wrong");
        let mut response = error.into_response();
        let challenge = HeaderValue::from_static("Basic realm=\"margrave\"");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        return Err(Box::new(response));
    }
    if path.starts_with("/v2/") {
        version(request.headers()).map_err(|error| Box::new(error.into_response()))?;
    }
    Ok(())
}

/// OSB 2.17, "Platform to Service Broker Authentication".
fn authenticated(broker: &Broker, headers: &HeaderMap) -> bool {
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let Some((scheme, encoded)) = given.and_then(|text| text.split_once(' ')) else { return false };
    let Ok(decoded) = STANDARD.decode(encoded.trim()) else { return false };
    let Some(colon) = decoded.iter().position(|&byte| byte == b':') else { return false };
    let (username, password) = (&decoded[..colon], &decoded[colon + 1..]);
    let known = username.ct_eq(broker.config.username.as_bytes())
        & password.ct_eq(broker.config.password.bytes());
    scheme.eq_ignore_ascii_case("basic") && known.into()
}

/// OSB 2.17, "API Version Header": 2.x is spoken; a missing version is refused like a wrong one.
fn version(headers: &HeaderMap) -> Result<(), Error> {
    let given = headers.get(VERSION).and_then(|value| value.to_str().ok());
    let minor = given.and_then(|text| text.strip_prefix("2."));
    if minor.is_some_and(|minor| !minor.is_empty() && minor.bytes().all(|b| b.is_ascii_digit())) {
        return Ok(());
    }
    let description = match given {
        Some(_) => "this broker speaks version 2.17 of the Open Service Broker API, and any 2.x",
        None => "the header X-Broker-API-Version is missing; this broker speaks version 2.17",
    };
    Err(Error::new(StatusCode::PRECONDITION_FAILED, description))
}
