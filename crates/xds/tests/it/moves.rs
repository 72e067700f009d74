//! Clients that are served from another cache from some moment on.

use std::sync::Arc;

use model::type_urls::{CLUSTER, ENDPOINT};
use tonic::Code;
use xds::{Event, StreamId};

use crate::client::Delta;
use crate::server::{Server, change, resource};
use crate::state_client::State;

async fn opened(server: &mut Server) -> (StreamId, bool) {
    let opened = |event| match event {
        Event::Opened { stream, early, .. } => Some((stream, early)),
        _ => None,
    };
    server.event(opened).await
}

/// A client with a cluster and its endpoints, and its stream.
async fn settled(server: &mut Server) -> (Delta, StreamId) {
    server.apply("a", &[resource(CLUSTER, "a", "x"), resource(ENDPOINT, "a", "x")], &[]);
    let mut client = Delta::connect(server).await;
    client.ask(CLUSTER, &[]).await;
    client.expect(CLUSTER, &["a"]).await;
    client.ask(ENDPOINT, &["a"]).await;
    client.expect(ENDPOINT, &["a"]).await;
    let (stream, early) = opened(server).await;
    assert!(!early);
    server.synced().await;
    (client, stream)
}

#[tokio::test]
async fn a_client_that_has_all_moves_on_its_stream_and_is_sent_what_differs() {
    let mut server = Server::start().await;
    let (mut client, first) = settled(&mut server).await;
    let fork = Arc::new(server.cache.fork());
    fork.apply(vec![change("b", &[resource(CLUSTER, "tried", "x")], &[])]);
    server.assign(&fork);
    server.cache.recall([first]);
    server.event(|event| (event == Event::Closed { stream: first }).then_some(())).await;
    let (second, early) = opened(&mut server).await;
    assert!(early && second != first);
    client.expect(CLUSTER, &["tried"]).await;
    server.synced().await;

    // What it has asked for, it has asked for.
    fork.apply(vec![change("a", &[resource(ENDPOINT, "a", "y")], &[])]);
    client.expect(ENDPOINT, &["a"]).await;
    fork.apply(vec![change("b", &[], &[(CLUSTER, "tried")])]);
    client.expect(CLUSTER, &["-tried"]).await;
    server.apply("c", &[resource(CLUSTER, "elsewhere", "x")], &[]);
    client.quiet().await;
}

#[tokio::test]
async fn a_client_that_refuses_something_comes_back_for_it() {
    let mut server = Server::start().await;
    let (mut client, first) = settled(&mut server).await;
    server.apply("b", &[resource(CLUSTER, "bad", "x")], &[]);
    let response = client.next().await;
    client.nack(&response, "no").await;
    server.rejected("b").await;
    server.assign(&Arc::new(server.cache.fork()));
    server.cache.recall([first]);
    assert_eq!(client.hear().await.unwrap_err().code(), Code::Unavailable);
}

#[tokio::test]
async fn a_client_of_the_state_of_the_world_comes_back_for_it() {
    let mut server = Server::start().await;
    let mut client = State::connect(&server).await;
    client.ask(CLUSTER, &[]).await;
    client.expect(CLUSTER, &[]).await;
    let (stream, _) = opened(&mut server).await;
    server.assign(&Arc::new(server.cache.fork()));
    server.cache.recall([stream]);
    assert_eq!(client.hear().await.unwrap_err().code(), Code::Unavailable);
}
