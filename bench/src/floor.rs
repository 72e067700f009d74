//! The physical floor: the same bytes to as many raw sockets, by one writer. The readers are a process
//! of their own, as proxies are. What takes proxies several rounds, each acknowledged before the next,
//! does so here, too.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use futures::future::try_join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::helper::{Boss, Helper};
use crate::moment::Moment;

/// Of what a reader reads at once.
const BUFFER_BYTES: usize = 16 << 10;

/// Of the answer to a message after which another one comes: what an acknowledgement takes.
const ANSWER_BYTES: usize = 100;

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
    /// Messages, each answered before the next.
    #[arg(long)]
    rounds: usize,
}

/// Sockets whose readers tell when they have so many bytes.
pub(crate) struct Floor {
    sockets: Vec<TcpStream>,
    message: Vec<u8>,
    rounds: usize,
    readers: Helper,
}

impl Floor {
    /// So many connections, for messages of so many bytes in so many rounds.
    pub(crate) async fn new(size: usize, bytes: usize, rounds: usize) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        let mut arguments = vec!["floor-readers".to_owned(), "--address".to_owned(), address];
        for (name, value) in [("--size", size), ("--bytes", bytes), ("--rounds", rounds)] {
            arguments.extend([name.to_owned(), value.to_string()]);
        }
        let readers = Helper::start(&arguments)?;
        let mut sockets = Vec::with_capacity(size);
        for _ in 0..size {
            let (writer, _) = listener.accept().await?;
            writer.set_nodelay(true)?;
            sockets.push(writer);
        }
        Ok(Self { sockets, message: vec![7; bytes], rounds, readers })
    }

    /// Writes to all; when that began, and when each had it, in order.
    pub(crate) async fn round(&mut self) -> Result<(Moment, Vec<Moment>)> {
        let began = Moment::now();
        match self.rounds {
            1 => {
                for socket in &mut self.sockets {
                    socket.write_all(&self.message).await?;
                }
            }
            rounds => {
                let sockets = self.sockets.iter_mut();
                let all = sockets.map(|socket| converse(socket, &self.message, rounds));
                try_join_all(all).await?;
            }
        }
        Ok((began, self.readers.hear().await?))
    }
}

async fn converse(socket: &mut TcpStream, message: &[u8], rounds: usize) -> std::io::Result<()> {
    for round in 1..=rounds {
        socket.write_all(message).await?;
        if round < rounds {
            socket.read_exact(&mut [0; ANSWER_BYTES]).await?;
        }
    }
    Ok(())
}

/// The process of readers: after each message that all have, when each had it.
pub(crate) async fn read(args: Args) -> Result<()> {
    let (told, mut times) = mpsc::unbounded_channel();
    let mut readers = JoinSet::new();
    for _ in 0..args.size {
        let reader = TcpStream::connect(args.address).await?;
        reader.set_nodelay(true)?;
        readers.spawn(drain(reader, args.bytes, args.rounds, told.clone()));
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

async fn drain(
    mut reader: TcpStream,
    bytes: usize,
    rounds: usize,
    told: mpsc::UnboundedSender<Moment>,
) {
    let mut buffer = vec![0; BUFFER_BYTES.min(bytes)];
    let (mut left, mut round) = (bytes, 1);
    while let Ok(read) = reader.read(&mut buffer[..left.min(BUFFER_BYTES)]).await
        && read > 0
    {
        left -= read;
        if left > 0 {
            continue;
        }
        left = bytes;
        if round < rounds {
            round += 1;
            if reader.write_all(&[7; ANSWER_BYTES]).await.is_err() {
                return;
            }
        } else {
            round = 1;
            let _ = told.send(Moment::now());
        }
    }
}
