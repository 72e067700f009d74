//! News of an instance's operation, as server-sent events: each tells only that there is some.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use futures::stream;
use model::{InstanceId, OperationState};
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

/// One stream: ends when the operation that was in progress has ended.
struct Stream {
    console: Arc<Console>,
    id: InstanceId,
    news: Option<OperationNews>,
    until: Instant,
    _place: (tokio::sync::OwnedSemaphorePermit, metrics::Stream),
}

/// News of an instance that one may see.
pub(crate) async fn get(
    State(console): State<Arc<Console>>,
    session: Session,
    Path(id): Path<String>,
) -> Response {
    let instance = match visible(&console, &session, &id).await {
        Ok(instance) => instance,
        Err(failure) => return answer(&console, Err(failure), "/"),
    };
    let Ok(place) = Arc::clone(&console.streams).try_acquire_owned() else {
        return answer(&console, Err(Failure::Unavailable), "/");
    };
    let news = match current(&console, &instance.id).await {
        Ok(news) => news,
        Err(failure) => return answer(&console, Err(failure), "/"),
    };
    let stream = Stream {
        console,
        id: instance.id,
        news,
        until: Instant::now() + STREAM_MAX,
        _place: (place, metrics::Stream::new()),
    };
    Sse::new(stream::unfold(stream, next)).into_response()
}

/// News of the operation that is in progress, where there is one.
async fn current(console: &Console, id: &InstanceId) -> Result<Option<OperationNews>, Failure> {
    let Some(latest) = console.parts.store.operations(id, 1).await?.pop() else { return Ok(None) };
    let news = console.parts.search.news(&latest.id);
    // Read once more: it may have ended before its news were listened for.
    let latest = console.parts.store.operation(&latest.id).await?;
    let open = latest.is_some_and(|latest| latest.state == OperationState::InProgress);
    Ok(open.then_some(news))
}

async fn next(mut stream: Stream) -> Option<(Result<Event, Infallible>, Stream)> {
    let news = stream.news.as_mut()?;
    timeout_at(stream.until, news.next()).await.ok()?;
    tokio::time::sleep(PAUSE).await;
    stream.news = current(&stream.console, &stream.id).await.ok()?;
    Some((Ok(Event::default().event("news").data("1")), stream))
}
