//! One stream of a client that has no other (ADS): the socket's side of a protocol.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::unfold;
use futures::{Stream, StreamExt};
use model::Node;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep};
use tonic::Status;

use crate::age::Age;
use crate::alarm::rings_by;
use crate::cache::{Beat, Cache};
use crate::event::{Event, StreamId};
use crate::frames::Framed;
use crate::inbound::Inbound;
use crate::lane::Lane;
use crate::limits::Limits;
use crate::many::Trace;
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

    /// The list that these bytes begin with, if the client has said it before: it names the same again
    /// and again.
    fn knows(&self, _bytes: &[u8]) -> Option<Trace> {
        None
    }

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
                    let request = decode(word.bytes, |_| None)?;
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

    /// Speaks the protocol until either side ends the stream, or the client is recalled.
    pub(crate) async fn run<T: Talk>(
        &mut self,
        talk: &mut T,
        first: Option<First<T::Request>>,
        recall: impl Future<Output = ()>,
    ) -> Result<Ended, Status> {
        let Self { inbound, outbound, events, beat, drain, secrets, limits, age } = self;
        if let Some(first) = first {
            hear(secrets, talk, first.request)?;
        }
        // What is listened to is listened to for as long as this lasts. To begin anew at each word
        // would write to lists that thousands of streams share.
        let mut drained = pin!(drain.wait_for(|drain| *drain));
        let mut closed = pin!(outbound.closed());
        let mut beats = pin!(beats(beat));
        let mut recall = pin!(recall);
        let mut alarm = pin!(sleep(IDLE));
        // Until when a client that is recalled may be in the middle of something.
        let mut leaves_by: Option<Instant> = None;
        let mut requests = Meter::new(limits.requests, Instant::now());
        // Since when there is something to be said that the client does not read.
        let mut unread: Option<Instant> = None;
        // Something may have to be said; cleared when there was nothing.
        let mut pending = true;
        // When there was: what it waits for is what comes after, be it past by now.
        let mut asked = Instant::now();
        loop {
            for event in talk.events() {
                // Nobody listens any more when the process ends; the stream goes on to its own end.
                let _ = events.send(event).await;
            }
            let now = Instant::now();
            if let Some(ended) = ends(*age, now, leaves_by, !pending && talk.at_rest()) {
                return Ok(ended);
            }
            if inbound.is_large() {
                talk.hears(now);
            }
            unread = unread.filter(|_| pending);
            let look = match pending {
                true => *unread.get_or_insert(now) + limits.unread,
                false => next_look(talk, *age, leaves_by, asked),
            };
            rings_by(alarm.as_mut(), look);
            tokio::select! {
                biased;
                _ = &mut drained => return Err(draining()),
                message = inbound.next() => {
                    let Some(word) = message? else { return Ok(Ended::Gone) };
                    if !requests.take(Instant::now()) {
                        return Err(too_many_requests(limits));
                    }
                    hear_bytes(secrets, talk, word.bytes)?;
                    pending = true;
                }
                permit = outbound.reserve(), if pending => {
                    let Ok(permit) = permit else { return Ok(Ended::Gone) };
                    (unread, asked) = (None, Instant::now());
                    match talk.respond(asked)? {
                        Some((_, response)) => permit.send(Ok(response.into())),
                        None => pending = false,
                    }
                }
                beat = beats.next() => {
                    if beat.is_none() {
                        return Ok(Ended::Gone);
                    }
                    pending = true;
                }
                () = &mut recall, if leaves_by.is_none() => {
                    (leaves_by, pending) = (Some(Instant::now() + RECALL_PATIENCE), true);
                }
                () = &mut alarm => {
                    if unread.is_some_and(|since| Instant::now() >= since + limits.unread) {
                        return Err(ended("unread", not_reading(limits)));
                    }
                    pending = true;
                }
                () = &mut closed => return Ok(Ended::Gone),
            }
        }
    }
}

/// The beats of a cache, one after the other, until the cache is gone.
fn beats(beat: &mut watch::Receiver<Beat>) -> impl Stream<Item = ()> {
    unfold(beat, async |beat| beat.changed().await.ok().map(|()| ((), beat)))
}

