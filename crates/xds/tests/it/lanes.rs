//! A client of the services of single types: a stream for each type. It leaves out the type, which
//! the method tells.

use std::collections::HashMap;

use model::type_urls::{CLUSTER, ENDPOINT, LISTENER, ROUTE, SCOPED_ROUTE, SECRET};
use prost::Message;
use tokio::sync::mpsc;
use tonic::{Code, Status};
use xds::{Event, Options};

use crate::client::{Delta, names, open_at, strings};
use crate::script::{EXTENSION, RUNTIME, Speaker};
use crate::server::{PATIENCE, Server, resource};
use crate::state_client::State;
use crate::wire::{self, DeltaRequest, DeltaResponse, Node, StateRequest, StateResponse};

fn method(type_url: &str, protocol: &str) -> String {
    let (service, what) = match type_url {
        CLUSTER => ("cluster.v3.ClusterDiscoveryService", "Clusters"),
        ENDPOINT => ("endpoint.v3.EndpointDiscoveryService", "Endpoints"),
        LISTENER => ("listener.v3.ListenerDiscoveryService", "Listeners"),
        ROUTE => ("route.v3.RouteDiscoveryService", "Routes"),
        SCOPED_ROUTE => ("route.v3.ScopedRoutesDiscoveryService", "ScopedRoutes"),
        SECRET => ("secret.v3.SecretDiscoveryService", "Secrets"),
        EXTENSION => ("extension.v3.ExtensionConfigDiscoveryService", "ExtensionConfigs"),
        RUNTIME => ("runtime.v3.RuntimeDiscoveryService", "Runtime"),
        _ => panic!("no service of {type_url}"),
    };
    format!("{service}/{protocol}{what}")
}

fn node() -> Node {
    Node { id: "envoy-1".into(), cluster: "edge".into() }
}

/// Streams of one client, whose responses are heard in the order of their arrival.
struct Lanes<S, R> {
    address: String,
    protocol: &'static str,
    lanes: HashMap<String, mpsc::Sender<S>>,
    teller: mpsc::Sender<Result<R, Status>>,
    heard: mpsc::Receiver<Result<R, Status>>,
}

impl<S: Message + 'static, R: Message + Default + 'static> Lanes<S, R> {
    fn new(server: &Server, protocol: &'static str) -> Self {
        let (teller, heard) = mpsc::channel(256);
        Self { address: server.address.clone(), protocol, lanes: HashMap::new(), teller, heard }
    }

    /// Says something; `true` when it was the first on a stream of its own.
    async fn send(&mut self, type_url: &str, first: S, later: S) {
        if let Some(lane) = self.lanes.get(type_url) {
            return lane.send(later).await.expect("the stream is open");
        }
        let path = method(type_url, self.protocol);
        let (sender, mut responses) = open_at::<S, R>(&self.address, &path).await.expect("opens");
        sender.send(first).await.expect("the stream is open");
        self.lanes.insert(type_url.to_owned(), sender);
        let teller = self.teller.clone();
        tokio::spawn(async move {
            while let Some(response) = responses.message().await.transpose() {
                let is_over = response.is_err();
                if teller.send(response).await.is_err() || is_over {
                    return;
                }
            }
        });
    }

    async fn hear(&mut self) -> Result<R, Status> {
        let heard = tokio::time::timeout(PATIENCE, self.heard.recv()).await;
        heard.expect("an answer comes").expect("the teller lives")
    }
}

pub(crate) struct DeltaLanes {
    lanes: Lanes<DeltaRequest, DeltaResponse>,
    pings: usize,
}

impl DeltaLanes {
    fn new(server: &Server) -> Self {
        Self { lanes: Lanes::new(server, "Delta"), pings: 0 }
    }

    async fn send(&mut self, type_url: &str, request: DeltaRequest) {
        let first = DeltaRequest { node: Some(node()), ..request.clone() };
        self.lanes.send(type_url, first, request).await;
    }

