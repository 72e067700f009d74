//! Delta: what is asked for is answered, and what changes arrives in order.

use std::time::Duration;

use model::type_urls::{CLUSTER, ENDPOINT, LISTENER, ROUTE, SCOPED_ROUTE};
use tonic::Code;
use xds::{Event, Limits, Options};

use crate::client::Delta;
use crate::server::{Server, resource};

#[tokio::test]
async fn a_wildcard_gets_everything_and_then_what_changes() {
    let mut server = Server::start().await;
    server.apply("a", &[resource(CLUSTER, "a/1", "v1"), resource(CLUSTER, "a/2", "v1")], &[]);
    let mut client = Delta::connect(&server).await;
    client.ask(CLUSTER, &[]).await;
    client.expect(CLUSTER, &["a/1", "a/2"]).await;
    assert_eq!(server.synced().await, 1);
    server.apply("a", &[resource(CLUSTER, "a/1", "v1"), resource(CLUSTER, "a/2", "v2")], &[]);
    client.expect(CLUSTER, &["a/2"]).await;
    assert_eq!(server.settled("a").await, 2);
    server.apply("a", &[], &[(CLUSTER, "a/1")]);
    client.expect(CLUSTER, &["-a/1"]).await;
    assert_eq!(server.settled("a").await, 3);
    client.quiet().await;
}

#[tokio::test]
async fn an_empty_cache_is_synced_at_once() {
    let mut server = Server::start().await;
    let mut client = Delta::connect(&server).await;
    for kind in [CLUSTER, LISTENER, SCOPED_ROUTE] {
        client.ask(kind, &[]).await;
        client.expect(kind, &[]).await;
    }
    assert_eq!(server.synced().await, 0);
}

/// A tenant: a cluster, its endpoints, a scope and its route configuration.
fn tenant(name: &str, body: &str) -> Vec<model::Resource> {
    vec![
        resource(CLUSTER, &format!("{name}/c"), body),
        resource(ENDPOINT, &format!("{name}/c"), body),
        resource(ROUTE, &format!("public/{name}"), body),
        resource(SCOPED_ROUTE, &format!("public/{name}.test"), body),
    ]
}

#[tokio::test]
async fn a_tenant_comes_changes_and_goes_in_order() {
    let mut server = Server::start().await;
    let mut client = Delta::connect(&server).await;
    for kind in [CLUSTER, LISTENER, SCOPED_ROUTE] {
        client.ask(kind, &[]).await;
        client.expect(kind, &[]).await;
    }
    server.synced().await;
    // New: nothing live can break, so the scope does not wait for the cluster.
    server.apply("a", &tenant("a", "v1"), &[]);
    let cluster = client.next().await;
    let scope = client.next().await;
    assert_eq!((cluster.type_url.as_str(), scope.type_url.as_str()), (CLUSTER, SCOPED_ROUTE));
    client.ask(ENDPOINT, &["a/c"]).await;
    client.expect(ENDPOINT, &["a/c"]).await;
    client.ack(&cluster).await;
    client.ack(&scope).await;
    client.ask(ROUTE, &["public/a"]).await;
    client.expect(ROUTE, &["public/a"]).await;
    assert_eq!(server.settled("a").await, 1);
    // Changed: each step waits for the one before.
    server.apply("a", &tenant("a", "v2"), &[]);
    let cluster = client.next().await;
    let endpoints = client.next().await;
    assert_eq!((cluster.type_url.as_str(), endpoints.type_url.as_str()), (CLUSTER, ENDPOINT));
    client.quiet().await;
    client.ack(&cluster).await;
    client.quiet().await;
    client.ack(&endpoints).await;
    let route = client.next().await;
    assert_eq!(route.type_url, ROUTE);
    client.quiet().await;
    client.ack(&route).await;
    client.expect(SCOPED_ROUTE, &["public/a.test"]).await;
    assert_eq!(server.settled("a").await, 2);
    // Gone: scopes first, then clusters; endpoints only if the client holds on to them.
    let gone = tenant("a", "");
    let gone: Vec<_> = gone.iter().map(|r| (r.type_url.as_str(), &*r.name)).collect();
    server.apply("a", &[], &gone);
    let scope = client.next().await;
    assert_eq!(scope.removed_resources, ["public/a.test"]);
    client.quiet().await;
    client.leave(ROUTE, &["public/a"]).await;
    client.ack(&scope).await;
    let cluster = client.next().await;
    assert_eq!(cluster.removed_resources, ["a/c"]);
    client.leave(ENDPOINT, &["a/c"]).await;
    client.ack(&cluster).await;
    assert_eq!(server.settled("a").await, 3);
    client.quiet().await;
}

