//! News of an instance's operations, as server-sent events: each tells only that there is some.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, Query, State};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use futures::stream;
use model::{InstanceId, Operation, Version};
use serde::Deserialize;
use store::OperationNews;
use tokio::time::{Instant, timeout_at};

use crate::door::Session;
use crate::instance::visible;
use crate::metrics;
use crate::router::{Console, Failure, answer};

/// A stream ends after this; the browser opens another.
const STREAM_MAX: Duration = Duration::from_secs(10 * 60);
/// Between two events at least: what happens in between is told by the later one.
const PAUSE: Duration = Duration::from_millis(200);

/// One stream.
struct Stream {
    console: Arc<Console>,
    id: InstanceId,
    news: OperationNews,
    /// The mark of what the page shows.
    seen: String,
    until: Instant,
    _place: (tokio::sync::OwnedSemaphorePermit, metrics::Stream),
}

/// What the page shows already.
#[derive(Deserialize)]
pub(crate) struct Seen {
    #[serde(default)]
    seen: String,
}

/// News of an instance that one may see.
pub(crate) async fn get(
    State(console): State<Arc<Console>>,
    session: Session,
    Path(id): Path<String>,
    Query(Seen { seen }): Query<Seen>,
) -> Response {
    let instance = match visible(&console, &session, &id).await {
        Ok(instance) => instance,
        Err(failure) => return answer(&console, Err(failure), "/"),
    };
    let Ok(place) = Arc::clone(&console.streams).try_acquire_owned() else {
        return answer(&console, Err(Failure::Unavailable), "/");
    };
    let stream = Stream {
        news: console.parts.search.news_of_instance(&instance.id),
        console,
        id: instance.id,
        seen,
        until: Instant::now() + STREAM_MAX,
        _place: (place, metrics::Stream::new()),
    };
    Sse::new(stream::unfold(stream, next)).into_response()
}

/// What tells one state of an operation from another.
pub(crate) fn mark(latest: Option<&Operation>) -> String {
    let text = latest.and_then(|latest| serde_json::to_vec(latest).ok()).unwrap_or_default();
    format!("{:x}", Version::hash_of(&text))
}

async fn next(mut stream: Stream) -> Option<(Result<Event, Infallible>, Stream)> {
    loop {
        let latest = stream.console.parts.store.operations(&stream.id, 1).await.ok()?;
        let mark = mark(latest.first());
        if mark != stream.seen {
            stream.seen = mark;
            return Some((Ok(Event::default().event("news").data("1")), stream));
        }
        timeout_at(stream.until, stream.news.next()).await.ok()?;
        tokio::time::sleep(PAUSE).await;
    }
}
