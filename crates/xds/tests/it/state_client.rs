//! A state-of-the-world client that does exactly what the test says.

use std::collections::HashMap;

use tokio::sync::mpsc;
use tonic::{Status, Streaming};

use crate::client::{open, strings};
use crate::script::Speaker;
use crate::server::{PATIENCE, Server};
use crate::wire::{self, Node, StateRequest, StateResponse};

/// A type nobody has resources of.
const PING: &str = "type.googleapis.com/test.Ping";

pub(crate) struct State {
    requests: mpsc::Sender<StateRequest>,
    responses: Streaming<StateResponse>,
    greeted: bool,
    pings: usize,
    /// What is asked for of each type, and the version and nonce last accepted.
    asked: HashMap<String, (Vec<String>, String, String)>,
    /// The same of the connection before.
    last: HashMap<String, (Vec<String>, String, String)>,
}

impl State {
    pub(crate) async fn connect(server: &Server) -> Self {
        let (requests, responses) =
            open(&server.address, "StreamAggregatedResources").await.expect("a stream");
        Self {
            requests,
            responses,
            greeted: false,
            pings: 0,
            asked: HashMap::new(),
            last: HashMap::new(),
        }
    }

    pub(crate) async fn send(&mut self, mut request: StateRequest) {
        if !std::mem::replace(&mut self.greeted, true) {
            request.node = Some(Node { id: "envoy-1".into(), cluster: "edge".into() });
        }
        self.requests.send(request).await.expect("the stream is open");
    }

    /// Asks for exactly these names of a type from now on.
    pub(crate) async fn ask(&mut self, type_url: &str, names: &[&str]) {
        self.resume(type_url, names, None).await;
    }

    /// Comes back with a version.
    pub(crate) async fn resume(&mut self, type_url: &str, names: &[&str], version: Option<&str>) {
        let known = self.asked.entry(type_url.to_owned()).or_default();
        known.0 = strings(names);
        if let Some(version) = version {
            version.clone_into(&mut known.1);
        }
        let request = StateRequest {
            type_url: type_url.into(),
            resource_names: known.0.clone(),
            version_info: known.1.clone(),
            response_nonce: known.2.clone(),
            ..Default::default()
        };
        self.send(request).await;
    }

    pub(crate) async fn answer(&mut self, response: &StateResponse, refusal: Option<&str>) {
        let known = self.asked.entry(response.type_url.clone()).or_default();
        known.2.clone_from(&response.nonce);
        if refusal.is_none() {
            known.1.clone_from(&response.version_info);
        }
        let request = StateRequest {
            type_url: response.type_url.clone(),
            resource_names: known.0.clone(),
            version_info: known.1.clone(),
            response_nonce: response.nonce.clone(),
            error_detail: refusal.map(|message| wire::Status { code: 13, message: message.into() }),
            ..Default::default()
        };
        self.send(request).await;
    }

    pub(crate) async fn ack(&mut self, response: &StateResponse) {
        self.answer(response, None).await;
    }

    pub(crate) async fn nack(&mut self, response: &StateResponse, message: &str) {
        self.answer(response, Some(message)).await;
    }

    /// The next response, or how the stream ended.
    pub(crate) async fn hear(&mut self) -> Result<Option<StateResponse>, Status> {
        tokio::time::timeout(PATIENCE, self.responses.message()).await.expect("an answer comes")
    }

    pub(crate) async fn next(&mut self) -> StateResponse {
        let response = self.hear().await.expect("no error").expect("the stream goes on");
        for resource in &response.resources {
            assert_eq!(resource.type_url, response.type_url);
        }
        response
    }

    /// The next response, acknowledged, which must hold exactly these bodies, in any order.
    pub(crate) async fn expect(&mut self, type_url: &str, bodies: &[&str]) -> String {
        let response = self.next().await;
        self.ack(&response).await;
        assert_eq!(
            (response.type_url.as_str(), self::bodies(&response)),
            (type_url, sorted(bodies))
        );
        response.version_info
    }

    /// The server has nothing to say.
    pub(crate) async fn quiet(&mut self) {
        self.pings += 1;
        // Each name is asked for by a type of its own, since a missing name is not answered.
        let ping = format!("{PING}{}", self.pings);
        self.ask(&ping, &["*"]).await;
        let response = self.next().await;
        assert_eq!(response.type_url, ping, "unasked: {response:?}");
        self.ack(&response).await;
    }
}

/// The bodies of a response, as text, sorted. A state-of-the-world resource bears no other name.
pub(crate) fn bodies(response: &StateResponse) -> Vec<String> {
    let text = |any: &wire::Any| match any.value.as_slice() {
        // A blank message has a name, which is its first field, and nothing else.
        [b'\n', length, name @ ..] if name.len() == usize::from(*length) => {
            format!("{}=", String::from_utf8_lossy(name))
        }
        body => String::from_utf8_lossy(body).into_owned(),
    };
    let mut all: Vec<String> = response.resources.iter().map(text).collect();
    all.sort();
    all
}

pub(crate) fn sorted(bodies: &[&str]) -> Vec<String> {
    let mut all = strings(bodies);
    all.sort();
    all
}

impl Speaker for State {
    type Response = StateResponse;

    async fn join(server: &Server, before: Option<Self>) -> Self {
        let mut client = Self::connect(server).await;
        client.last = before.map(|before| before.asked).unwrap_or_default();
        client
    }

    async fn ask(&mut self, type_url: &str, names: &[&str]) {
        Self::ask(self, type_url, names).await;
    }

    async fn leave(&mut self, _type_url: &str, _names: &[&str]) {
        panic!("state of the world leaves by asking for less");
    }

    async fn resume(&mut self, type_url: &str, names: &[&str], held: &[&str]) {
        assert_eq!(held, ["last"]);
        let version = self.last[type_url].1.clone();
        Self::resume(self, type_url, names, Some(&version)).await;
    }

    async fn stale(&mut self, type_url: &str, names: &[&str]) {
        self.send(StateRequest {
            type_url: type_url.into(),
            resource_names: strings(names),
            response_nonce: "no-such-nonce".into(),
            ..Default::default()
        })
        .await;
    }

    async fn hear(&mut self) -> StateResponse {
        self.next().await
    }

    async fn answer(&mut self, response: &StateResponse, refusal: Option<&str>) {
        Self::answer(self, response, refusal).await;
    }

    async fn quiet(&mut self) {
        Self::quiet(self).await;
    }

    async fn ended(&mut self) {
        panic!("nothing ends a stream of the state of the world");
    }

    fn check(response: &StateResponse, type_url: &str, items: &[&str]) {
        assert_eq!((response.type_url.as_str(), bodies(response)), (type_url, sorted(items)));
    }
}
