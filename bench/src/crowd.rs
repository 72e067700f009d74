//! Many proxies at once, each with a connection of its own, and how long a change takes to them all.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use h2::client::{SendRequest, handshake};
use h2::{RecvStream, SendStream};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::proxy::{Known, Proxy, first_word};
use crate::wire::Response;

const METHOD: &str =
    "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources";
/// Connections that are being made at the same time: as many as a listener's queue holds.
const CONNECTING: usize = 128;
/// Nothing more comes if nothing came for so long.
const QUIET: Duration = Duration::from_secs(1);
/// After a stream was ended.
const RETRY: Duration = Duration::from_millis(100);
/// Longer than any change takes.
const PATIENCE: Duration = Duration::from_secs(120);

/// What all streams share.
struct Shared {
    address: SocketAddr,
    base: Arc<Known>,
    hello: Arc<[Bytes]>,
    /// A resource of this name is waited for.
    awaited: RwLock<String>,
    told: mpsc::UnboundedSender<Instant>,
    bytes: AtomicU64,
}

/// Many proxies.
pub(crate) struct Crowd {
    shared: Arc<Shared>,
    times: mpsc::UnboundedReceiver<Instant>,
    streams: JoinSet<Result<()>>,
    size: usize,
}

impl Crowd {
    /// Nobody yet: they will all come with what `base` has.
    pub(crate) fn new(address: SocketAddr, base: Arc<Known>) -> Self {
        let (told, times) = mpsc::unbounded_channel();
        let hello = base.comes_back();
        let (awaited, bytes) = (RwLock::default(), AtomicU64::new(0));
        let shared = Arc::new(Shared { address, base, hello, awaited, told, bytes });
        Self { shared, times, streams: JoinSet::new(), size: 0 }
    }

    /// All connect; returns once each has said what it has.
    pub(crate) async fn join(&mut self, size: usize) -> Result<()> {
        let (ready, mut heard) = mpsc::channel(CONNECTING);
        let mut next = 0;
        let mut arrived = 0;
        while arrived < size {
            while next < size && next - arrived < CONNECTING {
                let id = format!("load-{next}");
                self.streams.spawn(self.shared.clone().proxy(id, ready.clone()));
                next += 1;
            }
            tokio::select! {
                Some(()) = heard.recv() => arrived += 1,
                Some(ended) = self.streams.join_next() => ended?.context("a proxy")?,
            }
        }
        self.size = size;
        Ok(())
    }

    /// All go at once.
    pub(crate) async fn leave(&mut self) {
        self.streams.shutdown().await;
        self.size = 0;
    }

    /// Bytes that were received since this was asked last.
    pub(crate) fn bytes(&self) -> u64 {
        self.shared.bytes.swap(0, Ordering::Relaxed)
    }

    /// From now on each tells when it has acknowledged a resource of this name.
    pub(crate) fn await_name(&mut self, name: String) {
        *self.shared.awaited.write().unwrap_or_else(PoisonError::into_inner) = name;
        while self.times.try_recv().is_ok() {}
    }

    /// When each had it, since `began`, in order.
    pub(crate) async fn arrivals(&mut self, began: Instant) -> Result<Vec<Duration>> {
        let mut times = Vec::with_capacity(self.size);
        while times.len() < self.size {
            tokio::select! {
                Some(time) = self.times.recv() => times.push(time.duration_since(began)),
                Some(ended) = self.streams.join_next() => {
                    ended?.context("a proxy")?;
                    bail!("a stream was ended by the server");
                }
                () = tokio::time::sleep(PATIENCE) => bail!("{} of {} have it", times.len(), self.size),
            }
        }
        times.sort_unstable();
        Ok(times)
    }
}

impl Shared {
    /// Comes back with what it had when its stream is ended, as a canary's is.
    async fn proxy(self: Arc<Self>, id: String, ready: mpsc::Sender<()>) -> Result<()> {
        let mut ready = Some(ready);
        loop {
            self.talk(&id, ready.take()).await?;
            tokio::time::sleep(RETRY).await;
        }
    }

    async fn talk(&self, id: &str, ready: Option<mpsc::Sender<()>>) -> Result<()> {
        let (mut say, mut hear, _kept) = open(self.address).await?;
        say.send_data(first_word(id, ""), false)?;
        for frame in self.hello.iter() {
            say.send_data(frame.clone(), false)?;
        }
        if let Some(ready) = ready {
            let _ = ready.send(()).await;
        }
        let mut proxy = Proxy::new(self.base.clone());
        while let Some(chunk) = hear.data().await {
            let chunk = chunk?;
            self.bytes.fetch_add(chunk.len() as u64, Ordering::Relaxed);
            hear.flow_control().release_capacity(chunk.len())?;
            let mut rest: &[u8] = &chunk;
            while let Some(response) = proxy.take(std::mem::take(&mut rest))? {
                for word in proxy.answer(&response)? {
                    say.send_data(word, false)?;
                }
                if self.is_awaited(&response) {
                    let _ = self.told.send(Instant::now());
                }
            }
        }
        Ok(())
    }

    fn is_awaited(&self, response: &Response) -> bool {
        let awaited = self.awaited.read().unwrap_or_else(PoisonError::into_inner);
        response.resources.iter().any(|resource| resource.name == *awaited)
    }
}

type Connection = tokio::task::JoinHandle<()>;

/// Ends its connection with its stream.
pub(crate) struct Kept(Connection);

impl Drop for Kept {
    fn drop(&mut self) {
        self.0.abort();
    }
}

pub(crate) async fn open(address: SocketAddr) -> Result<(SendStream<Bytes>, RecvStream, Kept)> {
    let socket = TcpStream::connect(address).await?;
    socket.set_nodelay(true)?;
    let (client, connection) = handshake(socket).await?;
    let kept = Kept(tokio::spawn(async move {
        let _ = connection.await;
    }));
    let mut client: SendRequest<Bytes> = client.ready().await?;
    let request = http::Request::post(format!("http://{address}{METHOD}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())?;
    let (response, say) = client.send_request(request, false)?;
    Ok((say, response.await?.into_body(), kept))
}

/// One proxy that comes with nothing is given all that there is; what it then has, and the bytes
/// that it took.
pub(crate) async fn learn(address: SocketAddr) -> Result<(Known, u64)> {
    let (mut say, mut hear, _kept) = open(address).await?;
    say.send_data(first_word("learner", ""), false)?;
    for frame in Known::default().comes_back().iter() {
        say.send_data(frame.clone(), false)?;
    }
    let (mut proxy, mut bytes) = (Proxy::learner(), 0);
    while let Ok(Some(chunk)) = tokio::time::timeout(QUIET, hear.data()).await {
        let chunk = chunk?;
        bytes += chunk.len() as u64;
        hear.flow_control().release_capacity(chunk.len())?;
        let mut rest: &[u8] = &chunk;
        while let Some(response) = proxy.take(std::mem::take(&mut rest))? {
            for word in proxy.answer(&response)? {
                say.send_data(word, false)?;
            }
        }
    }
    Ok((proxy.learns.take().unwrap_or_default(), bytes))
}
