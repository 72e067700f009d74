//! The way between a region and the platform: it takes time, can be cut, and can lose its connections.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use anyhow::Result;
use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};

/// Chunks on their way in each direction; then the sender waits, as it does for a full window.
const UNDER_WAY: usize = 64;
/// One of them at most.
const CHUNK_BYTES: usize = 16 << 10;

/// Where the platform answers now: a connection goes to the next of these.
#[derive(Clone, Default)]
pub(crate) struct Targets(Arc<(RwLock<Vec<SocketAddr>>, AtomicUsize)>);

impl Targets {
    /// From now on to these.
    pub(crate) fn set(&self, addresses: Vec<SocketAddr>) {
        *self.0.0.write().unwrap_or_else(PoisonError::into_inner) = addresses;
    }

    /// All of them.
    pub(crate) fn all(&self) -> Vec<SocketAddr> {
        self.0.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn next(&self) -> Option<SocketAddr> {
        let addresses = self.0.0.read().unwrap_or_else(PoisonError::into_inner);
        let at = self.0.1.fetch_add(1, Ordering::Relaxed);
        addresses.get(at % addresses.len().max(1)).copied()
    }
}

/// What can happen to a way.
#[derive(Clone, Copy, Default)]
struct Fate {
    /// Nothing comes through.
    cut: bool,
    /// How often all connections were lost.
    resets: u64,
}

/// One region's way.
pub(crate) struct Relay {
    /// Where the region finds the platform.
    pub(crate) address: SocketAddr,
    fate: watch::Sender<Fate>,
}

impl Relay {
    /// Listens at `at`; what is sent arrives after `delay`.
    pub(crate) async fn start(at: SocketAddr, targets: Targets, delay: Duration) -> Result<Self> {
        let listener = TcpListener::bind(at).await?;
        let address = listener.local_addr()?;
        let fate = watch::Sender::default();
        let told = fate.subscribe();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(carry(socket, targets.clone(), delay, told.clone()));
            }
        });
        Ok(Self { address, fate })
    }

    /// Cuts it off, or heals it.
    pub(crate) fn cut(&self, cut: bool) {
        self.fate.send_modify(|fate| fate.cut = cut);
    }

    /// Every connection is lost.
    pub(crate) fn reset(&self) {
        self.fate.send_modify(|fate| fate.resets += 1);
    }
}

/// One connection, until either side ends it or it is lost.
async fn carry(
    near: TcpStream,
    targets: Targets,
    delay: Duration,
    mut fate: watch::Receiver<Fate>,
) -> Option<()> {
    let resets = fate.borrow().resets;
    healed(&mut fate).await?;
    let far = TcpStream::connect(targets.next()?).await.ok()?;
    near.set_nodelay(true).ok()?;
    far.set_nodelay(true).ok()?;
    let (near, far) = (near.into_split(), far.into_split());
    let lost = async {
        let _ = fate.clone().wait_for(|fate| fate.resets != resets).await;
    };
    tokio::select! {
        () = pump(near.0, far.1, delay, fate.clone()) => {}
        () = pump(far.0, near.1, delay, fate.clone()) => {}
        () = lost => {}
    }
    Some(())
}

async fn healed(fate: &mut watch::Receiver<Fate>) -> Option<()> {
    fate.wait_for(|fate| !fate.cut).await.ok().map(drop)
}

async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    delay: Duration,
    mut fate: watch::Receiver<Fate>,
) {
    let (sent, mut under_way) = mpsc::channel::<(Instant, Bytes)>(UNDER_WAY);
    let send = async move {
        let mut buffer = vec![0; CHUNK_BYTES];
        while let Ok(read @ 1..) = from.read(&mut buffer).await {
            let chunk = Bytes::copy_from_slice(&buffer[..read]);
            if sent.send((Instant::now() + delay, chunk)).await.is_err() {
                break;
            }
        }
    };
    let arrive = async {
        while let Some((at, chunk)) = under_way.recv().await {
            tokio::time::sleep_until(at.into()).await;
            if healed(&mut fate).await.is_none() || to.write_all(&chunk).await.is_err() {
                break;
            }
        }
    };
    tokio::join!(send, arrive);
}
