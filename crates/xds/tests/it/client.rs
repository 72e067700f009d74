//! A delta client that does exactly what the test says.

use std::marker::PhantomData;

use model::Version;
use prost::Message;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::Channel;
use tonic::{Status, Streaming};

use crate::script::Speaker;
use crate::server::{PATIENCE, Server};
use crate::wire::{self, DeltaRequest, DeltaResponse, Node};

/// A type nobody has resources of: asking for it shows that all before was said.
const PING: &str = "type.googleapis.com/test.Ping";

/// Protobuf in gRPC's frames.
pub(crate) struct Proto<S, R>(PhantomData<(S, R)>);

impl<S, R> Default for Proto<S, R> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<S: Message + 'static, R: Message + Default + 'static> Codec for Proto<S, R> {
    type Encode = S;
    type Decode = R;
    type Encoder = Self;
    type Decoder = Self;
    fn encoder(&mut self) -> Self {
        Self::default()
    }
    fn decoder(&mut self) -> Self {
        Self::default()
    }
}

impl<S: Message, R> Encoder for Proto<S, R> {
    type Item = S;
    type Error = Status;
    fn encode(&mut self, item: S, buf: &mut EncodeBuf<'_>) -> Result<(), Status> {
        item.encode(buf).map_err(|error| Status::internal(error.to_string()))
    }
}

impl<S, R: Message + Default> Decoder for Proto<S, R> {
    type Item = R;
    type Error = Status;
    fn decode(&mut self, buf: &mut DecodeBuf<'_>) -> Result<Option<R>, Status> {
        R::decode(buf).map(Some).map_err(|error| Status::internal(error.to_string()))
    }
}

/// Opens a stream to a method of the aggregated service.
pub(crate) async fn open<S, R>(
    address: &str,
    method: &str,
) -> Result<(mpsc::Sender<S>, Streaming<R>), Status>
where
    S: Message + 'static,
    R: Message + Default + 'static,
{
    open_at(address, method).await
}

/// Opens a stream to a method of a service of `envoy.service`.
pub(crate) async fn open_at<S, R>(
    address: &str,
    method: &str,
) -> Result<(mpsc::Sender<S>, Streaming<R>), Status>
where
    S: Message + 'static,
    R: Message + Default + 'static,
{
    let channel = Channel::from_shared(address.to_owned()).unwrap().connect().await.unwrap();
    open_over(channel, method).await
}

/// The same over a connection that is there.
pub(crate) async fn open_over<S, R>(
    channel: Channel,
    method: &str,
) -> Result<(mpsc::Sender<S>, Streaming<R>), Status>
where
    S: Message + 'static,
    R: Message + Default + 'static,
{
    let mut grpc = tonic::client::Grpc::new(channel).max_decoding_message_size(64 << 20);
    grpc.ready().await.unwrap();
    let (sender, receiver) = mpsc::channel(64);
    let path = match method.contains('/') {
        true => format!("/envoy.service.{method}"),
        false => format!("/envoy.service.discovery.v3.AggregatedDiscoveryService/{method}"),
    };
    let request = tonic::Request::new(ReceiverStream::new(receiver));
    let path = path.parse().unwrap();
    let response = grpc.streaming(request, path, Proto::<S, R>::default()).await?;
    Ok((sender, response.into_inner()))
}

pub(crate) struct Delta {
    requests: mpsc::Sender<DeltaRequest>,
    responses: Streaming<DeltaResponse>,
    greeted: bool,
    pings: usize,
}

impl Delta {
    pub(crate) async fn connect(server: &Server) -> Self {
        Self::try_connect(server).await.expect("a stream")
    }

    pub(crate) async fn try_connect(server: &Server) -> Result<Self, Status> {
        let (requests, responses) = open(&server.address, "DeltaAggregatedResources").await?;
        Ok(Self { requests, responses, greeted: false, pings: 0 })
    }

    /// Over a connection that is there.
    pub(crate) async fn over(channel: Channel) -> Result<Self, Status> {
        let (requests, responses) = open_over(channel, "DeltaAggregatedResources").await?;
        Ok(Self { requests, responses, greeted: false, pings: 0 })
    }

    pub(crate) async fn send(&mut self, mut request: DeltaRequest) {
        if !std::mem::replace(&mut self.greeted, true) && request.node.is_none() {
            request.node = Some(Node { id: "envoy-1".into(), cluster: "edge".into() });
        }
        self.requests.send(request).await.expect("the stream is open");
    }

    /// Asks, if the stream still goes on.
    pub(crate) async fn try_ask(&mut self, type_url: &str, names: &[&str]) -> bool {
        let request = DeltaRequest {
            node: Some(Node { id: "envoy-1".into(), cluster: "edge".into() }),
            type_url: type_url.into(),
            resource_names_subscribe: strings(names),
            ..Default::default()
        };
        self.requests.send(request).await.is_ok()
    }

    pub(crate) async fn ask(&mut self, type_url: &str, names: &[&str]) {
        self.send(DeltaRequest {
            type_url: type_url.into(),
            resource_names_subscribe: strings(names),
            ..Default::default()
        })
        .await;
    }

    /// Comes back holding `(name, version)`s.
    pub(crate) async fn resume(&mut self, type_url: &str, names: &[&str], held: &[(&str, &str)]) {
        let held = held.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        self.send(DeltaRequest {
            type_url: type_url.into(),
            resource_names_subscribe: strings(names),
            initial_resource_versions: held,
            ..Default::default()
        })
        .await;
    }

