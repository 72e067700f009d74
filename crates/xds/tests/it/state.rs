//! State of the world: what is asked for is answered, and what changes arrives in order.

use model::Resource;
use model::type_urls::{CLUSTER, ENDPOINT, LISTENER, ROUTE, SCOPED_ROUTE};

use crate::server::{Server, change, resource};
use crate::state_client::{State, bodies, sorted};

/// Cluster, endpoints, scope and route configuration; bodies say whose and what.
fn tenant(name: &str, version: &str) -> Vec<Resource> {
    let part = |kind, name: String, what: &str| resource(kind, &name, &format!("{what}{version}"));
    vec![
        part(CLUSTER, format!("{name}/c"), &format!("{name}-c")),
        part(ENDPOINT, format!("{name}/c"), &format!("{name}-e")),
        part(ROUTE, format!("public/{name}"), &format!("{name}-r")),
        part(SCOPED_ROUTE, format!("public/{name}.test"), &format!("{name}-s")),
    ]
}

async fn ready(server: &mut Server, client: &mut State) {
    for kind in [CLUSTER, LISTENER, SCOPED_ROUTE] {
        client.ask(kind, &[]).await;
        client.expect(kind, &[]).await;
    }
    server.synced().await;
}

#[tokio::test]
async fn a_wildcard_gets_all_each_time_and_names_what_changed() {
    let mut server = Server::start().await;
    server.apply("a", &[resource(CLUSTER, "1", "1a"), resource(CLUSTER, "2", "2a")], &[]);
    server.apply("e", &[resource(ENDPOINT, "1", "e1a"), resource(ENDPOINT, "2", "e2a")], &[]);
    let mut client = State::connect(&server).await;
    client.ask(CLUSTER, &[]).await;
    client.expect(CLUSTER, &["1a", "2a"]).await;
    client.ask(ENDPOINT, &["1", "2"]).await;
    client.expect(ENDPOINT, &["e1a", "e2a"]).await;
    server.apply("e", &[resource(ENDPOINT, "2", "e2b")], &[]);
    client.expect(ENDPOINT, &["e2b"]).await;
    assert_eq!(server.synced().await, 3);
    server.apply("a", &[resource(CLUSTER, "1", "1b")], &[]);
    client.expect(CLUSTER, &["1b", "2a"]).await;
    client.expect(ENDPOINT, &["e1a"]).await;
    assert_eq!(server.settled("a").await, 4);
    server.apply("a", &[resource(CLUSTER, "1", "1b")], &[]);
    assert_eq!(server.settled("a").await, 5);
    client.quiet().await;
    server.apply("a", &[], &[(CLUSTER, "1")]);
    client.expect(CLUSTER, &["2a"]).await;
    assert_eq!(server.settled("a").await, 6);
}

#[tokio::test]
async fn a_tenant_comes_changes_and_goes_in_order() {
    let mut server = Server::start().await;
    let mut client = State::connect(&server).await;
    ready(&mut server, &mut client).await;
    server.apply("a", &tenant("a", "1"), &[]);
    let cluster = client.next().await;
    client.ask(ENDPOINT, &["a/c"]).await;
    client.expect(ENDPOINT, &["a-e1"]).await;
    client.ack(&cluster).await;
    client.expect(SCOPED_ROUTE, &["a-s1"]).await;
    client.ask(ROUTE, &["public/a"]).await;
    client.expect(ROUTE, &["a-r1"]).await;
    assert_eq!(server.settled("a").await, 1);
    // Another cluster in its place: both are there until nothing names the old one.
    let mut next = tenant("a", "2");
    next[0] = resource(CLUSTER, "a/d", "a-d2");
    server.apply("a", &next, &[(CLUSTER, "a/c")]);
    let both = client.next().await;
    assert_eq!(bodies(&both), sorted(&["a-c1", "a-d2"]));
    client.expect(ENDPOINT, &["a-e2"]).await;
    client.quiet().await;
    client.ack(&both).await;
    client.expect(ROUTE, &["a-r2"]).await;
    client.expect(SCOPED_ROUTE, &["a-s2"]).await;
    client.expect(CLUSTER, &["a-d2"]).await;
    assert_eq!(server.settled("a").await, 2);
    let gone: Vec<_> = next.iter().map(|r| (r.type_url.as_str(), &*r.name)).collect();
    server.apply("a", &[], &gone);
    let scope = client.next().await;
    assert_eq!((scope.type_url.as_str(), scope.resources.len()), (SCOPED_ROUTE, 0));
    client.ask(ROUTE, &[]).await;
    client.ack(&scope).await;
    let cluster = client.next().await;
    assert_eq!((cluster.type_url.as_str(), cluster.resources.len()), (CLUSTER, 0));
    client.ask(ENDPOINT, &[]).await;
    client.ack(&cluster).await;
    assert_eq!(server.settled("a").await, 3);
    client.quiet().await;
}

