//! One stream of a client that has no other (ADS): the socket's side of a protocol.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use model::Node;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until};
use tonic::Status;

use crate::age::Age;
use crate::cache::{Beat, Cache};
use crate::event::{Event, StreamId};
use crate::frames::Framed;
use crate::inbound::Inbound;
use crate::lane::Lane;
use crate::limits::Limits;
use crate::metrics;
use crate::rate::{Meter, Rate};
use crate::secrets::Secrets;
use crate::turns::Turn;
use crate::wire::{Request, WireNode};

/// A client that is recalled may finish what it is at for so long.
pub(crate) const RECALL_PATIENCE: Duration = Duration::from_secs(1);
/// How long nothing at all has to be looked at.
pub(crate) const IDLE: Duration = Duration::from_secs(3600);

/// A protocol without its sockets.
pub(crate) trait Talk: Send + 'static {
    type Request: Request;
    type Response: Into<Framed> + Send;

    /// Who the client says it is; only the first request is sure to tell.
    fn node(request: &mut Self::Request) -> Option<WireNode>;

    /// The type that a request is about.
    fn type_url(request: &mut Self::Request) -> &mut String;

    /// The client said something. An error ends the lane.
    fn request(&mut self, lane: Lane, request: Self::Request, now: Instant) -> Result<(), Status>;

    /// The client asked for what it is not given: names are answered as those of nothing, where the
    /// protocol has an answer.
    fn withhold(&mut self, lane: Lane, request: Self::Request) -> Result<(), Status>;

    /// The client is in the middle of saying something long.
    fn hears(&mut self, _now: Instant) {}

    /// The client has ended a lane.
    fn left(&mut self, lane: Lane, now: Instant);

    /// What to say next, and where; asked again until there is nothing. An error ends all lanes.
    fn respond(&mut self, now: Instant) -> Result<Option<(Lane, Self::Response)>, Status>;

    /// When to ask again although nothing happens: the first moment after `now` that matters.
    fn deadline(&self, now: Instant) -> Option<Instant>;

    /// Whether nothing that was begun is outstanding.
    fn at_rest(&self) -> bool;

    /// What happened since it was asked last.
    fn events(&mut self) -> Vec<Event>;

    /// Goes on as the conversation of this stream with another cache. `false`: the client must come
    /// back for that.
    fn transfer(&mut self, stream: StreamId, cache: Arc<Cache>, now: Instant) -> bool;
}

/// How a conversation ended well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Somebody is gone.
    Gone,
    /// The client is to be served from elsewhere, and nothing that was begun is outstanding.
    Recalled,
}

/// A client's first message, and the turn in which it came, kept until it is taken in.
pub(crate) struct First<M> {
    pub(crate) request: M,
    pub(crate) turn: Option<Turn>,
}

/// What connects a protocol to the rest of the world.
pub(crate) struct Wires {
    pub(crate) inbound: Inbound,
    pub(crate) outbound: mpsc::Sender<Result<Framed, Status>>,
    pub(crate) events: mpsc::Sender<Event>,
    pub(crate) beat: watch::Receiver<Beat>,
    pub(crate) drain: watch::Receiver<bool>,
    pub(crate) secrets: Secrets,
    pub(crate) limits: Limits,
    pub(crate) age: Age,
}

impl Wires {
    /// The client's first message; `None` when it went without.
    pub(crate) async fn first<M: Request>(&mut self) -> Result<Option<First<M>>, Status> {
        let mut patience = pin!(sleep(self.limits.greeting));
        loop {
            tokio::select! {
                word = self.inbound.next() => {
                    let Some(word) = word? else { return Ok(None) };
                    let request = decode(word.bytes)?;
                    return Ok(Some(First { request, turn: word.turn }));
                }
                () = &mut patience, if !patience.is_elapsed() => {
                    // Whoever has begun and waits for its turn is not mute.
                    if !self.inbound.is_large() {
                        return Err(ended("greeting", mute()));
                    }
                }
                () = self.outbound.closed() => return Ok(None),
                _ = self.drain.wait_for(|drain| *drain) => return Err(draining()),
            }
        }
    }

    /// From now on the client is served from this cache, as this stream.
    pub(crate) async fn opens(&mut self, stream: StreamId, node: &Arc<Node>, cache: &Cache) {
        let (node, early) = (node.clone(), cache.is_fork());
        let _ = self.events.send(Event::Opened { stream, node, early }).await;
        self.beat = cache.listen();
    }

    /// Waits until the cache may be served; `false` when the client or the server went first.
    pub(crate) async fn opened(&mut self) -> Result<bool, Status> {
        tokio::select! {
            open = self.beat.wait_for(|beat| beat.open) => Ok(open.is_ok()),
            () = self.outbound.closed() => Ok(false),
            _ = self.drain.wait_for(|drain| *drain) => Err(draining()),
        }
    }

