//! Clients that come with a lot to say: each in its turn, and nobody for ever.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, StreamBody};
use model::type_urls::{CLUSTER, ENDPOINT, LISTENER};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tower::ServiceExt;
use xds::{Event, Limits, Options, StreamId};

use crate::client::{Delta, open_at};
use crate::server::{PATIENCE, Server, resource};
use crate::wire::{DeltaRequest, DeltaResponse, Node};

/// A message that is large, and room for one such.
const LARGE_BYTES: usize = 600_000;

fn limits(turn_silence: Duration) -> Limits {
    Limits { turns_bytes: LARGE_BYTES * 3 / 2, turn_silence, ..Limits::default() }
}

async fn start(turn_silence: Duration) -> Server {
    serve(limits(turn_silence)).await
}

async fn serve(limits: Limits) -> Server {
    let server = Server::with(limits, Options::default()).await;
    server.apply("a", &[resource(CLUSTER, "a", "x")], &[]);
    server
}

/// A client that has said most of a large message: more than is let through before its turn.
async fn stalls(server: &Server) -> (mpsc::Sender<Bytes>, JoinHandle<Option<Code>>) {
    let channel = Channel::from_shared(server.address.clone()).unwrap().connect().await.unwrap();
    let (sender, receiver) = mpsc::channel::<Bytes>(1);
    let frames =
        ReceiverStream::new(receiver).map(|chunk| Ok::<_, Status>(http_body::Frame::data(chunk)));
    let request = http::Request::builder()
        .method("POST")
        .uri("/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(tonic::body::Body::new(StreamBody::new(frames)))
        .unwrap();
    let response = channel.oneshot(request).await.unwrap();
    let head = [&[0], &(LARGE_BYTES as u32).to_be_bytes()[..]].concat();
    sender.send(head.into()).await.unwrap();
    for _ in 0..LARGE_BYTES / 20_000 {
        sender.send(vec![0; 16_000].into()).await.unwrap();
    }
    let ended = tokio::spawn(async move {
        let whole = tokio::time::timeout(PATIENCE, response.into_body().collect()).await;
        let whole = whole.expect("it ends").ok()?;
        let code = whole.trailers()?.get("grpc-status")?.to_str().ok()?.parse::<i32>().ok()?;
        Some(Code::from(code))
    });
    (sender, ended)
}

/// A client that comes back with a lot, all of it long gone.
async fn comes_back(channel: Channel) -> Delta {
    let names: Vec<String> = (0..LARGE_BYTES / 1_000).map(|n| format!("{n:01000}")).collect();
    let held: Vec<_> = names.iter().map(|name| (name.as_str(), "1.1-x")).collect();
    let mut client = Delta::over(channel).await.unwrap();
    client.resume(CLUSTER, &[], &held).await;
    client
}

fn opened(server: &mut Server) -> usize {
    let events = std::iter::from_fn(|| server.events.try_recv().ok());
    events.filter(|event| matches!(event, Event::Opened { .. })).count()
}

#[tokio::test]
async fn who_waits_for_its_turn_holds_nobody_up_who_says_little() {
    let mut server = start(Duration::from_secs(3600)).await;
    let (stalled, _) = stalls(&server).await;
    let channel = Channel::from_shared(server.address.clone()).unwrap().connect().await.unwrap();
    let mut waiting = comes_back(channel.clone()).await;
    // Neither on its connection nor on another.
    for _ in 0..2 {
        let mut beside = Delta::over(channel.clone()).await.unwrap();
        let mut other = Delta::connect(&server).await;
        for client in [&mut beside, &mut other] {
            client.ask(ENDPOINT, &["no"]).await;
            client.expect(ENDPOINT, &["-no"]).await;
        }
    }
    assert_eq!(opened(&mut server), 4, "nobody has heard of who waits");
    drop(stalled);
    waiting.next().await;
    assert_eq!(opened(&mut server), 1, "its turn came when the other went");
}

/// What a stream of a single type says first.
fn first(held: &[String]) -> DeltaRequest {
    DeltaRequest {
        node: Some(Node { id: "lanes".into(), cluster: "edge".into() }),
        initial_resource_versions: held.iter().map(|it| (it.clone(), "1.1-x".into())).collect(),
        ..DeltaRequest::default()
    }
}

/// The next stream that has all, and the name of its client.
async fn synced(server: &mut Server, known: &mut HashMap<StreamId, String>) -> String {
    let synced = |event| match event {
        Event::Opened { stream, node, .. } => {
            known.insert(stream, node.id.clone());
            None
        }
        Event::Synced { stream, .. } => Some(known[&stream].clone()),
        _ => None,
    };
    server.event(synced).await
}

#[tokio::test]
async fn who_has_a_stream_that_waits_for_its_turn_does_not_have_all() {
    let limits = Limits { patience: Duration::from_secs(1), ..limits(Duration::from_secs(3600)) };
    let mut server = serve(limits).await;
    let (stalled, _) = stalls(&server).await;
    let open = async |path: &str, request: DeltaRequest| {
        let (says, hears) = open_at::<_, DeltaResponse>(&server.address, path).await.unwrap();
        says.send(request).await.unwrap();
        (says, hears)
    };
    let names: Vec<String> = (0..LARGE_BYTES / 1_000).map(|n| format!("{n:01000}")).collect();
    let mut waits = open("cluster.v3.ClusterDiscoveryService/DeltaClusters", first(&names)).await;
    let (says, mut hears) =
        open("listener.v3.ListenerDiscoveryService/DeltaListeners", first(&[])).await;
    let answer = hears.message().await.unwrap().unwrap();
    says.send(DeltaRequest { response_nonce: answer.nonce, ..DeltaRequest::default() })
        .await
        .unwrap();
    // Whoever says the same later, and nothing else, is believed to want no more.
    let mut other = Delta::connect(&server).await;
    other.ask(LISTENER, &[]).await;
    other.expect(LISTENER, &[]).await;
    let mut known = HashMap::new();
    assert_eq!(synced(&mut server, &mut known).await, "envoy-1");
    drop(stalled);
    loop {
        let answer = waits.1.message().await.unwrap().unwrap();
        let is_last = answer.removed_resources.len() == names.len();
        let ack = DeltaRequest { response_nonce: answer.nonce, ..DeltaRequest::default() };
        waits.0.send(ack).await.unwrap();
        if is_last || answer.removed_resources.contains(&names[names.len() - 1]) {
            break;
        }
    }
    assert_eq!(synced(&mut server, &mut known).await, "lanes");
}

#[tokio::test]
async fn who_stops_in_the_middle_loses_its_turn() {
    let server = start(Duration::from_millis(50)).await;
    let (_stalled, ended) = stalls(&server).await;
    let channel = Channel::from_shared(server.address.clone()).unwrap().connect().await.unwrap();
    comes_back(channel).await.next().await;
    assert_eq!(ended.await.unwrap(), Some(Code::DeadlineExceeded));
}

#[tokio::test]
async fn many_come_back_at_once_and_each_is_answered() {
    let server = start(Duration::from_secs(3600)).await;
    let mut clients = Vec::new();
    for _ in 0..8 {
        let channel = Channel::from_shared(server.address.clone()).unwrap().connect().await;
        clients.push(comes_back(channel.unwrap()).await);
    }
    for mut client in clients {
        client.next().await;
    }
}
