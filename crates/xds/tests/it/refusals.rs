//! One bad resource among many that changed in one go: what a conversation is too long for.

use model::type_urls::CLUSTER;
use xds::Change;

use crate::client::{Delta, names};
use crate::server::{Server, change, resource};
use crate::state_client::{State, bodies};

fn give(n: usize, body: &str) -> Change {
    change(&format!("o{n}"), &[resource(CLUSTER, &n.to_string(), body)], &[])
}

#[tokio::test]
async fn in_delta_each_of_a_refused_response_is_sent_again_alone() {
    let mut server = Server::start().await;
    let mut client = Delta::connect(&server).await;
    client.ask(CLUSTER, &[]).await;
    client.expect(CLUSTER, &[]).await;
    server.synced().await;
    let body = |n| if n == 25 { "bad" } else { "good" };
    server.cache.apply((0..40).map(|n| give(n, body(n))).collect());
    let all = client.next().await;
    assert_eq!(all.resources.len(), 40, "many that wait share a response");
    client.nack(&all, "one of them").await;
    for _ in 0..40 {
        let alone = client.next().await;
        match names(&alone)[..] {
            [ref name] if name == "25" => client.nack(&alone, "bad").await,
            [_] => client.ack(&alone).await,
            _ => panic!("not alone: {alone:?}"),
        }
    }
    assert_eq!(server.rejected("o25").await, (26, "25".into(), "bad".into()));
    assert_eq!(server.settled("o39").await, 40);
    client.quiet().await;
    server.cache.apply(vec![give(25, "good")]);
    client.expect(CLUSTER, &["25"]).await;
    assert_eq!(server.settled("o25").await, 41);
}

#[tokio::test]
async fn the_culprit_of_a_refused_state_is_found_by_halves() {
    let mut server = Server::start().await;
    let mut client = State::connect(&server).await;
    client.ask(CLUSTER, &[]).await;
    client.expect(CLUSTER, &[]).await;
    server.synced().await;
    let give =
        |n: usize, body| change(&format!("o{n}"), &[resource(CLUSTER, &n.to_string(), body)], &[]);
    server.cache.apply((0..8).map(|n| give(n, "good")).collect());
    client.expect(CLUSTER, &["good"; 8]).await;
    server.settled("o7").await;
    let bad = |n| if n == 5 { "bad" } else { "better" };
    server.cache.apply((0..8).map(|n| give(n, bad(n))).collect());
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
}

#[tokio::test]
async fn a_removal_that_is_refused_is_not_said_again_and_again() {
    let server = Server::start().await;
    server.apply("a", &[resource(CLUSTER, "a", "x")], &[]);
    server.apply("b", &[resource(CLUSTER, "b", "y")], &[]);
    let mut client = State::connect(&server).await;
    client.ask(CLUSTER, &[]).await;
    client.expect(CLUSTER, &["x", "y"]).await;
    server.apply("b", &[], &[(CLUSTER, "b")]);
    let response = client.next().await;
    client.nack(&response, "I need it").await;
    client.quiet().await;
    server.apply("c", &[resource(CLUSTER, "c", "z")], &[]);
    client.expect(CLUSTER, &["x", "z"]).await;
}
