//! Clients that are served from another cache from some moment on.

use std::sync::Arc;

use model::Resource;
use model::type_urls::{CLUSTER, ENDPOINT, ROUTE};
use tonic::Code;
use xds::{Event, StreamId};

use crate::client::Delta;
use crate::lanes::{DeltaLanes, StateLanes};
use crate::script::Speaker;
use crate::server::{Server, change, resource};
use crate::state_client::{State, bodies};

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

/// A client of the state of the world with a cluster and its endpoints, and its stream.
async fn whole(server: &mut Server) -> (State, StreamId) {
    server.apply("a", &[resource(CLUSTER, "a", "x"), resource(ENDPOINT, "a", "x")], &[]);
    let mut client = State::connect(server).await;
    client.ask(CLUSTER, &[]).await;
    client.expect(CLUSTER, &["x"]).await;
    client.ask(ENDPOINT, &["a"]).await;
    client.expect(ENDPOINT, &["x"]).await;
    let (stream, early) = opened(server).await;
    assert!(!early);
    server.synced().await;
    (client, stream)
}

#[tokio::test]
async fn a_client_of_the_state_of_the_world_moves_on_its_stream() {
    let mut server = Server::start().await;
    let (mut client, first) = whole(&mut server).await;
    let fork = Arc::new(server.cache.fork());
    let tried = [resource(CLUSTER, "tried", "t"), resource(ENDPOINT, "a", "y")];
    fork.apply(vec![change("b", &tried, &[])]);
    server.assign(&fork);
    server.cache.recall([first]);
    server.event(|event| (event == Event::Closed { stream: first }).then_some(())).await;
    let (second, early) = opened(&mut server).await;
    assert!(early && second != first);
    client.expect(CLUSTER, &["t", "x"]).await;
    client.expect(ENDPOINT, &["y"]).await;
    server.synced().await;
    // What it has asked for, it has asked for.
    fork.apply(vec![change("b", &[resource(ENDPOINT, "a", "z")], &[])]);
    client.expect(ENDPOINT, &["z"]).await;
    server.apply("c", &[resource(CLUSTER, "elsewhere", "e")], &[]);
    client.quiet().await;
    // And back, with nothing said: both caches have the same.
    let home = Arc::new(fork.fork());
    server.assign(&home);
    fork.recall([second]);
    server.event(|event| (event == Event::Closed { stream: second }).then_some(())).await;
    client.quiet().await;
    // What it says next is an answer to what it heard there.
    client.ask(ENDPOINT, &["a", "new"]).await;
    client.expect(ENDPOINT, &["new="]).await;
    home.apply(vec![change("b", &[], &[(CLUSTER, "tried")])]);
    client.expect(CLUSTER, &["x"]).await;
}

#[tokio::test]
async fn what_a_client_of_the_state_of_the_world_refuses_there_it_keeps_as_it_was() {
    let mut server = Server::start().await;
    let (mut client, first) = whole(&mut server).await;
    let fork = Arc::new(server.cache.fork());
    let bad = [resource(CLUSTER, "a", "bad"), resource(CLUSTER, "more", "m")];
    fork.apply(vec![change("a", &bad[..1], &[]), change("b", &bad[1..], &[])]);
    server.assign(&fork);
    server.cache.recall([first]);
    let mut held = vec!["x".to_owned()];
    let refused = loop {
        let response = client.next().await;
        let bodies = bodies(&response);
        let is_bad = bodies.contains(&"bad".to_owned());
        client.answer(&response, is_bad.then_some("no")).await;
        if response.type_url == CLUSTER {
            assert!(bodies.contains(&"x".to_owned()) || is_bad, "{bodies:?}: it is taken away");
            held = if is_bad { held } else { bodies };
        }
        if held.len() == 2 {
            break server.rejected("a").await;
        }
    };
    assert_eq!((held, refused.1.as_str()), (vec!["m".to_owned(), "x".to_owned()], "a"));
}

#[tokio::test]
async fn a_client_of_the_state_of_the_world_that_refuses_something_comes_back_for_it() {
    let mut server = Server::start().await;
    let (mut client, first) = whole(&mut server).await;
    server.apply("b", &[resource(CLUSTER, "bad", "x")], &[]);
    let response = client.next().await;
    client.answer(&response, Some("no")).await;
    server.rejected("b").await;
    server.assign(&Arc::new(server.cache.fork()));
    server.cache.recall([first]);
    while let Ok(response) = client.hear().await {
        client.answer(&response.expect("it goes on"), None).await;
    }
}

/// A process of its own.
async fn replica(routes: &[Resource]) -> Server {
    let server = Server::start().await;
    server.apply("b", &[resource(ROUTE, "beside", "b")], &[]);
    server.apply("a", routes, &[]);
    server
}

#[tokio::test]
async fn a_client_of_the_state_of_the_world_that_has_all_it_names_is_sent_nothing_elsewhere() {
    let route = |name: &str, body: &str, revision| {
        let mut route = resource(ROUTE, name, body);
        route.version.revision = revision;
        route
    };
    let (old, new) = (route("r", "old", 1), route("r", "new", 2));
    let one = replica(&[route("s", "s", 1), old, route("t", "t", 1)]).await;
    let mut client = State::connect(&one).await;
    // Step by step, and not all that is there.
    client.ask(ROUTE, &["r"]).await;
    client.expect(ROUTE, &["old"]).await;
    client.ask(ROUTE, &["r", "s"]).await;
    client.expect(ROUTE, &["s"]).await;
    one.apply("a", std::slice::from_ref(&new), &[]);
    let version = client.expect(ROUTE, &["new"]).await;

    let same = replica(&[new, route("s", "s", 1)]).await;
    let mut client = State::connect(&same).await;
    client.resume(ROUTE, &["s", "r"], Some(&version)).await;
    client.quiet().await;
    same.apply("a", &[route("s", "ss", 3)], &[]);
    client.expect(ROUTE, &["ss"]).await;
}

/// Streams of single types move together.
async fn lanes_move<S: Speaker>(tried: &[&str], gone: &[&str]) {
    let mut server = Server::start().await;
    server.apply("a", &[resource(CLUSTER, "a", "a"), resource(ENDPOINT, "a", "a")], &[]);
    let mut client = S::join(&server, None).await;
    for (type_url, names) in [(CLUSTER, &[][..]), (ENDPOINT, &["a"])] {
        client.ask(type_url, names).await;
        let response = client.hear().await;
        S::check(&response, type_url, &["a"]);
        client.answer(&response, None).await;
    }
    let (first, _) = opened(&mut server).await;
    server.synced().await;
    let fork = Arc::new(server.cache.fork());
    fork.apply(vec![change("b", &[resource(CLUSTER, "tried", "tried")], &[])]);
    server.assign(&fork);
    server.cache.recall([first]);
    server.event(|event| (event == Event::Closed { stream: first }).then_some(())).await;
    assert!(opened(&mut server).await.1);
    let response = client.hear().await;
    S::check(&response, CLUSTER, tried);
    client.answer(&response, None).await;
    server.synced().await;
    fork.apply(vec![change("b", &[], &[(CLUSTER, "tried")])]);
    S::check(&client.hear().await, CLUSTER, gone);
}

#[tokio::test]
async fn streams_of_single_types_move_in_delta() {
    lanes_move::<DeltaLanes>(&["tried"], &["-tried"]).await;
}

#[tokio::test]
async fn streams_of_single_types_move_in_the_state_of_the_world() {
    lanes_move::<StateLanes>(&["a", "tried"], &["a"]).await;
}
