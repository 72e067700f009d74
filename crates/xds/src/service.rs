//! The discovery services: accepts streams and gives each its protocol.

use std::convert::Infallible;
use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use http::{Request, Response};
use model::Node;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep};
use tonic::Status;
use tonic::body::Body;
use tonic::server::NamedService;

use crate::age::Age;
use crate::answers::{self, Answers};
use crate::cache::Cache;
use crate::delta::Delta;
use crate::event::{Event, StreamId};
use crate::frames::{Framed, Outbound};
use crate::identity::{Identity, Revoked};
use crate::inbound::Inbound;
use crate::limits::Limits;
use crate::metrics;
use crate::rate::Door;
use crate::rest::{self, Json, Polls};
use crate::secrets::Secrets;
use crate::services::Method;
use crate::session::Sessions;
use crate::single;
use crate::sotw::StateOfTheWorld;
use crate::status::ClientStatus;
use crate::stream::{Ended, First, Talk, Wires, draining, recalled};
use crate::turns::Turns;
use crate::wire::{DeltaRequest, StateRequest};

/// Responses between a protocol and its socket: what is not sent yet is worked out when it can be.
const OUTBOUND_MESSAGES: usize = 1;

/// Which cache a node is served from.
pub trait Directory: Send + Sync {
    /// The cache of the node's group, or the reason to refuse the stream. Where the client has an
    /// identity, this node is what that says.
    fn assign(&self, node: &Node) -> Result<Arc<Cache>, String>;

    /// How those clients stand that `wanted` picks; none when that would be more than `most`
    /// resources.
    fn status(&self, _wanted: &dyn Fn(&Node) -> bool, _most: usize) -> Option<Vec<ClientStatus>> {
        Some(Vec::new())
    }

    /// Whether whoever comes is answered, or has to wait.
    fn is_ready(&self) -> bool {
        true
    }

    /// A node tells what it has answered since it last did.
    fn answered(&self, _node: &Node, _answers: Answers) {}
}

/// The service. Clones share everything.
#[derive(Clone)]
pub struct Ads(Arc<Shared>);

pub(crate) struct Shared {
    pub(crate) directory: Arc<dyn Directory>,
    pub(crate) events: mpsc::Sender<Event>,
    pub(crate) limits: Limits,
    /// Conversations with clients of the services of single types.
    pub(crate) deltas: Sessions<DeltaRequest>,
    pub(crate) states: Sessions<StateRequest>,
    pub(crate) polls: Polls,
    turns: Turns,
    last_stream: AtomicU64,
    streams: AtomicUsize,
    drain: watch::Sender<bool>,
    door: Door,
    revoked: watch::Sender<Revoked>,
}

impl Shared {
    /// The cache of whoever asks, if it may be asked by them.
    pub(crate) fn admit(
        &self,
        node: &Node,
        identity: Option<&Identity>,
    ) -> Result<Arc<Cache>, Status> {
        if let Some(identity) = identity {
            identity.admits(node)?;
            identity
                .stands(&self.revoked.borrow())
                .inspect_err(|_| metrics::stream_refused("identity"))?;
        }
        self.directory.assign(node).map_err(|reason| {
            metrics::stream_refused("directory");
            Status::permission_denied(reason)
        })
    }

    pub(crate) fn next_stream(&self) -> StreamId {
        StreamId(self.last_stream.fetch_add(1, Ordering::Relaxed) + 1)
    }
}

impl Ads {
    /// A service that finds caches in `directory` and tells `events` what happens. While the
    /// receiver of `events` is full, streams wait for it.
    pub fn new(directory: Arc<dyn Directory>, events: mpsc::Sender<Event>, limits: Limits) -> Self {
        Self(Arc::new(Shared {
            directory,
            events,
            limits,
            deltas: Sessions::default(),
            states: Sessions::default(),
            polls: Polls::default(),
            turns: Turns::new(&limits),
            last_stream: AtomicU64::new(0),
            streams: AtomicUsize::new(0),
            drain: watch::Sender::new(false),
            revoked: watch::Sender::default(),
            door: Door::new(limits.admission, Instant::now()),
        }))
    }

    /// From now on clients may poll, too: JSON is written by `json`.
    pub fn speak_json(&self, json: Arc<dyn Json>) {
        // There is one way to write a resource: whoever came first is right.
        let _ = self.0.polls.json.set(json);
    }

    /// Ends all streams with `UNAVAILABLE` and refuses new ones, so that clients go elsewhere.
    pub fn drain(&self) {
        self.0.drain.send_replace(true);
    }

    /// These certificates are good no more, and no others: streams that were opened with them end.
    pub fn revoke(&self, revoked: Revoked) {
        self.0.revoked.send_replace(revoked);
    }

    /// Certificates that are good no more.
    pub(crate) fn revoked(&self) -> watch::Receiver<Revoked> {
        self.0.revoked.subscribe()
    }

