//! One stream of a conversation that nobody thought of. It does as it is told, and judges what it hears.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http_body_util::{BodyExt, StreamBody};
use model::type_urls::SECRET;
use prost::Message;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::body::Body;
use tonic::{Code, Status};
use tower::ServiceExt;
use xds::{Ads, Identity};

use crate::conversation::{type_of, whose};
use crate::wire::{self, DeltaRequest, DeltaResponse, Node, StateRequest, StateResponse};

/// What was heard: its type and nonce.
pub(crate) type Heard = (String, String);

/// What a stream has asked for of a type.
#[derive(Default)]
struct Asked {
    wild: bool,
    names: BTreeSet<String>,
}

pub(crate) struct Speaker {
    delta: bool,
    node: Node,
    known: bool,
    requests: Option<mpsc::UnboundedSender<Bytes>>,
    body: Option<Body>,
    buffer: BytesMut,
    heard: Vec<Heard>,
    /// So many of them are answered.
    taken: usize,
    nonces: BTreeSet<String>,
    asked: BTreeMap<String, Asked>,
    bodies: BTreeSet<Vec<u8>>,
    /// Whose it is, by its first message.
    group: Option<String>,
    greeted: bool,
    /// It has said nothing but what can be understood.
    tame: bool,
}

impl Speaker {
    /// Opens a stream, if there is such a method.
    pub(crate) async fn open(
        ads: &Ads,
        method: &str,
        (group, node): (&str, &str),
        known: bool,
    ) -> Option<Self> {
        let path = match method {
            "delta" => "discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources",
            "state" => "discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources",
            other => other,
        };
        let (sender, receiver) = mpsc::unbounded_channel::<Bytes>();
        let frames = UnboundedReceiverStream::new(receiver)
            .map(|chunk| Ok::<_, Status>(http_body::Frame::data(chunk)));
        let request = http::Request::post(format!("/envoy.service.{path}"));
        let mut request = request.body(Body::new(StreamBody::new(frames))).ok()?;
        if known {
            let (node, group, until) = (node.into(), group.into(), Instant::now() + YEAR);
            let identity = Identity { node, group, serial: "1".into(), until };
            request.extensions_mut().insert(Arc::new(identity));
        }
        let response = ads.clone().oneshot(request).await.unwrap();
        if response.headers().contains_key("grpc-status") {
            // No such method.
            return None;
        }
        Some(Self {
            delta: path.contains("/Delta"),
            node: Node { id: node.into(), cluster: group.into() },
            known,
            requests: Some(sender),
            body: Some(response.into_body()),
            buffer: BytesMut::new(),
            heard: Vec::new(),
            taken: 0,
            nonces: BTreeSet::new(),
            asked: BTreeMap::new(),
            bodies: BTreeSet::new(),
            group: None,
            greeted: false,
            tame: true,
        })
    }

    pub(crate) fn is_tame(&self) -> bool {
        self.tame
    }

    pub(crate) fn is_over(&self) -> bool {
        self.body.is_none()
    }

    /// All resources that it was ever given.
    pub(crate) fn bodies(&self) -> &BTreeSet<Vec<u8>> {
        &self.bodies
    }

    pub(crate) fn first(&self) -> Option<Heard> {
        self.heard.first().cloned()
    }

    pub(crate) fn last(&self) -> Option<Heard> {
        self.heard.last().cloned()
    }

    pub(crate) fn end(&mut self) {
        self.requests = None;
    }

    /// Says a message that may be none.
    pub(crate) fn say(&mut self, message: &[u8]) {
        self.tame = false;
        self.utter(message);
    }

    fn utter(&mut self, message: &[u8]) {
        if !std::mem::replace(&mut self.greeted, true) {
            let node = match self.delta {
                true => DeltaRequest::decode(message).ok().map(|it| it.node),
                false => StateRequest::decode(message).ok().map(|it| it.node),
            };
            self.group = node.map(|node| node.unwrap_or_default().cluster);
        }
        let mut frame = BytesMut::with_capacity(message.len() + 5);
        frame.put_u8(0);
        frame.put_u32(message.len() as u32);
        frame.put_slice(message);
        // Half of it, and then the rest.
        let rest = frame.split_off(frame.len() / 2);
        for part in [frame, rest] {
            let _ = self.requests.as_ref().map(|requests| requests.send(part.freeze()));
        }
    }

    /// Asks for names of a type; `-NAME` no more, `NAME=VERSION` as one that it has.
    pub(crate) fn ask(&mut self, kind: &str, names: &[&str]) {
        let type_url = type_of(kind).to_owned();
        let is_first = !self.asked.contains_key(&type_url);
        let asked = self.asked.entry(type_url.clone()).or_default();
        asked.wild |= is_first && names.iter().all(|name| name.starts_with('-'));
        let mut request = DeltaRequest { type_url, ..DeltaRequest::default() };
        for name in names {
            if let Some(name) = name.strip_prefix('-') {
                asked.names.remove(name);
                asked.wild &= name != "*";
                request.resource_names_unsubscribe.push(name.to_owned());
                continue;
            }
            let (name, version) = name.split_once('=').map_or((*name, None), |(n, v)| (n, Some(v)));
            let held = version.map(|version| (name.to_owned(), version.to_owned()));
            request.initial_resource_versions.extend(held);
            asked.wild |= name == "*";
            asked.names.insert(name.to_owned());
            request.resource_names_subscribe.push(name.to_owned());
        }
        self.request(request);
    }

