//! Envoy's own statistics (`envoy.service.metrics.v3.MetricsService`): of all that a proxy tells,
//! what its clients were answered.
//!
//! Counters are to be reported as deltas. A proxy tells of itself only, by the node of its first
//! message.

use std::pin::pin;
use std::sync::Arc;

use model::Node;
use prost::Message;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tonic::Status;

use crate::age::Age;
use crate::inbound::Inbound;
use crate::limits::Limits;
use crate::rate::Meter;
use crate::stream::{draining, mute, too_many_requests};
use crate::wire::WireNode;

/// The service's only method.
pub(crate) const METHOD: &str = "/envoy.service.metrics.v3.MetricsService/StreamMetrics";
/// The largest message. The bootstrap that we make has Envoy tell of a hundred statistics.
pub(crate) const MESSAGE_BYTES_MAX: usize = 4 << 20;

/// Requests, by what they were answered with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Answers {
    /// All.
    pub requests: u64,
    /// With 400 to 499.
    pub refused: u64,
    /// With 500 or above.
    pub failed: u64,
}

impl Answers {
    /// Requests, refused and failed ones, to be told.
    pub fn into_parts(self) -> (u64, u64, u64) {
        (self.requests, self.refused, self.failed)
    }

    /// What was told.
    pub fn from_parts((requests, refused, failed): (u64, u64, u64)) -> Self {
        Self { requests, refused, failed }
    }

    /// What came since an earlier count.
    #[must_use]
    pub fn less(self, earlier: Self) -> Self {
        Self {
            requests: self.requests.saturating_sub(earlier.requests),
            refused: self.refused.saturating_sub(earlier.refused),
            failed: self.failed.saturating_sub(earlier.failed),
        }
    }
}

/// What a client may cost that tells of itself.
pub(crate) struct Bounds {
    pub(crate) limits: Limits,
    pub(crate) age: Age,
}

/// Takes in what a proxy tells until it ends, or has become old. `admit` is asked of its node, once.
pub(crate) async fn listen(
    mut inbound: Inbound,
    mut drain: watch::Receiver<bool>,
    bounds: Bounds,
    admit: impl Fn(&Node) -> Result<(), Status>,
    tell: impl Fn(&Node, Answers),
) -> Result<(), Status> {
    let Bounds { limits, age } = bounds;
    let mut greeting = pin!(sleep(limits.greeting));
    let mut aged = pin!(age.comes());
    let mut messages = Meter::new(limits.requests, Instant::now());
    let mut node: Option<Arc<Node>> = None;
    loop {
        let message = tokio::select! {
            message = inbound.next() => message?,
            _ = drain.wait_for(|drain| *drain) => return Err(draining()),
            () = &mut greeting, if node.is_none() => return Err(mute()),
            () = &mut aged => return Ok(()),
        };
        let Some(word) = message else { return Ok(()) };
        if !messages.take(Instant::now()) {
            return Err(too_many_requests(&limits));
        }
        let told = Told::decode(word.bytes)
            .map_err(|error| Status::invalid_argument(format!("not a message: {error}")))?;
        let known = match (&node, told.identifier.and_then(|it| it.node)) {
            (Some(node), _) => node.clone(),
            (None, Some(first)) => {
                let first = Arc::new(Node::from(first));
                admit(&first)?;
                node.insert(first).clone()
            }
            (None, None) => {
                return Err(Status::invalid_argument("the first message names no node"));
            }
        };
        let answers = count(&told.families);
        if answers.requests > 0 {
            tell(&known, answers);
        }
    }
}

/// Of all connection managers but that of Envoy's own administration.
fn count(families: &[Family]) -> Answers {
    let mut answers = Answers::default();
    for family in families {
        let Some(class) = class(&family.name) else { continue };
        let counters = family.metrics.iter().filter_map(|metric| metric.counter.as_ref());
        // What is no number of requests counts for nothing.
        let count = counters.map(|counter| counter.value.max(0.0) as u64).sum::<u64>();
        answers.requests = answers.requests.saturating_add(count);
        match class {
            4 => answers.refused = answers.refused.saturating_add(count),
            5 => answers.failed = answers.failed.saturating_add(count),
            _ => {}
        }
    }
    answers
}

/// The class of answers that a statistic is about: 5 of `http.public.downstream_rq_5xx`.
fn class(name: &str) -> Option<u32> {
    let rest = name.strip_prefix("http.").filter(|rest| !rest.starts_with("admin."))?;
    let (_, class) = rest.rsplit_once(".downstream_rq_")?;
    class.strip_suffix("xx")?.parse().ok()
}

#[derive(Clone, PartialEq, Message)]
struct Told {
    #[prost(message, optional, tag = "1")]
    identifier: Option<Identifier>,
    #[prost(message, repeated, tag = "2")]
    families: Vec<Family>,
}

#[derive(Clone, PartialEq, Message)]
struct Identifier {
    #[prost(message, optional, tag = "1")]
    node: Option<WireNode>,
}

/// `io.prometheus.client.MetricFamily`, as far as it is read.
#[derive(Clone, PartialEq, Message)]
struct Family {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, repeated, tag = "4")]
    metrics: Vec<Metric>,
}

