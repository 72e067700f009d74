//! What ends a stream, and what one stream may not do to another.

use std::time::Duration;

use model::type_urls::{CLUSTER, ENDPOINT};
use tonic::{Code, Status};
use xds::{Event, Limits, Options};

use crate::client::{Delta, Proto};
use crate::server::{Server, change, resource};
use crate::state_client::State;
use crate::wire::{DeltaRequest, Node, StateRequest};

/// How a stream ends on which only this is said.
async fn end(server: &Server, request: DeltaRequest) -> Status {
    let mut client = Delta::connect(server).await;
    client.send(request).await;
    loop {
        match client.hear().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("it ended well"),
            Err(status) => return status,
        }
    }
}

fn asking(type_url: &str, names: &[&str]) -> DeltaRequest {
    DeltaRequest {
        type_url: type_url.into(),
        resource_names_subscribe: crate::client::strings(names),
        ..Default::default()
    }
}

#[tokio::test]
async fn what_cannot_be_served_is_said_in_the_status() {
    let limits = Limits { names: 3, message_bytes: 4096, ..Limits::default() };
    let server = Server::with(limits, Options::default()).await;
    let stranger = Some(Node { id: "x".into(), cluster: "stranger".into() });
    let long = "n".repeat(1025);
    for (code, request) in [
        (Code::InvalidArgument, asking("", &[])),
        (Code::InvalidArgument, asking(ENDPOINT, &[&long])),
        (Code::ResourceExhausted, asking(ENDPOINT, &["1", "2", "3", "4"])),
        (Code::ResourceExhausted, asking(ENDPOINT, &[&"n".repeat(5000)])),
        (Code::PermissionDenied, DeltaRequest { node: stranger, ..asking(CLUSTER, &[]) }),
    ] {
        let status = end(&server, request).await;
        assert_eq!(status.code(), code, "{status}");
    }
    let mut client = State::connect(&server).await;
    client.send(StateRequest::default()).await;
    assert_eq!(client.hear().await.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test]
async fn more_streams_than_the_limit_are_told_to_come_back() {
    let mut server =
        Server::with(Limits { streams: 1, ..Limits::default() }, Options::default()).await;
    let mut first = Delta::connect(&server).await;
    first.ask(CLUSTER, &[]).await;
    first.expect(CLUSTER, &[]).await;
    let refused = Delta::try_connect(&server).await.err().expect("it is refused");
    assert_eq!(refused.code(), Code::Unavailable);
    drop(first);
    server.event(|event| matches!(event, Event::Closed { .. }).then_some(())).await;
    loop {
        // The place is free as soon as the stream's task has ended, just after it has said so.
        match Delta::try_connect(&server).await {
            Ok(mut client) => {
                client.ask(CLUSTER, &[]).await;
                return client.expect(CLUSTER, &[]).await;
            }
            Err(status) => assert_eq!(status.code(), Code::Unavailable),
        }
    }
}

#[tokio::test]
async fn other_methods_are_not_implemented() {
    let server = Server::start().await;
    let channel = tonic::transport::Channel::from_shared(server.address.clone()).unwrap();
    let mut grpc = tonic::client::Grpc::new(channel.connect().await.unwrap());
    grpc.ready().await.unwrap();
    let path = "/envoy.service.cluster.v3.ClusterDiscoveryService/FetchClusters".parse().unwrap();
    let codec = Proto::<DeltaRequest, DeltaRequest>::default();
    let request = tonic::Request::new(DeltaRequest::default());
    let status = grpc.unary(request, path, codec).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
}

#[tokio::test]
async fn a_closed_cache_answers_nobody_until_it_opens() {
    let mut server = Server::closed(Limits::default(), Options::default()).await;
    let mut client = Delta::connect(&server).await;
    let held = resource(CLUSTER, "kept", "x").version.to_string();
    client.resume(CLUSTER, &[], &[("kept", &held)]).await;
    // The stream is there and waits; it would have been emptied now.
    server.event(|event| matches!(event, Event::Opened { .. }).then_some(())).await;
    server.apply("a", &[resource(CLUSTER, "kept", "x"), resource(CLUSTER, "new", "x")], &[]);
    server.cache.open();
    client.expect(CLUSTER, &["new"]).await;
    client.quiet().await;
}

#[tokio::test]
async fn a_drain_ends_streams_and_refuses_new_ones() {
    let mut server = Server::closed(Limits::default(), Options::default()).await;
    let mut waiting = Delta::connect(&server).await;
    waiting.ask(CLUSTER, &[]).await;
    server.event(|event| matches!(event, Event::Opened { .. }).then_some(())).await;
    let mut mute = Delta::connect(&server).await;
    server.stop();
    for client in [&mut waiting, &mut mute] {
        assert_eq!(client.hear().await.unwrap_err().code(), Code::Unavailable);
    }
    server.event(|event| matches!(event, Event::Closed { .. }).then_some(())).await;
}

#[tokio::test]
async fn a_stream_that_is_recalled_ends_and_no_other_does() {
    let mut server = Server::start().await;
    let mut streams = Vec::new();
    let mut clients = Vec::new();
    for _ in 0..2 {
        let mut client = Delta::connect(&server).await;
        client.ask(CLUSTER, &[]).await;
        client.expect(CLUSTER, &[]).await;
        clients.push(client);
        let opened = |event| match event {
            Event::Opened { stream, early, .. } => Some((stream, early)),
            _ => None,
        };
        streams.push(server.event(opened).await);
    }
    let [(first, false), (_, false)] = streams[..] else { panic!("nobody is early") };
    server.cache.recall([first]);
    assert_eq!(clients[0].hear().await.unwrap_err().code(), Code::Unavailable);
    server.event(|event| (event == Event::Closed { stream: first }).then_some(())).await;
    server.apply("a", &[resource(CLUSTER, "new", "x")], &[]);
    clients[1].expect(CLUSTER, &["new"]).await;
}

#[tokio::test]
async fn who_does_not_answer_is_told_no_more_and_holds_up_nobody() {
    let limits = Limits { in_flight: 4, ..Limits::default() };
    let server = Server::with(limits, Options::default()).await;
    let mut mute = Delta::connect(&server).await;
    mute.ask(CLUSTER, &[]).await;
    mute.expect(CLUSTER, &[]).await;
    let mut other = Delta::connect(&server).await;
    other.ask(CLUSTER, &[]).await;
    other.expect(CLUSTER, &[]).await;
    for n in 0..20 {
        let name = format!("{n}");
        server.apply(&name, &[resource(CLUSTER, &name, "x")], &[]);
        other.expect(CLUSTER, &[&name]).await;
    }
    let mut heard = Vec::new();
    for _ in 0..4 {
        heard.push(mute.next().await);
    }
    // Not even a question is answered now; after an answer, all is.
    for response in &heard {
        mute.ack(response).await;
    }
    let mut names = 4;
    while names < 20 {
        let response = mute.next().await;
        mute.ack(&response).await;
        names += response.resources.len();
    }
    mute.quiet().await;
}

#[tokio::test]
async fn who_does_not_read_costs_only_itself_and_gets_the_last_state() {
    let mut server = Server::start().await;
    let mut lazy = Delta::connect(&server).await;
    let mut keen = Delta::connect(&server).await;
    for client in [&mut lazy, &mut keen] {
        client.ask(CLUSTER, &[]).await;
        client.expect(CLUSTER, &[]).await;
    }
    server.synced().await;
    let large = "x".repeat(100_000);
    let round = |n: usize| {
        let set = |owner: usize| {
            let body = format!("{n}{large}");
            change(&owner.to_string(), &[resource(CLUSTER, &owner.to_string(), &body)], &[])
        };
        (0..40).map(set).collect::<Vec<_>>()
    };
    for n in 0..5 {
        let seq = server.cache.apply(round(n));
        let mut behind = 40;
        while behind > 0 {
            let response = keen.next().await;
            keen.ack(&response).await;
            behind -= response.resources.len();
        }
        server
            .event(|event| match event {
                Event::Synced { seq: synced, .. } if synced == seq => Some(()),
                _ => None,
            })
            .await;
    }
    // Sixteen megabytes passed by; what is read now is little of the past, and the last state.
    let (mut last, mut read) = (0, 0);
    while last < 40 {
        let response = lazy.next().await;
        lazy.ack(&response).await;
        let bodies = response.resources.iter().map(|r| r.resource.as_ref().unwrap().value[0]);
        last += bodies.filter(|body| *body == b'4').count();
        read += response.resources.len();
    }
    assert!(read < 150, "{read} of 200 versions were read");
    lazy.quiet().await;
}

#[tokio::test]
async fn a_step_that_waits_forever_ends_with_the_stream() {
    let limits = Limits { patience: Duration::from_secs(3600), ..Limits::default() };
    let mut server = Server::with(limits, Options::default()).await;
    let mut client = Delta::connect(&server).await;
    client.ask(CLUSTER, &[]).await;
    client.expect(CLUSTER, &[]).await;
    server.apply("a", &[resource(CLUSTER, "a", "x")], &[]);
    let _unanswered = client.next().await;
    drop(client);
    server.event(|event| matches!(event, Event::Closed { .. }).then_some(())).await;
}