    async fn take(&mut self, type_url: &str, expected: &[&str]) {
        let response = self.hear().await;
        assert_eq!((response.type_url.as_str(), names(&response)), (type_url, strings(expected)));
        Speaker::answer(self, &response, None).await;
    }
}

impl Speaker for DeltaLanes {
    type Response = DeltaResponse;

    async fn join(server: &Server, _before: Option<Self>) -> Self {
        Self::new(server)
    }

    async fn ask(&mut self, type_url: &str, names: &[&str]) {
        let subscribe = strings(names);
        let request = DeltaRequest { resource_names_subscribe: subscribe, ..Default::default() };
        self.send(type_url, request).await;
    }

    async fn leave(&mut self, type_url: &str, names: &[&str]) {
        let leave = strings(names);
        let request = DeltaRequest { resource_names_unsubscribe: leave, ..Default::default() };
        self.send(type_url, request).await;
    }

    async fn resume(&mut self, _type_url: &str, _names: &[&str], _held: &[&str]) {
        panic!("as on one stream");
    }

    async fn stale(&mut self, _type_url: &str, _names: &[&str]) {
        panic!("as on one stream");
    }

    async fn hear(&mut self) -> DeltaResponse {
        self.lanes.hear().await.expect("no error")
    }

    async fn answer(&mut self, response: &DeltaResponse, refusal: Option<&str>) {
        let request = DeltaRequest {
            response_nonce: response.nonce.clone(),
            error_detail: refusal.map(|message| wire::Status { code: 13, message: message.into() }),
            ..Default::default()
        };
        self.send(&response.type_url, request).await;
    }

    /// Each stream answers a question; what one has said is heard by then.
    async fn quiet(&mut self) {
        let types: Vec<String> = self.lanes.lanes.keys().cloned().collect();
        for type_url in types {
            self.pings += 1;
            let name = format!("ping-{}", self.pings);
            self.ask(&type_url, &[&name]).await;
            let response = self.hear().await;
            let found = names(&response);
            assert_eq!(found, [if type_url == ROUTE { name } else { format!("-{name}") }]);
            Speaker::answer(self, &response, None).await;
        }
    }

    async fn ended(&mut self) {
        assert!(self.lanes.hear().await.is_err());
    }

    async fn end(&mut self, type_url: &str) {
        self.lanes.lanes.remove(type_url).expect("such a stream");
    }

    fn check(response: &DeltaResponse, type_url: &str, items: &[&str]) {
        Delta::check(response, type_url, items);
    }
}

pub(crate) struct StateLanes {
    lanes: Lanes<StateRequest, StateResponse>,
    asked: HashMap<String, (Vec<String>, String, String)>,
}

impl StateLanes {
    async fn say(&mut self, type_url: &str, refusal: Option<&str>) {
        let (names, version, nonce) = self.asked.entry(type_url.to_owned()).or_default().clone();
        let request = StateRequest {
            resource_names: names,
            version_info: version,
            response_nonce: nonce,
            error_detail: refusal.map(|message| wire::Status { code: 13, message: message.into() }),
            ..Default::default()
        };
        let first = StateRequest { node: Some(node()), ..request.clone() };
        self.lanes.send(type_url, first, request).await;
    }
}

impl Speaker for StateLanes {
    type Response = StateResponse;

    async fn join(server: &Server, _before: Option<Self>) -> Self {
        Self { lanes: Lanes::new(server, "Stream"), asked: HashMap::new() }
    }

    async fn ask(&mut self, type_url: &str, names: &[&str]) {
        self.asked.entry(type_url.to_owned()).or_default().0 = strings(names);
        self.say(type_url, None).await;
    }

    async fn leave(&mut self, _type_url: &str, _names: &[&str]) {
        panic!("state of the world leaves by asking for less");
    }

    async fn resume(&mut self, _type_url: &str, _names: &[&str], _held: &[&str]) {
        panic!("as on one stream");
    }

    async fn stale(&mut self, _type_url: &str, _names: &[&str]) {
        panic!("as on one stream");
    }

