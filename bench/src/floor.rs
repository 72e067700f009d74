//! The physical floor: the same bytes to as many raw sockets, by one writer. Writer and readers are
//! processes of their own, as plane and proxies are. What takes proxies several rounds, each
//! acknowledged before the next, does so here, too; and what they say is as long as what proxies say.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use futures::future::try_join_all;
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::envoy;
use crate::helper::{Boss, Helper};
use crate::moment::Moment;
use crate::scratch;

/// What each is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Shape {
    /// Of one message.
    pub(crate) bytes: usize,
    /// Messages, each answered before the next.
    pub(crate) rounds: usize,
    /// Of each answer; without, nobody answers.
    pub(crate) answer: usize,
}

/// What came of it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Written {
    pub(crate) began: Moment,
    /// When each had it, in order.
    pub(crate) times: Vec<Moment>,
    /// Processor time of the writer and of the readers.
    pub(crate) used: [Duration; 2],
}

/// What the process of the writer is told.
#[derive(Debug, clap::Args)]
pub(crate) struct WriterArgs {
    /// Connections.
    #[arg(long)]
    size: usize,
}

/// What the process of the readers is told.
#[derive(Debug, clap::Args)]
pub(crate) struct ReaderArgs {
    /// Where the writer is.
    #[arg(long)]
    address: SocketAddr,
    /// Connections.
    #[arg(long)]
    size: usize,
}

/// A writer and its readers.
pub(crate) struct Floor(Helper);

impl Floor {
    /// With so many connections.
    pub(crate) async fn start(size: usize) -> Result<Self> {
        let mut writer = Helper::start(&["floor-writer", "--size", &size.to_string()])?;
        writer.hear::<()>().await?;
        Ok(Self(writer))
    }

    /// Writes to all.
    pub(crate) async fn write(&mut self, shape: Shape) -> Result<Written> {
        self.0.tell(&shape).await?;
        self.0.hear().await
    }
}

/// The process of the writer.
pub(crate) async fn write(args: WriterArgs) -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let (address, size) = (listener.local_addr()?.to_string(), args.size.to_string());
    let arguments = ["floor-readers", "--address", &address, "--size", &size];
    let mut readers = Helper::start(&arguments)?;
    let mut sockets = Vec::with_capacity(args.size);
    for _ in 0..args.size {
        let (socket, _) = listener.accept().await?;
        socket.set_nodelay(true)?;
        sockets.push(socket);
    }
    Boss::tell(&())?;
    let mut boss = Boss::new();
    while let Some(shape) = boss.hear().await? {
        readers.tell(&shape).await?;
        readers.hear::<()>().await?;
        let processes = [std::process::id(), readers.process()?];
        let cpu = || anyhow::Ok([envoy::cpu(processes[0])?, envoy::cpu(processes[1])?]);
        let (before, began) = (cpu()?, Moment::now());
        send(&mut sockets, shape).await?;
        let times = readers.hear().await?;
        let after = cpu()?;
        let used = [0, 1].map(|at| after[at].saturating_sub(before[at]));
        Boss::tell(&Written { began, times, used })?;
    }
    Ok(())
}

async fn send(sockets: &mut [TcpStream], shape: Shape) -> Result<()> {
    let message = vec![7; shape.bytes];
    if shape.answer > 0 {
        let all = sockets.iter_mut().map(|socket| converse(socket, &message, shape));
        try_join_all(all).await?;
        return Ok(());
    }
    for socket in sockets {
        socket.write_all(&message).await?;
    }
    Ok(())
}

async fn converse(socket: &mut TcpStream, message: &[u8], shape: Shape) -> Result<()> {
    for _ in 0..shape.rounds {
        socket.write_all(message).await?;
        let mut left = shape.answer;
        while left > 0 {
            let read = scratch::read(socket, <[u8]>::len).await?;
            left = left.checked_sub(read).filter(|_| read > 0).context("an answer too long")?;
        }
    }
    Ok(())
}

/// What comes to readers, and what they answer.
type Expected = (Shape, Bytes);

/// The process of the readers: after each message that all have, when each had it.
pub(crate) async fn read(args: ReaderArgs) -> Result<()> {
    let (told, mut times) = mpsc::unbounded_channel();
    let shape = watch::Sender::new(Expected::default());
    let mut readers = JoinSet::new();
    for _ in 0..args.size {
        let reader = TcpStream::connect(args.address).await?;
        reader.set_nodelay(true)?;
        readers.spawn(drain(reader, shape.subscribe(), told.clone()));
    }
    let mut boss = Boss::new();
    while let Some(next) = boss.hear().await? {
        shape.send_replace((next, vec![7; next.answer].into()));
        Boss::tell(&())?;
        let mut round: Vec<Moment> = Vec::with_capacity(args.size);
        while round.len() < args.size {
            round.push(times.recv().await.context("readers live")?);
        }
        round.sort_unstable();
        Boss::tell(&round)?;
    }
    Ok(())
}

async fn drain(
    mut reader: TcpStream,
    expected: watch::Receiver<Expected>,
    told: mpsc::UnboundedSender<Moment>,
) {
    let (mut had, mut round) = (0, 1);
    while let Ok(read) = scratch::read(&mut reader, <[u8]>::len).await
        && read > 0
    {
        had += read;
        let (Shape { bytes, rounds, .. }, answer) = expected.borrow().clone();
        if had < bytes {
            continue;
        }
        had = 0;
        if round == rounds {
            let _ = told.send(Moment::now());
        }
        round = round % rounds + 1;
        if reader.write_all(&answer).await.is_err() {
            return;
        }
    }
}
