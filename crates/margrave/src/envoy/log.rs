//! Envoy's own log lines, in ours.

use std::sync::Arc;

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio_util::sync::CancellationToken;

/// `--log-format`: a level, a component and the text, so that a line can be read back.
pub const FORMAT: &str = "%L %n %v";
/// What Envoy shall log. Its `info` is hundreds of lines a start, so it is asked for only where our
/// log wants `envoy=debug`.
pub fn level() -> &'static str {
    if tracing::enabled!(target: "envoy", tracing::Level::TRACE) {
        "debug"
    } else if tracing::enabled!(target: "envoy", tracing::Level::DEBUG) {
        "info"
    } else {
        "warning"
    }
}

/// How many of the last lines are kept for the message of an Envoy that would not start.
pub const TAIL_LINES: usize = 8;

/// What may be shown of a line: what Envoy says may quote what it was given.
pub type Shown = Arc<dyn Fn(&str) -> String + Send + Sync>;

/// Passes lines on to the log until the end of the stream; returns the last of them. What Envoy
/// says while it is ended by `stop` is no warning to anybody.
pub async fn forward(
    stream: impl AsyncRead + Unpin,
    stop: CancellationToken,
    shown: Shown,
) -> Vec<String> {
    let mut lines = BufReader::new(stream).lines();
    let mut tail = std::collections::VecDeque::new();
    while let Ok(Some(line)) = lines.next_line().await {
        let line = shown(&line);
        if stop.is_cancelled() {
            tracing::debug!(target: "envoy", "{line}");
        } else {
            say(&line);
        }
        if tail.len() == TAIL_LINES {
            tail.pop_front();
        }
        tail.push_back(line);
    }
    tail.into()
}

fn say(line: &str) {
    let (level, text) = line.split_at_checked(2).unwrap_or(("", line));
    match level {
        "C " | "E " => tracing::error!(target: "envoy", "{text}"),
        "W " => tracing::warn!(target: "envoy", "{text}"),
        "I " => tracing::debug!(target: "envoy", "{text}"),
        "D " | "T " => tracing::trace!(target: "envoy", "{text}"),
        // The rest of a message of several lines.
        _ => tracing::debug!(target: "envoy", "{line}"),
    }
}
