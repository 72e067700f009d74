//! Clients that ask too often, say nothing, read nothing, or write nonsense; and how old the others
//! become. Whatever one does, another is answered as ever.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, StreamBody};
use model::type_urls::{CLUSTER, ENDPOINT};
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status};
use tower::ServiceExt;
use xds::{Event, Limits, Options, Rate};

use crate::client::Delta;
use crate::server::{PATIENCE, Server, resource};
use crate::state_client::State;

async fn start(limits: Limits) -> Server {
    Server::with(limits, Options::default()).await
}

/// How the stream ends, whatever is said before.
async fn end(client: &mut Delta) -> Status {
    loop {
        match client.hear().await {
            Ok(Some(_)) => {}
            Ok(None) => return Status::ok(""),
            Err(status) => return status,
        }
    }
}

/// A client that has done nothing is answered.
async fn others_are_served(server: &Server) {
    let mut client = Delta::connect(server).await;
    client.ask(ENDPOINT, &["no"]).await;
    client.expect(ENDPOINT, &["-no"]).await;
}

#[tokio::test]
async fn who_asks_too_often_is_ended() {
    let requests = Rate { per_second: 1, burst: 20 };
    let server = start(Limits { requests, ..Limits::default() }).await;
    let mut client = Delta::connect(&server).await;
    // The first is the one that opens the stream, and is not counted.
    for _ in 0..21 {
        client.ask(ENDPOINT, &["no"]).await;
    }
    assert!(client.next().await.removed_resources.contains(&"no".to_owned()));
    let mut flood = Delta::connect(&server).await;
    for _ in 0..30 {
        if !flood.try_ask(ENDPOINT, &["no"]).await {
            break;
        }
    }
    let status = end(&mut flood).await;
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    assert!(status.message().contains("20 at once"), "{status}");
    others_are_served(&server).await;
}

#[tokio::test]
async fn new_streams_wait_for_their_turn_and_not_for_ever() {
    let admission = Rate { per_second: 20, burst: 1 };
    let admission_wait = Duration::from_millis(60);
    let server = start(Limits { admission, admission_wait, ..Limits::default() }).await;
    let mut streams = Vec::new();
    let mut refused = 0;
    for _ in 0..20 {
        match Delta::try_connect(&server).await {
            Ok(client) => streams.push(client),
            Err(status) => {
                assert_eq!(status.code(), Code::Unavailable, "{status}");
                refused += 1;
            }
        }
    }
    assert!(refused > 0, "twenty at once are too many");
    for client in &mut streams {
        client.ask(ENDPOINT, &["no"]).await;
        client.expect(ENDPOINT, &["-no"]).await;
    }
}

#[tokio::test]
async fn who_says_nothing_is_ended() {
    let server = start(Limits { greeting: Duration::from_millis(50), ..Limits::default() }).await;
    let mut mute = Delta::connect(&server).await;
    assert_eq!(end(&mut mute).await.code(), Code::DeadlineExceeded);
    others_are_served(&server).await;
}

#[tokio::test]
async fn who_reads_nothing_is_given_up_and_still_takes_a_place() {
    let limits = Limits { unread: Duration::from_millis(100), streams: 2, ..Limits::default() };
    let mut server = start(limits).await;
    let large = "x".repeat(300_000);
    for n in 0..20 {
        server.apply(&n.to_string(), &[resource(CLUSTER, &n.to_string(), &large)], &[]);
    }
    let mut lazy = Delta::connect(&server).await;
    lazy.ask(CLUSTER, &[]).await;
    server.event(|event| matches!(event, Event::Closed { .. }).then_some(())).await;
    others_are_served(&server).await;
    let _second = Delta::connect(&server).await;
    let refused = Delta::try_connect(&server).await.err().expect("the lazy one is still there");
    assert_eq!(refused.code(), Code::Unavailable);
    // What it left unread is read now, and then how it ended.
    assert_eq!(end(&mut lazy).await.code(), Code::DeadlineExceeded);
}