    pub(crate) async fn answer(&mut self, response: &DeltaResponse, refusal: Option<&str>) {
        self.send(DeltaRequest {
            type_url: response.type_url.clone(),
            response_nonce: response.nonce.clone(),
            error_detail: refusal.map(|message| wire::Status { code: 13, message: message.into() }),
            ..Default::default()
        })
        .await;
    }

    pub(crate) async fn ack(&mut self, response: &DeltaResponse) {
        self.answer(response, None).await;
    }

    pub(crate) async fn nack(&mut self, response: &DeltaResponse, message: &str) {
        self.answer(response, Some(message)).await;
    }

    /// The next response, or how the stream ended.
    pub(crate) async fn hear(&mut self) -> Result<Option<DeltaResponse>, Status> {
        tokio::time::timeout(PATIENCE, self.responses.message()).await.expect("an answer comes")
    }

    /// The next response.
    pub(crate) async fn next(&mut self) -> DeltaResponse {
        let response = self.hear().await.expect("no error").expect("the stream goes on");
        let mut names: Vec<&str> = response.resources.iter().map(|r| r.name.as_str()).collect();
        names.extend(response.removed_resources.iter().map(String::as_str));
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all, "a name is never twice in a response");
        for resource in &response.resources {
            let any = resource.resource.as_ref().expect("a body");
            assert_eq!(any.type_url, response.type_url);
        }
        response
    }

    /// The next response, acknowledged: its type, and its names (`-name` when removed), sorted.
    pub(crate) async fn take(&mut self) -> (String, Vec<String>) {
        let response = self.next().await;
        self.ack(&response).await;
        (response.type_url.clone(), names(&response))
    }

    /// The next response, acknowledged, which must be of this type with these names.
    pub(crate) async fn expect(&mut self, type_url: &str, names: &[&str]) {
        let (kind, found) = self.take().await;
        assert_eq!((kind.as_str(), found), (type_url, strings(names)));
    }

    /// All that the server says unasked before it answers a question asked now.
    pub(crate) async fn rest(&mut self) -> Vec<DeltaResponse> {
        self.pings += 1;
        let name = format!("ping-{}", self.pings);
        self.ask(PING, &[&name]).await;
        let mut rest = Vec::new();
        loop {
            let response = self.next().await;
            if response.type_url == PING {
                self.ack(&response).await;
                return rest;
            }
            rest.push(response);
        }
    }

    /// The server has nothing to say.
    pub(crate) async fn quiet(&mut self) {
        let rest = self.rest().await;
        assert!(rest.is_empty(), "unasked: {rest:?}");
    }
}

/// Names of a response, `-name` when removed, sorted.
pub(crate) fn names(response: &DeltaResponse) -> Vec<String> {
    let mut all: Vec<String> = response.resources.iter().map(|r| r.name.clone()).collect();
    all.extend(response.removed_resources.iter().map(|name| format!("-{name}")));
    all.sort();
    all
}

pub(crate) fn strings(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

impl Speaker for Delta {
    type Response = DeltaResponse;

    async fn join(server: &Server, _before: Option<Self>) -> Self {
        Self::connect(server).await
    }

    async fn ask(&mut self, type_url: &str, names: &[&str]) {
        Self::ask(self, type_url, names).await;
    }

    async fn leave(&mut self, type_url: &str, names: &[&str]) {
        self.send(DeltaRequest {
            type_url: type_url.into(),
            resource_names_unsubscribe: strings(names),
            ..Default::default()
        })
        .await;
    }

    /// The versions are such as another server might have made of the same content.
    async fn resume(&mut self, type_url: &str, names: &[&str], held: &[&str]) {
        let held = held.iter().map(|item| {
            let (name, body) = item.split_once('=').expect("name=body");
            let (name, order) = name.split_once('@').unwrap_or((name, "1.1"));
            (name, format!("{order}-{:016x}", Version::hash_of(body.as_bytes())))
        });
        let held: Vec<(&str, String)> = held.collect();
        let held: Vec<_> = held.iter().map(|(name, version)| (*name, version.as_str())).collect();
        Self::resume(self, type_url, names, &held).await;
    }

    async fn stale(&mut self, type_url: &str, names: &[&str]) {
        self.send(DeltaRequest {
            type_url: type_url.into(),
            resource_names_subscribe: strings(names),
            response_nonce: "no-such-nonce".into(),
            ..Default::default()
        })
        .await;
    }

    async fn hear(&mut self) -> DeltaResponse {
        self.next().await
    }

    async fn answer(&mut self, response: &DeltaResponse, refusal: Option<&str>) {
        Self::answer(self, response, refusal).await;
    }

    async fn quiet(&mut self) {
        Self::quiet(self).await;
    }

    async fn ended(&mut self) {
        let end = tokio::time::timeout(PATIENCE, Self::hear(self)).await.expect("it ends");
        assert_eq!(end.expect_err("and says why").code(), tonic::Code::Unavailable);
    }

    fn check(response: &DeltaResponse, type_url: &str, items: &[&str]) {
        let item = |resource: &wire::Resource| {
            let body = &resource.resource.as_ref().expect("a body").value;
            let expected = items.iter().filter_map(|item| item.split_once('='));
            match expected.into_iter().find(|(name, _)| *name == resource.name) {
                None => resource.name.clone(),
                // A blank message has a name, which is its first field, and nothing else.
                Some((name, "")) if body[2..] == *name.as_bytes() => format!("{name}="),
                Some((name, _)) => format!("{name}={}", String::from_utf8_lossy(body)),
            }
        };
        let mut found: Vec<String> = response.resources.iter().map(item).collect();
        found.extend(response.removed_resources.iter().map(|name| format!("-{name}")));
        let mut expected = strings(items);
        found.sort();
        expected.sort();
        assert_eq!((response.type_url.as_str(), found), (type_url, expected));
    }
}
