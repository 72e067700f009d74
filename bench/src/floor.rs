//! The physical floor: the same bytes to as many raw sockets, by one writer.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// Sockets whose readers tell when they have so many bytes.
pub(crate) struct Floor {
    sockets: Vec<TcpStream>,
    message: Vec<u8>,
    times: mpsc::UnboundedReceiver<Instant>,
    _readers: JoinSet<()>,
}

impl Floor {
    /// So many connections, for messages of so many bytes.
    pub(crate) async fn new(size: usize, bytes: usize) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (told, times) = mpsc::unbounded_channel();
        let (mut sockets, mut readers) = (Vec::with_capacity(size), JoinSet::new());
        for _ in 0..size {
            let mut reader = TcpStream::connect(address).await?;
            let (writer, _) = listener.accept().await?;
            writer.set_nodelay(true)?;
            sockets.push(writer);
            let (told, mut buffer) = (told.clone(), vec![0; bytes]);
            readers.spawn(async move {
                while reader.read_exact(&mut buffer).await.is_ok() {
                    let _ = told.send(Instant::now());
                }
            });
        }
        Ok(Self { sockets, message: vec![7; bytes], times, _readers: readers })
    }

    /// Writes to all; when each had it, in order.
    pub(crate) async fn round(&mut self) -> Result<Vec<Duration>> {
        let began = Instant::now();
        for socket in &mut self.sockets {
            socket.write_all(&self.message).await?;
        }
        let mut times = Vec::with_capacity(self.sockets.len());
        while times.len() < self.sockets.len() {
            let time = self.times.recv().await.context("readers live")?;
            times.push(time.duration_since(began));
        }
        times.sort_unstable();
        Ok(times)
    }
}