#[tokio::test]
async fn names_of_nothing_are_answered_and_only_so_many_remembered() {
    let server = start(Limits { unknown_names: 3, ..Limits::default() }).await;
    let mut client = Delta::connect(&server).await;
    let mut state = State::connect(&server).await;
    client.ask(ENDPOINT, &["1", "2", "3", "4"]).await;
    client.expect(ENDPOINT, &["-1", "-2", "-3", "-4"]).await;
    client.ask(ENDPOINT, &["5"]).await;
    client.expect(ENDPOINT, &["-5"]).await;
    state.ask("type.googleapis.com/test.Other", &["1", "2", "3", "4", "5"]).await;
    state.quiet().await;
    for n in 1..=5 {
        let (name, other) = (n.to_string(), "type.googleapis.com/test.Other");
        let set = [resource(ENDPOINT, &name, "x"), resource(other, &name, &name)];
        server.apply(&name, &set, &[]);
    }
    let mut heard = Vec::new();
    for response in client.rest().await {
        client.ack(&response).await;
        heard.extend(crate::client::names(&response));
    }
    heard.sort();
    assert_eq!(heard, ["3", "4", "5"], "the oldest are forgotten");
    // What is asked for again is told.
    client.ask(ENDPOINT, &["1"]).await;
    client.expect(ENDPOINT, &["1"]).await;
    let mut bodies = Vec::new();
    while bodies.len() < 3 {
        let response = state.next().await;
        state.answer(&response, None).await;
        bodies.extend(crate::state_client::bodies(&response));
    }
    // With the next request there is room again, as those are of something now.
    while bodies.len() < 5 {
        let response = state.next().await;
        state.answer(&response, None).await;
        bodies.extend(crate::state_client::bodies(&response));
    }
    bodies.sort();
    assert_eq!(bodies, ["1", "2", "3", "4", "5"]);
    state.quiet().await;
}

#[tokio::test]
async fn at_its_age_a_stream_ends_well_and_coming_back_costs_nothing() {
    let limits = Limits {
        age: Duration::from_millis(100),
        age_jitter: Duration::from_millis(50),
        ..Limits::default()
    };
    let server = start(limits).await;
    server.apply("a", &[resource(CLUSTER, "a", "x")], &[]);
    let mut client = Delta::connect(&server).await;
    client.ask(CLUSTER, &[]).await;
    client.expect(CLUSTER, &["a"]).await;
    assert_eq!(end(&mut client).await.code(), Code::Ok);
    let held = resource(CLUSTER, "a", "x").version.to_string();
    let mut again = Delta::connect(&server).await;
    again.resume(CLUSTER, &[], &[("a", &held)]).await;
    assert!(again.hear().await.expect("it ends well").is_none(), "nothing was sent");
}

#[tokio::test]
async fn an_old_stream_waits_for_what_is_outstanding() {
    let limits = Limits {
        age: Duration::from_millis(50),
        age_jitter: Duration::ZERO,
        age_grace: Duration::from_secs(3600),
        ..Limits::default()
    };
    let mut server = start(limits).await;
    server.apply("a", &[resource(CLUSTER, "a", "x")], &[]);
    let mut client = Delta::connect(&server).await;
    client.ask(CLUSTER, &[]).await;
    let response = client.next().await;
    let early = tokio::time::timeout(Duration::from_millis(200), client.hear()).await;
    assert!(early.is_err(), "not before the answer: {early:?}");
    client.ack(&response).await;
    assert_eq!(end(&mut client).await.code(), Code::Ok);
    server.event(|event| matches!(event, Event::Closed { .. }).then_some(())).await;
}

/// Sends bytes as they are; the status that it ends with.
async fn raw(server: &Server, chunks: Vec<Vec<u8>>) -> Option<Code> {
    let channel = tonic::transport::Channel::from_shared(server.address.clone()).unwrap();
    let channel = channel.connect().await.unwrap();
    let (sender, receiver) = mpsc::channel::<Bytes>(16);
    let frames =
        ReceiverStream::new(receiver).map(|chunk| Ok::<_, Status>(http_body::Frame::data(chunk)));
    let uri = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources";
    let request = http::Request::builder()
        .method("POST")
        .uri(uri)
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(tonic::body::Body::new(StreamBody::new(frames)))
        .unwrap();
    let response = channel.oneshot(request).await.ok()?;
    tokio::spawn(async move {
        for chunk in chunks {
            let _ = sender.send(chunk.into()).await;
        }
    });
    let code = |headers: &http::HeaderMap| {
        let code = headers.get("grpc-status")?.to_str().ok()?.parse::<i32>().ok()?;
        Some(Code::from(code))
    };
    if let Some(code) = code(response.headers()) {
        return Some(code);
    }
    let whole = tokio::time::timeout(PATIENCE, response.into_body().collect()).await;
    code(whole.expect("it ends").ok()?.trailers()?)
}