    /// Streams open now.
    pub fn streams(&self) -> usize {
        self.0.streams.load(Ordering::Acquire)
    }

    fn accept(&self, request: Request<Body>) -> Result<Response<Body>, Status> {
        let path = request.uri().path();
        if path == answers::METHOD {
            return self.accept_answers(request);
        }
        let Some(method) = Method::of(path) else { return self.beside(request) };
        let wait = self.turn()?;
        let identity = request.extensions().get::<Arc<Identity>>().cloned();
        let open = Open::count(&self.0, identity)?;
        let (outbound, messages) = mpsc::channel(OUTBOUND_MESSAGES);
        let wires = Wires {
            inbound: self.inbound(request, self.0.limits.message_bytes),
            outbound,
            events: self.0.events.clone(),
            beat: watch::Sender::default().subscribe(),
            drain: self.0.drain.subscribe(),
            secrets: Secrets::to(open.identity.is_some()),
            limits: self.0.limits,
            age: Age::of(open.stream, &self.0.limits, Instant::now()),
        };
        let place = open.place.clone();
        let shared = self.0.clone();
        match (method.type_url, method.delta) {
            (None, true) => tokio::spawn(open.serve(wait, wires, Delta::new)),
            (None, false) => tokio::spawn(open.serve(wait, wires, StateOfTheWorld::new)),
            (Some(type_url), true) => tokio::spawn(async move {
                sleep(wait).await;
                single::serve(open, wires, type_url, &shared.deltas, Delta::new).await;
            }),
            (Some(type_url), false) => tokio::spawn(async move {
                sleep(wait).await;
                single::serve(open, wires, type_url, &shared.states, StateOfTheWorld::new).await;
            }),
        };
        Ok(respond(messages, place))
    }

    /// How long a new stream waits for its turn.
    fn turn(&self) -> Result<Duration, Status> {
        let wait = self.0.door.queue(Instant::now(), self.0.limits.admission_wait);
        let wait = wait.ok_or_else(|| {
            metrics::stream_refused("admission");
            Status::unavailable("too many new streams at once: come back later")
        })?;
        if !wait.is_zero() {
            metrics::stream_queued();
        }
        Ok(wait)
    }

    /// What a client says on a stream, in messages of so many bytes at most.
    pub(crate) fn inbound(&self, request: Request<Body>, most: usize) -> Inbound {
        Inbound::new(request.into_body(), most, self.0.turns.clone())
    }

    /// What streams may cost.
    pub(crate) fn limits(&self) -> &Limits {
        &self.0.limits
    }

    pub(crate) fn directory(&self) -> &Arc<dyn Directory> {
        &self.0.directory
    }

    pub(crate) fn draining(&self) -> watch::Receiver<bool> {
        self.0.drain.subscribe()
    }

    /// A place among the streams, for a stream of another service.
    pub(crate) fn place(&self) -> Result<Arc<Place>, Status> {
        Open::count(&self.0, None).map(|open| open.place)
    }
}

impl Ads {
    /// What a proxy tells of itself.
    fn accept_answers(&self, request: Request<Body>) -> Result<Response<Body>, Status> {
        let identity = request.extensions().get::<Arc<Identity>>().cloned();
        let open = Open::count(&self.0, identity)?;
        let place = open.place.clone();
        let (outbound, messages) = mpsc::channel(OUTBOUND_MESSAGES);
        let inbound = self.inbound(request, answers::MESSAGE_BYTES_MAX);
        let drain = self.0.drain.subscribe();
        let limits = self.0.limits;
        let age = Age::of(open.stream, &limits, Instant::now());
        let bounds = answers::Bounds { limits, age };
        tokio::spawn(async move {
            let shared = &open.shared;
            let admit = |node: &Node| shared.admit(node, open.identity.as_deref()).map(|_| ());
            let tell = |node: &Node, answers| shared.directory.answered(node, answers);
            let ended = tokio::select! {
                ended = answers::listen(inbound, drain, bounds, admit, tell) => ended,
                status = open.identity_ends() => Err(status),
            };
            // When the client is gone already there is nobody to tell.
            let _ = outbound.send(ended.map(|()| Framed::new(&(), Bytes::new()))).await;
        });
        Ok(respond(messages, place))
    }
}

/// The answer to a stream: its messages, as they come. The stream counts until the client is rid
/// of it, and not only until the server is.
pub(crate) fn respond(
    messages: mpsc::Receiver<Result<Framed, Status>>,
    place: Arc<Place>,
) -> Response<Body> {
    let mut response = Response::new(Body::new(Outbound::new(messages, place)));
    let grpc = http::HeaderValue::from_static("application/grpc");
    response.headers_mut().insert(http::header::CONTENT_TYPE, grpc);
    response
}