/// How the stream ends now, if it is old or its client is to leave.
fn ends(age: Age, now: Instant, leaves_by: Option<Instant>, at_rest: bool) -> Option<Ended> {
    if age.is_over(now, at_rest) {
        metrics::stream_ended("age");
        return Some(Ended::Gone);
    }
    leaves_by.filter(|by| at_rest || now >= *by).map(|_| Ended::Recalled)
}

/// When a stream is looked at again on which nothing has happened since.
fn next_look(talk: &impl Talk, age: Age, leaves_by: Option<Instant>, since: Instant) -> Instant {
    let talk = talk.deadline(since).unwrap_or(since + IDLE);
    talk.min(age.next(since)).min(leaves_by.unwrap_or(since + IDLE))
}

fn hear_bytes<T: Talk>(secrets: &mut Secrets, talk: &mut T, bytes: Bytes) -> Result<(), Status> {
    let request = decode(bytes, |bytes| talk.knows(bytes))?;
    hear(secrets, talk, request)
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

pub(crate) fn decode<M: Request>(
    bytes: Bytes,
    known: impl Fn(&[u8]) -> Option<Trace>,
) -> Result<M, Status> {
    metrics::received(bytes.len());
    M::read(bytes, known)
        .map_err(|error| Status::invalid_argument(format!("not a request: {error}")))
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

#[cfg(test)]
mod tests {
    use http_body_util::StreamBody;
    use tonic::body::Body;

    use super::*;
    use crate::inbound::Inbound;
    use crate::turns::Turns;
    use crate::wire::{DeltaRequest, DeltaResponse};

    /// Has something to say a moment after it was asked first, and is so slow that this is past before
    /// anybody has waited for it.
    struct Slow(Option<Instant>);

    const MOMENT: Duration = Duration::from_millis(1);

    impl Talk for Slow {
        type Request = DeltaRequest;
        type Response = DeltaResponse;

        fn node(_: &mut DeltaRequest) -> Option<WireNode> {
            None
        }

        fn type_url(request: &mut DeltaRequest) -> &mut String {
            &mut request.type_url
        }

        fn request(&mut self, _: Lane, _: DeltaRequest, _: Instant) -> Result<(), Status> {
            Ok(())
        }

        fn withhold(&mut self, _: Lane, _: DeltaRequest) -> Result<(), Status> {
            Ok(())
        }

        fn left(&mut self, _: Lane, _: Instant) {}

        fn respond(&mut self, now: Instant) -> Result<Option<(Lane, DeltaResponse)>, Status> {
            let due = *self.0.get_or_insert(now + MOMENT);
            if now >= due {
                return Err(Status::ok("it has said it"));
            }
            while Instant::now() < due {
                std::hint::spin_loop();
            }
            Ok(None)
        }

        fn deadline(&self, now: Instant) -> Option<Instant> {
            self.0.filter(|due| *due > now)
        }

        fn at_rest(&self) -> bool {
            true
        }

        fn events(&mut self) -> Vec<Event> {
            Vec::new()
        }

        fn transfer(&mut self, _: StreamId, _: Arc<Cache>, _: Instant) -> bool {
            false
        }
    }

    #[tokio::test]
    async fn what_became_due_while_it_was_asked_is_not_forgotten() {
        let limits = Limits::default();
        let silence = StreamBody::new(futures::stream::pending::<Result<_, Status>>());
        let (outbound, _client) = mpsc::channel(1);
        let (events, _plane) = mpsc::channel(1);
        let (_cache, beat) = watch::channel(Beat::default());
        let (_server, drain) = watch::channel(false);
        let mut wires = Wires {
            inbound: Inbound::new(Body::new(silence), 1, Turns::new(&limits)),
            outbound,
            events,
            beat,
            drain,
            secrets: Secrets::to(false),
            limits,
            age: Age::of(StreamId(1), &limits, Instant::now()),
        };
        let mut slow = Slow(None);
        let said = wires.run(&mut slow, None, std::future::pending());
        let said =
            tokio::time::timeout(Duration::from_secs(10), said).await.expect("it is asked again");
        assert_eq!(said.unwrap_err().message(), "it has said it");
    }
}