fn framed(flag: u8, len: u32, body: &[u8]) -> Vec<u8> {
    [&[flag], &len.to_be_bytes()[..], body].concat()
}

#[tokio::test]
async fn nonsense_ends_its_own_stream_with_a_reason() {
    let mut server = start(Limits { message_bytes: 1 << 16, ..Limits::default() }).await;
    let mut steady = Delta::connect(&server).await;
    steady.ask(CLUSTER, &[]).await;
    steady.expect(CLUSTER, &[]).await;
    let endless = [0x12].iter().chain([0xff; 10].iter()).copied().collect::<Vec<u8>>();
    let deep = (0..200).fold(vec![0x0a, 0x00], |inner, _| {
        let len = inner.len();
        let head =
            if len < 128 { vec![len as u8] } else { vec![len as u8 | 128, (len >> 7) as u8] };
        [vec![0x0a], head, inner].concat()
    });
    let entry = [0x2a, 2, 0x0a, 9];
    let resumes = [&[0x12, CLUSTER.len() as u8], CLUSTER.as_bytes(), &entry].concat();
    let good = framed(0, 3, &[0x0a, 0x01, 0x00]);
    for (what, bytes, expected) in [
        ("random bytes", framed(0, 8, b"\xff\xfe\xfd\xfc\xfb\xfa\xf9\xf8"), Code::InvalidArgument),
        ("a compressed message", framed(1, 2, b"xx"), Code::Unimplemented),
        ("a flag that is none", framed(77, 2, b"xx"), Code::Unimplemented),
        ("four gigabytes announced", framed(0, u32::MAX, b"x"), Code::ResourceExhausted),
        ("a varint without end", framed(0, 11, &endless), Code::InvalidArgument),
        ("messages in messages", framed(0, deep.len() as u32, &deep), Code::InvalidArgument),
        ("a length beyond the message", framed(0, 2, &[0x12, 0x7f]), Code::InvalidArgument),
        ("half a head", vec![0, 0, 0], Code::Internal),
        ("half a message", framed(0, 100, b"x"), Code::Internal),
        ("a node that is broken", good, Code::InvalidArgument),
        (
            "something else than an entry of what it holds",
            framed(0, resumes.len() as u32, &resumes),
            Code::InvalidArgument,
        ),
        ("no bytes", framed(0, 0, b""), Code::InvalidArgument),
    ] {
        assert_eq!(raw(&server, vec![bytes.clone()]).await, Some(expected), "{what}");
        let single = bytes.iter().map(|byte| vec![*byte]).collect();
        assert_eq!(raw(&server, single).await, Some(expected), "{what}, byte by byte");
    }
    // Who was there before noticed nothing.
    server.apply("a", &[resource(CLUSTER, "a", "x")], &[]);
    steady.expect(CLUSTER, &["a"]).await;
    server.settled("a").await;
}

/// What a seed makes: frames right and wrong, around messages right and wrong.
fn noise(seed: u64) -> Vec<Vec<u8>> {
    let mut dice = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut roll = |sides: u64| {
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        (dice >> 11) % sides
    };
    let request = crate::wire::DeltaRequest {
        type_url: CLUSTER.to_owned(),
        resource_names_subscribe: vec!["*".to_owned(), "a".to_owned()],
        initial_resource_versions: [("a".to_owned(), "1.1-x".to_owned())].into(),
        ..Default::default()
    };
    let mut message = prost::Message::encode_to_vec(&request);
    for _ in 0..roll(6) {
        let at = roll(message.len() as u64) as usize;
        match roll(3) {
            0 => message[at] = roll(256) as u8,
            1 => message.truncate(at.max(1)),
            _ => message.insert(at, roll(256) as u8),
        }
    }
    let flag = if roll(8) == 0 { roll(256) as u8 } else { 0 };
    let len = if roll(8) == 0 { roll(1 << 20) as u32 } else { message.len() as u32 };
    let bytes = framed(flag, len, &message);
    bytes.chunks(1 + roll(9) as usize).map(<[u8]>::to_vec).collect()
}

#[tokio::test]
async fn whatever_is_written_others_are_served() {
    let server = start(Limits::default()).await;
    for seed in 1..=150 {
        let _ = raw(&server, noise(seed)).await;
    }
    others_are_served(&server).await;
}
