//! Around every request: who may ask at all and how, the echo, the log, the counting, and the limit on
//! how many there are at a time.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tracing::Instrument;

use crate::error::Error;
use crate::router::Broker;
use crate::{extract, identity, metrics};

const VERSION: &str = "x-broker-api-version";
/// Our own id of a request, in its answer and in its lines of the log.
const REQUEST_ID: &str = "x-request-id";
/// Where a host brings its own: a token that it uses up, or the proof that it has a key.
const WITHOUT_CREDENTIAL: [&str; 2] = ["/v1/join", "/v1/join/renew"];

pub(crate) async fn guard(
    State(broker): State<Arc<Broker>>,
    request: Request,
    next: Next,
) -> Response {
    let began = Instant::now();
    let id = (broker.parts.new_id)().to_string();
    let echo = identity::of_request(request.headers()).cloned();
    let method = metrics::method(request.method());
    let is_change = !matches!(*request.method(), Method::GET | Method::HEAD);
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let route = route.unwrap_or_else(|| "unknown".to_owned());
    let identity = echo.as_ref().and_then(|value| value.to_str().ok());
    let span = tracing::info_span!("request", id, identity);
    let mut response = answer(&broker, request, next).instrument(span.clone()).await;
    // OSB 2.17, "Request Identity": echoed in the response, also of an error.
    if let Some(echo) = echo {
        response.headers_mut().insert(identity::REQUEST, echo);
    }
    if let Ok(id) = HeaderValue::try_from(id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    let (status, took) = (response.status(), began.elapsed());
    metrics::answered(&route, method, status.as_u16(), took);
    let (status, ms) = (status.as_u16(), took.as_millis());
    let _entered = span.enter();
    // Polls would drown the rest.
    if is_change || status >= 400 {
        tracing::info!(route, method, status, ms, "answered");
    } else {
        tracing::debug!(route, method, status, ms, "answered");
    }
    response
}

async fn answer(broker: &Broker, mut request: Request, next: Next) -> Response {
    let Ok(_permit) = broker.requests.try_acquire() else {
        return Error::unavailable(
            "too many requests at a time; nothing was changed, try again soon",
        )
        .into_response();
    };
    match admit(broker, &mut request).await {
        Ok(()) => next.run(request).await,
        Err(refusal) => challenged(broker, refusal.into_response()),
    }
}

async fn admit(broker: &Broker, request: &mut Request) -> Result<(), Error> {
    if WITHOUT_CREDENTIAL.contains(&request.uri().path()) {
        return Ok(());
    }
    let from = extract::address(request.extensions());
    let entered = broker.enter(request.headers(), from).await?;
    request.extensions_mut().insert(Arc::clone(&entered.who));
    request.extensions_mut().insert(entered);
    if request.uri().path().starts_with("/v2/") {
        version(request.headers()).and_then(|()| identity::check(request.headers()))?;
    }
    Ok(())
}

/// To a 401: how to come in (RFC 9110, 11.6.1). Whoever has no credential learns here, and nowhere
/// else, where to log in.
fn challenged(broker: &Broker, mut response: Response) -> Response {
    if response.status() != StatusCode::UNAUTHORIZED {
        return response;
    }
    let bearer = match broker.parts.login.as_ref().map(|login| login.offer()) {
        None => "Bearer realm=\"margrave\"".to_owned(),
        Some(offer) => format!(
            "Bearer realm=\"margrave\", issuer=\"{}\", client_id=\"{}\", scope=\"{}\"",
            offer.issuer, offer.client_id, offer.scope
        ),
    };
    let basic = HeaderValue::from_static("Basic realm=\"margrave\", charset=\"UTF-8\"");
    response.headers_mut().append(header::WWW_AUTHENTICATE, basic);
    if let Ok(bearer) = HeaderValue::try_from(bearer) {
        response.headers_mut().append(header::WWW_AUTHENTICATE, bearer);
    }
    response
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
