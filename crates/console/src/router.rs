//! Who answers what.

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use model::{ACCESS_RANDOM_BYTES, Millis};
use store::{Credentials, Proofs, Search, Sessions, Store};
use tokio::sync::Semaphore;

use crate::page::{self, Page};
use crate::port::View;
use crate::{door, instance, list, live, metrics};

/// Requests that are answered at the same time; beyond it one is answered with 503 at once.
const REQUESTS_MAX: usize = 256;
/// Pages that are told of news at the same time; others are seen by asking again.
const STREAMS_MAX: usize = 256;
/// The largest form: a token and a few words.
const FORM_BYTES_MAX: usize = 8 << 10;

/// How the console is set up.
#[derive(Debug, Clone)]
pub struct Config {
    /// Whether browsers reach it over TLS only, so that cookies never travel without.
    pub secure: bool,
    /// The port of the internal listener, where it is to be named in links.
    pub internal_port: Option<u16>,
    /// The port of the public listener, likewise.
    pub public_port: Option<u16>,
}

/// What the console is built upon.
#[derive(Clone)]
pub struct Parts {
    /// Instances and operations.
    pub store: Arc<dyn Store>,
    /// What people look for in them, and news.
    pub search: Arc<dyn Search>,
    /// Sessions, and the codes that open them.
    pub sessions: Arc<dyn Sessions>,
    /// Tokens that people paste.
    pub credentials: Arc<dyn Credentials>,
    /// Proofs of hostnames that are awaited.
    pub proofs: Arc<dyn Proofs>,
    /// The control plane.
    pub view: Arc<dyn View>,
    /// Now.
    pub clock: Arc<dyn Fn() -> Millis + Send + Sync>,
    /// Bytes that nobody can guess.
    pub random: Arc<dyn Fn() -> [u8; ACCESS_RANDOM_BYTES] + Send + Sync>,
}

/// Shared by all requests.
pub(crate) struct Console {
    pub(crate) config: Config,
    pub(crate) parts: Parts,
    pub(crate) pages: page::Pages,
    pub(crate) streams: Arc<Semaphore>,
    requests: Semaphore,
}

impl Console {
    pub(crate) fn now(&self) -> Millis {
        (self.parts.clock)()
    }
}

/// The console as an HTTP service.
pub fn router(config: Config, parts: Parts) -> Router {
    let console = Arc::new(Console {
        config,
        parts,
        pages: page::Pages::new(),
        streams: Arc::new(Semaphore::new(STREAMS_MAX)),
        requests: Semaphore::new(REQUESTS_MAX),
    });
    Router::new()
        .route("/", get(list::get))
        .route("/instances/{id}", get(instance::get))
        .route("/instances/{id}/events", get(live::get))
        .route("/enter", get(door::enter))
        .route("/login", get(door::form).post(door::login))
        .route("/logout", post(door::logout))
        .route("/assets/{name}", get(page::asset))
        .fallback(page::nothing)
        .layer(DefaultBodyLimit::max(FORM_BYTES_MAX))
        .layer(from_fn_with_state(Arc::clone(&console), guard))
        .with_state(console)
}

/// Nothing runs, loads or frames that is not ours; nothing is kept where others may find it.
const HEADERS: &[(header::HeaderName, &str)] = &[
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; \
         form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
];

async fn guard(State(console): State<Arc<Console>>, request: Request, next: Next) -> Response {
    let began = Instant::now();
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let mut response = match console.requests.try_acquire() {
        Ok(_place) => next.run(request).await,
        Err(_) => {
            let text = "Too many look at once. Try again in a few seconds.";
            page::message(&console, StatusCode::SERVICE_UNAVAILABLE, "Busy", text, None)
        }
    };
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    let route = route.unwrap_or_else(|| "unknown".to_owned());
    metrics::answered(&route, response.status().as_u16(), began.elapsed());
    response
}

/// What went wrong while a page was made.
#[derive(Debug)]
pub(crate) enum Failure {
    /// There is no such thing, or it is another's.
    Nothing,
    /// Nobody is logged in.
    Stranger,
    /// It cannot be read now.
    Unavailable,
}

impl From<store::StoreError> for Failure {
    fn from(error: store::StoreError) -> Self {
        tracing::warn!(%error, "a page could not be made");
        Self::Unavailable
    }
}

/// A page, or what is shown in its place.
pub(crate) fn answer(console: &Console, made: Result<Page, Failure>, path: &str) -> Response {
    let (status, title, text) = match made {
        Ok(page) => return console.pages.show(StatusCode::OK, &page).into_response(),
        Err(Failure::Stranger) => return door::stranger(console, path, None),
        Err(Failure::Nothing) => (
            StatusCode::NOT_FOUND,
            "Not found",
            "There is no such service, or it is not one of your teams'.",
        ),
        Err(Failure::Unavailable) => (
            StatusCode::SERVICE_UNAVAILABLE,
            "Not now",
            "The platform cannot be read at the moment. Try again in a few seconds.",
        ),
    };
    page::message(console, status, title, text, None)
}
