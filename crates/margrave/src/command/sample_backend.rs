//! `margrave sample-backend`: something for an upstream to be, in demos and tests.

use std::net::{IpAddr, SocketAddr};

use anyhow::Context;
use axum::Json;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri, Version};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::failure::Failure;
use crate::output;

/// The longest request body that is echoed, in bytes.
const BODY_BYTES_MAX: usize = 1 << 20;

/// Answer every request with what was asked, as JSON: a backend to try things with
///
/// Prints its address on stdout when it listens. `?status=503` is answered with that status.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Port to listen on; 0 picks a free one
    #[arg(long, default_value_t = 3000)]
    port: u16,

    /// Address to listen on
    #[arg(long, default_value = "127.0.0.1")]
    address: IpAddr,

    /// Its name in its answers, to tell several apart
    #[arg(long, default_value = "sample")]
    name: String,
}

impl Args {
    /// Runs until a signal.
    pub fn run(self) -> Result<(), Failure> {
        super::runtime()?.block_on(self.serve())
    }

    async fn serve(self) -> Result<(), Failure> {
        let signals = crate::signals::Signals::listen()?;
        let address = SocketAddr::new(self.address, self.port);
        let listener = TcpListener::bind(address)
            .await
            .with_context(|| format!("cannot listen on {address}; choose another with --port"))?;
        output::line(&format!("http://{}", listener.local_addr()?))?;
        let app = axum::Router::new().fallback(echo).with_state(self.name);
        Ok(axum::serve(listener, app).with_graceful_shutdown(signals.first()).await?)
    }
}

async fn echo(State(name): State<String>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, BODY_BYTES_MAX).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let answer = describe(&name, &head.method, &head.uri, head.version, &head.headers, &body);
    (asked_status(&head.uri), Json(answer)).into_response()
}

fn describe(
    name: &str,
    method: &Method,
    uri: &Uri,
    version: Version,
    headers: &HeaderMap,
    body: &Bytes,
) -> Value {
    let mut shown = serde_json::Map::new();
    for (name, value) in headers {
        let value = Value::from(String::from_utf8_lossy(value.as_bytes()));
        match shown.get_mut(name.as_str()) {
            // A repeated header: all its values, in order.
            Some(Value::Array(values)) => values.push(value),
            Some(first) => *first = json!([first.take(), value]),
            None => drop(shown.insert(name.to_string(), value)),
        }
    }
    json!({
        "backend": name,
        "method": method.as_str(),
        "path": uri.path(),
        "query": uri.query(),
        "version": format!("{version:?}"),
        "headers": shown,
        "body": String::from_utf8_lossy(body),
    })
}

/// The status of `?status=`, where it is one.
fn asked_status(uri: &Uri) -> StatusCode {
    let query = uri.query().unwrap_or_default();
    let asked = query.split('&').find_map(|pair| pair.strip_prefix("status="));
    asked
        .and_then(|text| text.parse().ok())
        .filter(|status: &StatusCode| status.as_u16() >= 200)
        .unwrap_or(StatusCode::OK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_asked_is_told_and_repeated_headers_are_kept() {
        let mut headers = HeaderMap::new();
        for (name, value) in [("x-a", "1"), ("x-b", "2"), ("x-a", "3"), ("x-a", "4")] {
            headers.append(name, value.parse().unwrap());
        }
        let uri: Uri = "/path?x=1".parse().unwrap();
        let body = Bytes::from_static(b"hello");
        let told = describe("me", &Method::PUT, &uri, Version::HTTP_11, &headers, &body);
        let expected = json!({
            "backend": "me", "method": "PUT", "path": "/path", "query": "x=1",
            "version": "HTTP/1.1", "headers": {"x-a": ["1", "3", "4"], "x-b": "2"},
            "body": "hello",
        });
        assert_eq!(told, expected);
    }

    #[test]
    fn a_status_can_be_asked_for() {
        for (uri, expected) in [
            ("/", 200),
            ("/?status=503", 503),
            ("/?a=1&status=404", 404),
            ("/?status=x", 200),
            ("/?status=101", 200),
        ] {
            assert_eq!(asked_status(&uri.parse().unwrap()).as_u16(), expected, "{uri}");
        }
    }
}
