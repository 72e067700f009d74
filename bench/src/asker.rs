//! Asks a listener over one kept connection, back to back, until the answer is the wanted one.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Longer than any change takes.
const PATIENCE: Duration = Duration::from_secs(120);

/// One HTTP/1.1 connection to a listener.
pub(crate) struct Asker {
    address: SocketAddr,
    stream: Option<TcpStream>,
    buffer: Vec<u8>,
}

impl Asker {
    /// For a listener; connects when first asked.
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self { address, stream: None, buffer: vec![0; 1 << 16] }
    }

    /// The head of the answer to `GET /` for this host, in lower case; empty when nothing answered.
    pub(crate) async fn ask(&mut self, host: &str) -> String {
        match self.exchange(host).await {
            Ok(head) => head,
            Err(_) => {
                self.stream = None;
                String::new()
            }
        }
    }

    async fn exchange(&mut self, host: &str) -> std::io::Result<String> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            empty => {
                let stream = TcpStream::connect(self.address).await?;
                stream.set_nodelay(true)?;
                empty.insert(stream)
            }
        };
        let request = format!("GET / HTTP/1.1\r\nhost: {host}\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut got = 0;
        loop {
            let read = stream.read(&mut self.buffer[got..]).await?;
            if read == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            got += read;
            let text = String::from_utf8_lossy(&self.buffer[..got]);
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let head = head.to_lowercase();
                let length = head
                    .lines()
                    .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
                if body.len() >= length.unwrap_or(0) {
                    return Ok(head);
                }
            }
        }
    }

    /// Asks until the head of the answer contains `wanted`, and says how long that took.
    pub(crate) async fn until(&mut self, host: &str, wanted: &str) -> Result<Duration> {
        let began = Instant::now();
        while !self.ask(host).await.contains(wanted) {
            if began.elapsed() > PATIENCE {
                bail!("{host} never answered with `{wanted}`");
            }
        }
        Ok(began.elapsed())
    }
}