    /// How the stream ends now, if it is old or its client is to leave.
    fn ends(&self, now: Instant, leaves_by: Option<Instant>, at_rest: bool) -> Option<Ended> {
        if self.age.is_over(now, at_rest) {
            metrics::stream_ended("age");
            return Some(Ended::Gone);
        }
        leaves_by.filter(|by| at_rest || now >= *by).map(|_| Ended::Recalled)
    }

    /// Speaks the protocol until either side ends the stream, or the client is recalled.
    pub(crate) async fn run<T: Talk>(
        &mut self,
        talk: &mut T,
        first: Option<First<T::Request>>,
        recall: impl Future<Output = ()>,
    ) -> Result<Ended, Status> {
        if let Some(first) = first {
            hear(&mut self.secrets, talk, first.request)?;
        }
        tokio::pin!(recall);
        // Until when a client that is recalled may be in the middle of something.
        let mut leaves_by: Option<Instant> = None;
        let mut requests = Meter::new(self.limits.requests, Instant::now());
        // Since when there is something to be said that the client does not read.
        let mut unread: Option<Instant> = None;
        // Something may have to be said; cleared when there was nothing.
        let mut pending = true;
        loop {
            for event in talk.events() {
                // Nobody listens any more when the process ends; the stream goes on to its own end.
                let _ = self.events.send(event).await;
            }
            let now = Instant::now();
            if let Some(ended) = self.ends(now, leaves_by, !pending && talk.at_rest()) {
                return Ok(ended);
            }
            if self.inbound.is_large() {
                talk.hears(now);
            }
            let deadline = talk.deadline(now).unwrap_or(now + IDLE).min(self.age.next(now));
            let deadline = leaves_by.map_or(deadline, |by| by.min(deadline));
            if !pending {
                unread = None;
            }
            let patience = *unread.get_or_insert(now) + self.limits.unread;
            tokio::select! {
                biased;
                _ = self.drain.wait_for(|drain| *drain) => return Err(draining()),
                message = self.inbound.next() => {
                    let Some(word) = message? else { return Ok(Ended::Gone) };
                    if !requests.take(Instant::now()) {
                        return Err(too_many_requests(&self.limits));
                    }
                    hear(&mut self.secrets, talk, decode(word.bytes)?)?;
                    pending = true;
                }
                permit = self.outbound.reserve(), if pending => {
                    let Ok(permit) = permit else { return Ok(Ended::Gone) };
                    unread = None;
                    match talk.respond(Instant::now())? {
                        Some((_, response)) => permit.send(Ok(response.into())),
                        None => pending = false,
                    }
                }
                () = sleep_until(patience), if pending => {
                    return Err(ended("unread", not_reading(&self.limits)));
                }
                changed = self.beat.changed() => {
                    if changed.is_err() {
                        return Ok(Ended::Gone);
                    }
                    pending = true;
                }
                () = &mut recall, if leaves_by.is_none() => {
                    (leaves_by, pending) = (Some(Instant::now() + RECALL_PATIENCE), true);
                }
                () = sleep_until(deadline), if !pending => pending = true,
                () = self.outbound.closed() => return Ok(Ended::Gone),
            }
        }
    }
}

fn hear<T: Talk>(
    secrets: &mut Secrets,
    talk: &mut T,
    mut request: T::Request,
) -> Result<(), Status> {
    if secrets.withholds(T::type_url(&mut request)) {
        return talk.withhold(Lane::ONLY, request);
    }
    talk.request(Lane::ONLY, request, Instant::now())
}

pub(crate) fn decode<M: Request>(bytes: Bytes) -> Result<M, Status> {
    metrics::received(bytes.len());
    M::read(bytes).map_err(|error| Status::invalid_argument(format!("not a request: {error}")))
}

pub(crate) fn recalled() -> Status {
    Status::unavailable("come back, and say what you have: you are served from elsewhere now")
}

/// Counts that a stream is ended for what its client does.
fn ended(reason: &'static str, status: Status) -> Status {
    metrics::stream_ended(reason);
    status
}

pub(crate) fn mute() -> Status {
    Status::deadline_exceeded("a client that opens a stream says soon what it wants")
}

pub(crate) fn too_many_requests(limits: &Limits) -> Status {
    metrics::stream_ended("requests");
    let Rate { per_second, burst } = limits.requests;
    Status::resource_exhausted(format!(
        "too many requests: a stream may send {burst} at once, and {per_second} a second"
    ))
}

fn not_reading(limits: &Limits) -> Status {
    let seconds = limits.unread.as_secs();
    Status::deadline_exceeded(format!("nothing was read of this stream for {seconds} s"))
}

pub(crate) fn draining() -> Status {
    Status::unavailable("the server is going away")
}