    /// Acknowledges all that it has not answered yet.
    pub(crate) fn take(&mut self) {
        for heard in self.heard.split_off(self.taken) {
            self.heard.push(heard.clone());
            self.answer(Some(heard), None);
        }
        self.taken = self.heard.len();
    }

    pub(crate) fn refuse(&mut self) {
        self.answer(self.last(), Some("no"));
        self.taken = self.heard.len();
    }

    /// Answers what it has heard, if it has.
    pub(crate) fn answer(&mut self, heard: Option<Heard>, refusal: Option<&str>) {
        let Some((type_url, response_nonce)) = heard else { return };
        let error_detail = refusal.map(|why| wire::Status { code: 3, message: why.to_owned() });
        self.request(DeltaRequest { type_url, response_nonce, error_detail, ..Default::default() });
    }

    fn request(&mut self, mut request: DeltaRequest) {
        request.node = (!self.greeted).then(|| self.node.clone());
        if self.delta {
            return self.utter(&request.encode_to_vec());
        }
        // All that it wants, each time.
        let asked = self.asked.get(&request.type_url);
        let version = request.initial_resource_versions.into_values().next();
        let request = StateRequest {
            version_info: version.unwrap_or_default(),
            node: request.node,
            resource_names: asked.map(|it| it.names.iter().cloned().collect()).unwrap_or_default(),
            type_url: request.type_url,
            response_nonce: request.response_nonce,
            error_detail: request.error_detail,
        };
        self.utter(&request.encode_to_vec());
    }

    /// Hears all that is said now; how many responses that was.
    pub(crate) async fn hear(&mut self) -> usize {
        let mut heard = 0;
        while let Some(body) = &mut self.body {
            // The clock is paused: time passes only when nobody has anything left to do.
            let Ok(frame) = timeout(Duration::from_millis(1), body.frame()).await else { break };
            let frame = frame.map(|frame| frame.expect("frames come whole"));
            match frame.map(http_body::Frame::into_data) {
                Some(Ok(data)) => self.buffer.extend_from_slice(&data),
                Some(Err(trailers)) => self.ended(trailers.trailers_ref()),
                None => self.body = None,
            }
            while let Some(message) = self.unframe() {
                heard += 1;
                assert!(heard < 1_000, "there is no end of answers");
                match self.delta {
                    true => self.judge_delta(&message),
                    false => self.judge_state(&message),
                }
            }
        }
        heard
    }

    fn unframe(&mut self) -> Option<Bytes> {
        let head = self.buffer.first_chunk::<5>()?;
        let len = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
        (self.buffer.len() >= len + 5).then(|| {
            self.buffer.advance(5);
            self.buffer.split_to(len).freeze()
        })
    }

    /// A stream ends because its client does, or with a reason that is the client's.
    fn ended(&mut self, trailers: Option<&http::HeaderMap>) {
        assert!(self.buffer.is_empty(), "ended within a message");
        let status = Status::from_header_map(trailers.expect("trailers")).expect("a status");
        let is_ours = matches!(status.code(), Code::Ok | Code::Internal | Code::Unknown)
            || status.message().contains("going away");
        assert!(!is_ours || self.requests.is_none(), "ended by itself: {status}");
        self.body = None;
    }

    fn judge_delta(&mut self, message: &[u8]) {
        let response = DeltaResponse::decode(message).expect("a response");
        let mut names: Vec<&str> = response.resources.iter().map(|it| it.name.as_str()).collect();
        for resource in &response.resources {
            let any = resource.resource.as_ref().expect("a body");
            assert_eq!(any.type_url, response.type_url);
            let told = whose(&any.value).map(|(.., name)| name);
            assert!(told.is_none_or(|name| name == resource.name), "{resource:?}");
            self.judge(&any.type_url, &any.value, Some(&resource.name));
            self.bodies.insert(any.value.clone());
        }
        names.extend(response.removed_resources.iter().map(String::as_str));
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all, "a name twice in a response");
        self.note(response.type_url, response.nonce);
    }

    fn judge_state(&mut self, message: &[u8]) {
        let response = StateResponse::decode(message).expect("a response");
        let mut told = BTreeSet::new();
        for any in &response.resources {
            assert_eq!(any.type_url, response.type_url);
            let name = whose(&any.value).map(|(.., name)| name.to_owned());
            self.judge(&any.type_url, &any.value, name.as_deref());
            assert!(name.is_none_or(|name| told.insert(name)), "a name twice in a response");
            self.bodies.insert(any.value.clone());
        }
        self.note(response.type_url, response.nonce);
    }

    fn judge(&self, type_url: &str, body: &[u8], name: Option<&str>) {
        if let Some((group, kind, _)) = whose(body) {
            assert_eq!(Some(group), self.group.as_deref(), "another group's: {name:?}");
            assert_eq!(kind, type_url, "another type's");
            assert!(kind != SECRET || self.known, "a secret was given in clear");
        }
        let is_asked = self
            .asked
            .get(type_url)
            .is_some_and(|asked| asked.wild || name.is_none_or(|name| asked.names.contains(name)));
        assert!(is_asked || !self.tame, "unasked: {type_url} {name:?}");
    }

    fn note(&mut self, type_url: String, nonce: String) {
        assert!(self.nonces.insert(nonce.clone()), "a nonce twice: {nonce}");
        self.heard.push((type_url, nonce));
    }
}

const YEAR: Duration = Duration::from_hours(24 * 365);
