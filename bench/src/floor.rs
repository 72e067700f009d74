//! The physical floor: the same bytes to as many raw sockets, by one writer. The readers are a process
//! of their own, as proxies are.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::helper::{Boss, Helper};
use crate::moment::Moment;

/// Of what a reader reads at once.
const BUFFER_BYTES: usize = 16 << 10;

/// What the process of readers is told.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where the writer is.
    #[arg(long)]
    address: SocketAddr,
    /// Connections.
    #[arg(long)]
    size: usize,
    /// Of one message.
    #[arg(long)]
    bytes: usize,
}

/// Sockets whose readers tell when they have so many bytes.
pub(crate) struct Floor {
    sockets: Vec<TcpStream>,
    message: Vec<u8>,
    readers: Helper,
}

impl Floor {
    /// So many connections, for messages of so many bytes.
    pub(crate) async fn new(size: usize, bytes: usize) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        let (count, length) = (size.to_string(), bytes.to_string());
        let arguments =
            ["floor-readers", "--address", &address, "--size", &count, "--bytes", &length];
        let readers = Helper::start(&arguments.map(str::to_owned))?;
        let mut sockets = Vec::with_capacity(size);
        for _ in 0..size {
            let (writer, _) = listener.accept().await?;
            writer.set_nodelay(true)?;
            sockets.push(writer);
        }
        Ok(Self { sockets, message: vec![7; bytes], readers })
    }

    /// Writes to all; when that began, and when each had it, in order.
    pub(crate) async fn round(&mut self) -> Result<(Moment, Vec<Moment>)> {
        let began = Moment::now();
        for socket in &mut self.sockets {
            socket.write_all(&self.message).await?;
        }
        Ok((began, self.readers.hear().await?))
    }
}

/// The process of readers: after each message that all have, when each had it.
pub(crate) async fn read(args: Args) -> Result<()> {
    let (told, mut times) = mpsc::unbounded_channel();
    let mut readers = JoinSet::new();
    for _ in 0..args.size {
        let reader = TcpStream::connect(args.address).await?;
        readers.spawn(drain(reader, args.bytes, told.clone()));
    }
    let mut boss = Boss::new();
    tokio::select! {
        ended = tell(args.size, &mut times) => ended,
        ended = boss.hear::<()>() => ended.map(|_| ()),
    }
}

async fn tell(size: usize, times: &mut mpsc::UnboundedReceiver<Moment>) -> Result<()> {
    loop {
        let mut round = Vec::with_capacity(size);
        while round.len() < size {
            round.push(times.recv().await.context("readers live")?);
        }
        round.sort_unstable();
        Boss::tell(&round)?;
    }
}

async fn drain(mut reader: TcpStream, bytes: usize, told: mpsc::UnboundedSender<Moment>) {
    let mut buffer = vec![0; BUFFER_BYTES.min(bytes)];
    let mut left = bytes;
    while let Ok(read) = reader.read(&mut buffer[..left.min(BUFFER_BYTES)]).await
        && read > 0
    {
        left -= read;
        if left == 0 {
            left = bytes;
            let _ = told.send(Moment::now());
        }
    }
}