    async fn hear(&mut self) -> StateResponse {
        self.lanes.hear().await.expect("no error")
    }

    async fn answer(&mut self, response: &StateResponse, refusal: Option<&str>) {
        let asked = self.asked.entry(response.type_url.clone()).or_default();
        asked.2.clone_from(&response.nonce);
        if refusal.is_none() {
            asked.1.clone_from(&response.version_info);
        }
        self.say(&response.type_url, refusal).await;
    }

    /// Nobody can be asked: a stream of the state of the world does not answer for a missing name.
    async fn quiet(&mut self) {}

    async fn ended(&mut self) {
        assert!(self.lanes.hear().await.is_err());
    }

    async fn end(&mut self, type_url: &str) {
        self.asked.remove(type_url);
        self.lanes.lanes.remove(type_url).expect("such a stream");
    }

    fn check(response: &StateResponse, type_url: &str, items: &[&str]) {
        State::check(response, type_url, items);
    }
}

#[tokio::test]
async fn two_that_bear_one_name_are_one_proxy_that_has_what_both_have() {
    let mut server = Server::with(crate::talks::quick(), Options { on_demand: true }).await;
    let (mut one, mut other) = (DeltaLanes::new(&server), DeltaLanes::new(&server));
    for client in [&mut one, &mut other] {
        client.ask(CLUSTER, &[]).await;
        client.take(CLUSTER, &[]).await;
    }
    server.synced().await;
    server.apply("a", &[resource(CLUSTER, "c", "x")], &[]);
    one.take(CLUSTER, &["c"]).await;
    one.quiet().await;
    // The other has not acknowledged it.
    assert!(server.events.try_recv().is_err(), "nothing is settled");
    other.take(CLUSTER, &["c"]).await;
    server.settled("a").await;
    // One goes, with something unanswered: the other's word is enough, a moment later.
    server.apply("a", &[resource(CLUSTER, "c", "y")], &[]);
    one.hear().await;
    other.take(CLUSTER, &["c"]).await;
    one.end(CLUSTER).await;
    server.event(|event| matches!(event, Event::Synced { .. }).then_some(())).await;
    other.end(CLUSTER).await;
    let opened_again = |event: Event| match event {
        Event::Opened { .. } => panic!("one proxy"),
        Event::Closed { .. } => Some(()),
        _ => None,
    };
    server.event(opened_again).await;
}

#[tokio::test]
async fn a_stream_of_one_type_is_about_that_type_and_of_someone() {
    let server = Server::start().await;
    for (who, type_url, code) in [
        (Some(node()), "", None),
        (Some(node()), CLUSTER, None),
        (Some(node()), LISTENER, Some(Code::InvalidArgument)),
        (Some(Node::default()), CLUSTER, Some(Code::InvalidArgument)),
        (None, CLUSTER, Some(Code::InvalidArgument)),
        (Some(Node { cluster: "stranger".into(), ..node() }), "", Some(Code::PermissionDenied)),
    ] {
        let path = method(CLUSTER, "Delta");
        let opened = open_at::<DeltaRequest, DeltaResponse>(&server.address, &path).await;
        let (sender, mut responses) = opened.expect("opens");
        let request = DeltaRequest { node: who, type_url: type_url.into(), ..Default::default() };
        sender.send(request).await.unwrap();
        let answer = tokio::time::timeout(PATIENCE, responses.message()).await.expect("answers");
        assert_eq!(answer.err().map(|status| status.code()), code, "{type_url}");
    }
}

#[tokio::test]
async fn streams_end_with_the_server() {
    let mut server = Server::start().await;
    let mut client = DeltaLanes::new(&server);
    client.ask(CLUSTER, &[]).await;
    client.take(CLUSTER, &[]).await;
    client.ask(LISTENER, &[]).await;
    client.take(LISTENER, &[]).await;
    server.stop();
    for _ in 0..2 {
        let end = client.lanes.hear().await.expect_err("it ends");
        assert_eq!(end.code(), Code::Unavailable);
    }
}
