//! Requests exactly as written: no client library that would mend a host or a path on the way.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::backend::Seen;

/// Longer than any answer takes; only a hang ends here.
const PATIENCE: Duration = Duration::from_secs(20);

/// An answer.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Answer {
    /// The value of a header, the first if there are several.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let is = |(key, _): &&(String, String)| key.eq_ignore_ascii_case(name);
        self.headers.iter().find(is).map(|(_, value)| value.as_str())
    }

    /// What the backend saw, when one answered.
    pub(crate) fn seen(&self) -> Seen {
        serde_json::from_str(&self.body).unwrap_or_else(|why| panic!("{why}: {self:?}"))
    }

    /// Which backend answered, if any did.
    pub(crate) fn backend(&self) -> Option<&str> {
        self.header("x-backend")
    }
}

/// GET over HTTP/1.1 with this `Host`.
pub(crate) async fn get(address: SocketAddr, host: &str, path: &str) -> Answer {
    get_with(address, host, path, &[]).await
}

/// GET over HTTP/1.1 with further headers.
pub(crate) async fn get_with(
    address: SocketAddr,
    host: &str,
    path: &str,
    headers: &[(&str, &str)],
) -> Answer {
    let more: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let request = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n{more}connection: close\r\n\r\n");
    raw(address, request.as_bytes()).await
}

/// Sends bytes as they are and reads one answer until the connection closes.
pub(crate) async fn raw(address: SocketAddr, request: &[u8]) -> Answer {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(request).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    let bytes = timeout(PATIENCE, exchange).await.expect("an answer in time").expect("an answer");
    parse(&bytes)
}

fn parse(bytes: &[u8]) -> Answer {
    let text = String::from_utf8_lossy(bytes);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).unwrap_or(0);
    let headers: Vec<_> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let chunked = headers.iter().any(|(n, v)| n == "transfer-encoding" && v == "chunked");
    let body = if chunked { unchunk(body) } else { body.to_owned() };
    Answer { status, headers, body }
}

fn unchunk(mut body: &str) -> String {
    let mut whole = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = usize::from_str_radix(size.trim(), 16).unwrap_or(0);
        if size == 0 || rest.len() < size {
            break;
        }
        whole.push_str(&rest[..size]);
        body = rest[size..].trim_start_matches("\r\n");
    }
    whole
}

/// GET over HTTP/2 with prior knowledge and this `:authority`, exactly as given.
pub(crate) async fn get_h2(address: SocketAddr, authority: &str, path: &str) -> Answer {
    let exchange = async {
        let stream = TcpStream::connect(address).await.expect("connects");
        let (mut client, connection) = h2::client::handshake(stream).await.expect("HTTP/2");
        let driver = tokio::spawn(connection);
        let uri = http::Uri::builder().scheme("http").authority(authority).path_and_query(path);
        let request = http::Request::get(uri.build().expect("a URI")).body(()).expect("a request");
        let (response, _) = client.send_request(request, true).expect("sent");
        let answer = collect(response.await).await;
        driver.abort();
        answer
    };
    timeout(PATIENCE, exchange).await.expect("an answer in time")
}

async fn collect(response: Result<http::Response<h2::RecvStream>, h2::Error>) -> Answer {
    // A request that is refused as malformed resets the stream: no answer, and no backend.
    let Ok(response) = response else {
        return Answer { status: 0, headers: Vec::new(), body: String::new() };
    };
    let (parts, mut stream) = response.into_parts();
    let mut body = Vec::new();
    while let Some(Ok(chunk)) = stream.data().await {
        let chunk: Bytes = chunk;
        let _ = stream.flow_control().release_capacity(chunk.len());
        body.extend_from_slice(&chunk);
    }
    let text = |v: &http::HeaderValue| String::from_utf8_lossy(v.as_bytes()).into_owned();
    let headers = parts.headers.iter().map(|(n, v)| (n.as_str().to_owned(), text(v))).collect();
    let body = String::from_utf8_lossy(&body).into_owned();
    Answer { status: parts.status.as_u16(), headers, body }
}
