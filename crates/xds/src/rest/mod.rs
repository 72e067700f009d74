//! Discovery by polling: `POST /v3/discovery:clusters` and its like, in proto3 JSON.
//!
//! A poll is answered with the whole of what it asks for and its version, or with 304 and nothing
//! when the client has that. A client that polls never says what it makes of an answer: it is told
//! of as [polled](crate::Event::Polled), and nothing more is known of it.

mod answer;
mod request;
mod sheets;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use model::{Node, TypeUrl, type_urls};
use tokio::time::timeout;
use tonic::body::Body;

use crate::cache::Cache;
use crate::event::Event;
use crate::identity::Identity;
use crate::metrics;
use crate::service::Shared;
use crate::services::polled_type;
use answer::Set;
use request::Poll;
use sheets::Sheets;

/// The largest poll: an Envoy's own node is 80 kB of it.
const BODY_BYTES_MAX: usize = 1 << 20;
/// How long a poll takes to arrive at most.
const BODY_WITHIN: Duration = Duration::from_secs(10);
/// How long a poll waits for a group that is being made. Envoy waits a second, if it is not told
/// otherwise.
const OPENS_WITHIN: Duration = Duration::from_millis(700);

/// Reads resources, which this crate cannot.
pub trait Json: Send + Sync {
    /// A resource as a JSON object with its `@type`.
    ///
    /// # Errors
    /// What is wrong with it.
    fn any(&self, type_url: &TypeUrl, body: &[u8]) -> Result<String, String>;
}

/// What polls share.
#[derive(Default)]
pub(crate) struct Polls {
    pub(crate) json: OnceLock<Arc<dyn Json>>,
    sheets: Sheets,
}

/// An answer that is no set of resources.
struct Refused(StatusCode, String);

/// Whether a path is one that is polled.
pub(crate) fn is_poll(path: &str) -> bool {
    path.starts_with("/v3/discovery:")
}

/// Answers a poll.
pub(crate) async fn answer(shared: Arc<Shared>, request: Request<Body>) -> Response<Body> {
    let identity = request.extensions().get::<Arc<Identity>>().cloned();
    let (status, body) = match polled(&shared, request, identity.as_deref()).await {
        Ok(Some(body)) => (StatusCode::OK, body),
        Ok(None) => (StatusCode::NOT_MODIFIED, Bytes::new()),
        Err(Refused(status, reason)) => {
            tracing::info!(%status, reason, "a poll was refused");
            let told = serde_json::json!({"error": reason});
            (status, told.to_string().into())
        }
    };
    metrics::polled(status.as_u16());
    let is_empty = body.is_empty();
    let mut response = Response::new(Body::new(Full::new(body).map_err(|never| match never {})));
    *response.status_mut() = status;
    if !is_empty {
        let json = http::HeaderValue::from_static("application/json");
        response.headers_mut().insert(http::header::CONTENT_TYPE, json);
    }
    response
}

async fn polled(
    shared: &Shared,
    request: Request<Body>,
    identity: Option<&Identity>,
) -> Result<Option<Bytes>, Refused> {
    let bad = |reason| Refused(StatusCode::BAD_REQUEST, reason);
    let type_url = type_of(&request)?;
    let Some(json) = shared.polls.json.get().cloned() else {
        let reason = "this server has no JSON: ask by gRPC".to_owned();
        return Err(Refused(StatusCode::NOT_IMPLEMENTED, reason));
    };
    let body = body(request).await?;
    let mut poll = Poll::read(&body, type_url.as_str(), shared.limits.names).map_err(bad)?;
    let node = Arc::new(poll.node());
    let cache = shared
        .admit(&node, identity)
        .map_err(|status| Refused(StatusCode::FORBIDDEN, status.message().to_owned()))?;
    let names = poll.names();
    withhold_secrets(&type_url, names.is_some(), identity)?;
    opened(&cache).await?;
    let set = match type_url.as_str() == type_urls::SECRET && names.is_none() {
        true => None,
        false => Some(Set::of(&cache, &type_url, names.as_deref(), poll.version())),
    };
    let (version, body) = match set {
        None => (String::new(), Some(Bytes::from_static(b"{\"resources\":[]}"))),
        Some(None) => (poll.version().to_owned(), None),
        Some(Some(set)) => {
            let key = (Arc::from(type_url.as_str()), set.version.hash);
            let (version, of) = (set.version.to_string(), type_url.clone());
            let written = shared.polls.sheets.get(key, move || set.write(&of, &*json)).await;
            let failed = |why| Refused(StatusCode::INTERNAL_SERVER_ERROR, why);
            (version, Some(written.map_err(failed)?))
        }
    };
    tell(shared, node, type_url, version).await;
    Ok(body)
}

fn type_of(request: &Request<Body>) -> Result<TypeUrl, Refused> {
    let path = request.uri().path();
    let Some(type_url) = path.strip_prefix("/v3/discovery:").and_then(polled_type) else {
        let reason = format!(
            "nothing is polled here: the paths are /v3/discovery: and one of {}, or the full name \
             of a message",
            crate::services::polled_words().join(", ")
        );
        return Err(Refused(StatusCode::NOT_FOUND, reason));
    };
    if request.method() != Method::POST {
        let reason = "a poll is a POST with a DiscoveryRequest".to_owned();
        return Err(Refused(StatusCode::METHOD_NOT_ALLOWED, reason));
    }
    Ok(type_url)
}

async fn body(request: Request<Body>) -> Result<Bytes, Refused> {
    let body = Limited::new(request.into_body(), BODY_BYTES_MAX).collect();
    match timeout(BODY_WITHIN, body).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
            let reason = format!("the body has more than {BODY_BYTES_MAX} bytes");
            Err(Refused(StatusCode::PAYLOAD_TOO_LARGE, reason))
        }
        Ok(Err(_)) => {
            Err(Refused(StatusCode::BAD_REQUEST, "the body did not come whole".to_owned()))
        }
        Err(_) => Err(Refused(StatusCode::REQUEST_TIMEOUT, "the body did not come".to_owned())),
    }
}

/// Secrets are for those who have shown who they are; whoever asks for none gets none.
fn withhold_secrets(
    type_url: &TypeUrl,
    asks: bool,
    identity: Option<&Identity>,
) -> Result<(), Refused> {
    if type_url.as_str() != type_urls::SECRET || !asks || identity.is_some() {
        return Ok(());
    }
    metrics::secrets_withheld();
    let reason = "secrets are not given in clear: let the proxy join, and connect with its \
                  certificate";
    Err(Refused(StatusCode::FORBIDDEN, reason.to_owned()))
}

/// Waits a moment for a group that is being made: to answer before would empty the client.
async fn opened(cache: &Cache) -> Result<(), Refused> {
    let mut beat = cache.listen();
    match timeout(OPENS_WITHIN, beat.wait_for(|beat| beat.open)).await {
        Ok(Ok(_)) => Ok(()),
        _ => {
            let reason = "the control plane is preparing this group: ask again".to_owned();
            Err(Refused(StatusCode::SERVICE_UNAVAILABLE, reason))
        }
    }
}

async fn tell(shared: &Shared, node: Arc<Node>, type_url: TypeUrl, version: String) {
    let polled = Event::Polled { node, type_url, version };
    // Nobody listens any more when the process ends.
    let _ = shared.events.send(polled).await;
}