#[derive(Clone, PartialEq, Message)]
struct Metric {
    #[prost(message, optional, tag = "3")]
    counter: Option<Counter>,
}

#[derive(Clone, PartialEq, Message)]
struct Counter {
    #[prost(double, tag = "1")]
    value: f64,
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Duration;

    use bytes::{BufMut, Bytes, BytesMut};
    use futures::StreamExt;
    use http_body::Frame;
    use http_body_util::StreamBody;

    use super::*;
    use crate::event::StreamId;
    use crate::rate::Rate;
    use crate::turns::Turns;

    fn family(name: &str, value: f64) -> Family {
        let metrics = vec![Metric { counter: Some(Counter { value }) }];
        Family { name: name.to_owned(), metrics }
    }

    fn told(node: Option<&str>, families: &[(&str, f64)]) -> Told {
        let node = node.map(|id| {
            let mut node = WireNode::default();
            node.id = id.to_owned();
            node
        });
        let families = families.iter().map(|(name, value)| family(name, *value)).collect();
        Told { identifier: node.map(|node| Identifier { node: Some(node) }), families }
    }

    fn framed(messages: &[Told]) -> Bytes {
        let mut bytes = BytesMut::new();
        for message in messages {
            bytes.put_u8(0);
            bytes.put_u32(message.encoded_len() as u32);
            message.encode(&mut bytes).unwrap();
        }
        bytes.freeze()
    }

    /// What is told of a stream that says this, and how it ends.
    async fn heard_of<B>(body: B, limits: Limits) -> (Vec<(String, Answers)>, Result<(), Status>)
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<tonic::codegen::StdError>,
    {
        let heard = Mutex::new(Vec::new());
        let admit = |node: &Node| match node.id.as_str() {
            "stranger" => Err(Status::permission_denied("who?")),
            _ => Ok(()),
        };
        let tell = |node: &Node, answers| heard.lock().unwrap().push((node.id.clone(), answers));
        let body = tonic::body::Body::new(body);
        let inbound = Inbound::new(body, MESSAGE_BYTES_MAX, Turns::new(&limits));
        let drain = watch::Sender::new(false);
        let bounds = Bounds { limits, age: Age::of(StreamId(1), &limits, Instant::now()) };
        let end = listen(inbound, drain.subscribe(), bounds, admit, tell).await;
        (heard.into_inner().unwrap(), end)
    }

    /// What is told of these messages, and how the stream ends.
    async fn heard(messages: &[Told]) -> (Vec<(String, Answers)>, Result<(), Status>) {
        heard_of(http_body_util::Full::new(framed(messages)), Limits::default()).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_says_soon_whose_it_is_and_not_too_much_and_ends() {
        let requests = Rate { per_second: 1, burst: 2 };
        let limits = Limits { age: Duration::from_secs(600), requests, ..Limits::default() };
        let one = told(Some("p1"), &[("http.a.downstream_rq_5xx", 1.0)]);
        for (messages, told, code) in [
            (0, 0, Some(tonic::Code::DeadlineExceeded)),
            (2, 2, None),
            (3, 2, Some(tonic::Code::ResourceExhausted)),
        ] {
            // And then it stays, and says nothing.
            let said = framed(&vec![one.clone(); messages]);
            let said = futures::stream::iter([Ok::<_, Status>(Frame::data(said))]);
            let body = StreamBody::new(said.chain(futures::stream::pending()));
            let (heard, end) = heard_of(body, limits).await;
            assert_eq!((heard.len(), end.err().map(|it| it.code())), (told, code), "{messages}");
        }
    }

    #[tokio::test]
    async fn answers_are_counted_and_nothing_else() {
        let (heard, end) = heard(&[
            told(
                Some("p1"),
                &[
                    ("http.public.downstream_rq_2xx", 7.0),
                    ("http.public.downstream_rq_4xx", 2.0),
                    ("http.internal.downstream_rq_5xx", 1.0),
                    ("http.public.downstream_rq_total", 99.0),
                    ("http.admin.downstream_rq_5xx", 99.0),
                    ("listener.x.http.public.downstream_rq_5xx", 99.0),
                    ("http.public.downstream_rq_3xx", f64::NAN),
                    ("http.public.downstream_rq_1xx", -1.0),
                ],
            ),
            told(None, &[("http.public.downstream_rq_2xx", 0.0)]),
            told(Some("p2"), &[("http.public.downstream_rq_5xx", 3.0)]),
        ])
        .await;
        let all = [
            ("p1".to_owned(), Answers { requests: 10, refused: 2, failed: 1 }),
            ("p1".to_owned(), Answers { requests: 3, refused: 0, failed: 3 }),
        ];
        assert_eq!(heard, all, "a stream is of the node that it began with");
        assert!(end.is_ok());
    }

    #[tokio::test]
    async fn who_is_nobody_or_not_let_in_tells_nothing() {
        for (first, code) in [
            (None, tonic::Code::InvalidArgument),
            (Some("stranger"), tonic::Code::PermissionDenied),
        ] {
            let (heard, end) = heard(&[told(first, &[("http.a.downstream_rq_5xx", 1.0)])]).await;
            assert_eq!((heard.len(), end.unwrap_err().code()), (0, code));
        }
    }
}