#[tokio::test]
async fn what_is_refused_is_named_and_others_go_on() {
    let mut server = Server::start().await;
    let mut client = Delta::connect(&server).await;
    client.ask(CLUSTER, &[]).await;
    client.expect(CLUSTER, &[]).await;
    server.synced().await;
    server.apply("bad", &[resource(CLUSTER, "bad/c", "v1"), resource(CLUSTER, "bad/d", "v1")], &[]);
    let response = client.next().await;
    client.nack(&response, "no such thing").await;
    let mut alone = [client.next().await, client.next().await];
    alone.sort_by(|a, b| a.resources[0].name.cmp(&b.resources[0].name));
    client.nack(&alone[0], "connect_timeout is zero").await;
    client.ack(&alone[1]).await;
    let refused = server.rejected("bad").await;
    assert_eq!(refused, (1, "bad/c".into(), "connect_timeout is zero".into()));
    server.apply("good", &[resource(CLUSTER, "good/c", "v1")], &[]);
    client.expect(CLUSTER, &["good/c"]).await;
    assert_eq!(server.settled("good").await, 2);
    server.apply("bad", &[resource(CLUSTER, "bad/c", "v2")], &[]);
    client.expect(CLUSTER, &["bad/c"]).await;
    assert_eq!(server.settled("bad").await, 3);
    client.quiet().await;
}

#[tokio::test]
async fn a_client_that_comes_back_gets_only_what_changed() {
    let limits = Limits { gather: Duration::from_millis(50), ..Limits::default() };
    let mut server = Server::with(limits, Options::default()).await;
    let same = resource(CLUSTER, "a/same", "v1");
    let old = resource(CLUSTER, "a/changed", "v1");
    server.apply(
        "a",
        &[same.clone(), resource(CLUSTER, "a/changed", "v2"), resource(CLUSTER, "a/new", "v1")],
        &[],
    );
    let mut client = Delta::connect(&server).await;
    // The version may have been made by another server: only its content counts.
    let elsewhere = format!("7.9-{:016x}", same.version.hash);
    let held = [
        ("a/same", elsewhere.as_str()),
        ("a/changed", &old.version.to_string()),
        ("a/gone", &old.version.to_string()),
    ];
    client.resume(CLUSTER, &[], &held).await;
    client.expect(CLUSTER, &["a/new"]).await;
    client.expect(CLUSTER, &["a/changed"]).await;
    client.expect(CLUSTER, &["-a/gone"]).await;
    assert_eq!(server.synced().await, 1);
    let mut client = Delta::connect(&server).await;
    client.resume(CLUSTER, &[], &held[..1]).await;
    client.expect(CLUSTER, &["a/changed", "a/new"]).await;
    client.quiet().await;
}

#[tokio::test]
async fn a_drain_ends_streams_and_refuses_new_ones() {
    let mut server = Server::start().await;
    let mut client = Delta::connect(&server).await;
    client.ask(CLUSTER, &[]).await;
    client.expect(CLUSTER, &[]).await;
    let mut late = Delta::connect(&server).await;
    server.stop();
    assert_eq!(client.hear().await.unwrap_err().code(), Code::Unavailable);
    assert_eq!(late.hear().await.unwrap_err().code(), Code::Unavailable);
    server.event(|event| matches!(event, Event::Closed { .. }).then_some(())).await;
}