#[tokio::test]
async fn the_culprit_of_a_refused_state_is_found_and_others_go_on() {
    let mut server = Server::start().await;
    let mut client = State::connect(&server).await;
    client.ask(CLUSTER, &[]).await;
    client.expect(CLUSTER, &[]).await;
    server.synced().await;
    let good =
        |n: usize| change(&format!("o{n}"), &[resource(CLUSTER, &n.to_string(), "good")], &[]);
    server.cache.apply((0..8).map(good).collect());
    client.expect(CLUSTER, &["good"; 8]).await;
    server.settled("o7").await;
    let next = |n: usize| {
        let body = if n == 5 { "bad" } else { "better" };
        change(&format!("o{n}"), &[resource(CLUSTER, &n.to_string(), body)], &[])
    };
    server.cache.apply((0..8).map(next).collect());
    let mut responses = 0;
    loop {
        let response = client.next().await;
        responses += 1;
        assert_eq!(response.resources.len(), 8, "absence would be deletion");
        if bodies(&response).contains(&"bad".to_owned()) {
            client.nack(&response, "no").await;
        } else {
            client.ack(&response).await;
            if bodies(&response).iter().filter(|body| *body == "better").count() == 7 {
                break;
            }
        }
    }
    assert!(responses <= 8, "{responses} responses");
    assert_eq!(server.rejected("o5").await, (14, "5".into(), "no".into()));
    assert_eq!(server.settled("o6").await, 15);
    client.quiet().await;
    // Others go on, with the last good version of the culprit beside them.
    server.apply("o1", &[resource(CLUSTER, "1", "best")], &[]);
    let response = client.next().await;
    assert!(
        bodies(&response).contains(&"best".into()) && bodies(&response).contains(&"good".into())
    );
    client.ack(&response).await;
    server.settled("o1").await;
    server.apply("o5", &[resource(CLUSTER, "5", "mended")], &[]);
    let response = client.next().await;
    assert!(bodies(&response).contains(&"mended".into()));
    client.ack(&response).await;
    server.settled("o5").await;
}

#[tokio::test]
async fn of_a_refused_owner_nothing_more_is_sent() {
    let mut server = Server::start().await;
    let mut client = State::connect(&server).await;
    ready(&mut server, &mut client).await;
    server.apply("a", &tenant("a", "1"), &[]);
    client.expect(CLUSTER, &["a-c1"]).await;
    client.expect(SCOPED_ROUTE, &["a-s1"]).await;
    client.ask(ROUTE, &["public/a"]).await;
    client.expect(ROUTE, &["a-r1"]).await;
    server.settled("a").await;
    server.apply("a", &tenant("a", "2"), &[]);
    let cluster = client.next().await;
    client.nack(&cluster, "no").await;
    server.rejected("a").await;
    server.apply("b", &tenant("b", "1"), &[]);
    client.expect(CLUSTER, &["a-c1", "b-c1"]).await;
    client.expect(SCOPED_ROUTE, &["a-s1", "b-s1"]).await;
    client.ask(ROUTE, &["public/a", "public/b"]).await;
    client.expect(ROUTE, &["b-r1"]).await;
    server.settled("b").await;
    let mut back = tenant("a", "3");
    back[0] = resource(CLUSTER, "a/c", "a-c1");
    server.apply("a", &back, &[]);
    client.expect(ROUTE, &["a-r3"]).await;
    client.expect(SCOPED_ROUTE, &["a-s3", "b-s1"]).await;
    server.settled("a").await;
    client.quiet().await;
}

#[tokio::test]
async fn who_comes_back_with_everything_gets_nothing() {
    let server = Server::start().await;
    server.apply("a", &[resource(CLUSTER, "1", "a"), resource(CLUSTER, "2", "b")], &[]);
    let mut client = State::connect(&server).await;
    client.ask(CLUSTER, &[]).await;
    let version = client.expect(CLUSTER, &["a", "b"]).await;
    let mut back = State::connect(&server).await;
    back.resume(CLUSTER, &[], Some(&version)).await;
    back.quiet().await;
    server.apply("a", &[], &[(CLUSTER, "2")]);
    back.expect(CLUSTER, &["a"]).await;
    client.expect(CLUSTER, &["a"]).await;
    let mut late = State::connect(&server).await;
    late.resume(CLUSTER, &[], Some(&version)).await;
    late.expect(CLUSTER, &["a"]).await;
}