/// A place among the streams that there may be, taken while it lives.
pub(crate) struct Place(Arc<Shared>);

/// An open stream.
pub(crate) struct Open {
    pub(crate) shared: Arc<Shared>,
    pub(crate) stream: StreamId,
    /// None: whoever connects in clear.
    pub(crate) identity: Option<Arc<Identity>>,
    place: Arc<Place>,
}

impl Open {
    fn count(shared: &Arc<Shared>, identity: Option<Arc<Identity>>) -> Result<Self, Status> {
        if *shared.drain.borrow() {
            metrics::stream_refused("draining");
            return Err(draining());
        }
        let streams = shared.streams.fetch_add(1, Ordering::AcqRel);
        let stream = shared.next_stream();
        metrics::stream_opened();
        let place = Arc::new(Place(shared.clone()));
        let open = Self { shared: shared.clone(), stream, identity, place };
        if streams >= shared.limits.streams {
            metrics::stream_refused("limit");
            return Err(Status::unavailable("too many streams"));
        }
        Ok(open)
    }

    async fn serve<T: Talk>(
        self,
        wait: Duration,
        mut wires: Wires,
        make: impl FnOnce(StreamId, Arc<Cache>, Limits, Instant) -> T,
    ) {
        if !wait.is_zero() {
            sleep(wait).await;
        }
        let outcome = self.converse(&mut wires, make).await;
        if let Err(status) = outcome {
            tracing::info!(stream = self.stream.0, %status, "discovery stream ended");
            // When the client is gone already there is nobody to tell.
            let _ = wires.outbound.send(Err(status)).await;
        }
    }

    /// The cache of a client that has told who it is.
    pub(crate) fn admit(&self, node: &Node) -> Result<Arc<Cache>, Status> {
        let cache = self.shared.admit(node, self.identity.as_deref())?;
        let (stream, group) = (self.stream.0, &node.cluster);
        tracing::info!(stream, node = node.id, group, "stream opened");
        Ok(cache)
    }

    async fn converse<T: Talk>(
        &self,
        wires: &mut Wires,
        make: impl FnOnce(StreamId, Arc<Cache>, Limits, Instant) -> T,
    ) -> Result<(), Status> {
        let Some(mut first) = wires.first::<T::Request>().await? else { return Ok(()) };
        let node = Arc::new(T::node(&mut first.request).map(Node::from).unwrap_or_default());
        let cache = self.admit(&node)?;
        let mut stream = self.stream;
        let outcome = tokio::select! {
            outcome = self.speak(wires, make, first, &node, cache, &mut stream) => outcome,
            status = self.identity_ends() => Err(status),
        };
        let _ = wires.events.send(Event::Closed { stream }).await;
        outcome
    }

    /// Speaks with a client until one of both goes; with each cache that it is served from as
    /// another `stream`.
    async fn speak<T: Talk>(
        &self,
        wires: &mut Wires,
        make: impl FnOnce(StreamId, Arc<Cache>, Limits, Instant) -> T,
        first: First<T::Request>,
        node: &Arc<Node>,
        mut cache: Arc<Cache>,
        stream: &mut StreamId,
    ) -> Result<(), Status> {
        wires.opens(*stream, node, &cache).await;
        let opened = tokio::select! {
            opened = wires.opened() => opened?,
            () = cache.recalled(*stream) => return Err(recalled()),
        };
        if !opened {
            return Ok(());
        }
        let mut talk = make(*stream, cache.clone(), self.shared.limits, Instant::now());
        let mut first = Some(first);
        while wires.run(&mut talk, first.take(), cache.recalled(*stream)).await? == Ended::Recalled
        {
            let there = self.admit(node)?;
            let (from, to) = (*stream, self.shared.next_stream());
            if Arc::ptr_eq(&cache, &there) || !talk.transfer(to, there.clone(), Instant::now()) {
                return Err(recalled());
            }
            let _ = wires.events.send(Event::Closed { stream: from }).await;
            (*stream, cache) = (to, there);
            wires.opens(to, node, &cache).await;
        }
        Ok(())
    }

    /// Waits until whoever is here may not be any more; whoever is not known may for ever.
    pub(crate) async fn identity_ends(&self) -> Status {
        match &self.identity {
            None => std::future::pending().await,
            Some(identity) => identity.ends(self.shared.revoked.subscribe()).await,
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.streams.fetch_sub(1, Ordering::AcqRel);
        metrics::stream_closed();
    }
}

impl NamedService for Ads {
    const NAME: &'static str = "envoy.service.discovery.v3.AggregatedDiscoveryService";
}

impl tower::Service<Request<Body>> for Ads {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if rest::is_poll(request.uri().path()) {
            return rest::answer(self.0.clone(), request).map(Ok).boxed();
        }
        ready(Ok(self.accept(request).unwrap_or_else(Status::into_http))).boxed()
    }
}
