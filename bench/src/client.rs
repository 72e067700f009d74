//! A client that costs next to nothing: one connection kept alive, requests written as they are, and of
//! an answer only status and body are looked at. What is measured is the broker, not its asker.

use std::net::SocketAddr;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The longest answer that is expected.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// A connection to the broker.
pub(crate) struct Client {
    stream: TcpStream,
    /// `Basic …`.
    authorization: String,
    buffer: Vec<u8>,
}

impl Client {
    /// Connects.
    pub(crate) async fn connect(address: SocketAddr, authorization: String) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, authorization, buffer: Vec::with_capacity(ANSWER_BYTES_MAX) })
    }

    /// Sends a request and reads its answer whole: status and body.
    pub(crate) async fn ask(
        &mut self,
        method: &str,
        path: &str,
        body: &str,
    ) -> Result<(u16, String)> {
        let authorization = &self.authorization;
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: broker\r\nauthorization: {authorization}\r\n\
             x-broker-api-version: 2.17\r\ncontent-type: application/json\r\n\
             content-length: {length}\r\n\r\n{body}"
        );
        self.stream.write_all(request.as_bytes()).await?;
        self.buffer.clear();
        loop {
            if let Some(answer) = self.answer()? {
                return Ok(answer);
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                bail!("the broker has closed the connection");
            }
            if self.buffer.len() > ANSWER_BYTES_MAX {
                bail!("an answer of more than {ANSWER_BYTES_MAX} bytes");
            }
        }
    }

    /// The answer, once it is there as a whole.
    fn answer(&self) -> Result<Option<(u16, String)>> {
        let Some(end) = self.buffer.windows(4).position(|it| it == b"\r\n\r\n") else {
            return Ok(None);
        };
        let head = std::str::from_utf8(&self.buffer[..end])?.to_ascii_lowercase();
        let status = head.split(' ').nth(1).context("a status")?.parse()?;
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.context("a content-length")?.trim().parse()?;
        let body = &self.buffer[end + 4..];
        if body.len() < length {
            return Ok(None);
        }
        Ok(Some((status, String::from_utf8(body[..length].to_vec())?)))
    }
}
