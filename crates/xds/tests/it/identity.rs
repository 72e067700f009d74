//! Who is let in, as whom, for how long; and who is given secrets.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tonic::Code;
use xds::Event;

use crate::client::Delta;
use crate::server::{PATIENCE, Server, change, resource};
use crate::state_client::State;
use crate::tls::{Host, Secure, authority, settings};
use crate::wire::{DeltaRequest, Node};

const CLUSTER: &str = model::type_urls::CLUSTER;
const SECRET: &str = model::type_urls::SECRET;
const HOUR: Duration = Duration::from_secs(3600);

/// The client's node, before anything else is asked.
async fn greet(client: &mut Delta, id: &str, cluster: &str) {
    let node = Some(Node { id: id.into(), cluster: cluster.into() });
    let request = DeltaRequest { node, type_url: CLUSTER.into(), ..Default::default() };
    client.send(request).await;
}

#[tokio::test]
async fn a_proxy_is_what_its_certificate_says_and_nothing_else() {
    let authority = authority();
    let server = Secure::start(&authority, HOUR).await;
    server.cache.apply(vec![change("a", &[resource(CLUSTER, "a", "1")], &[])]);
    let host = Host::new(&authority, &authority, "edge", "envoy-1");
    for (id, cluster) in [("envoy-2", "edge"), ("envoy-1", "other"), ("", ""), ("envoy-1", "")] {
        let mut client = Delta::over(server.connect(&host).await.unwrap()).await.unwrap();
        greet(&mut client, id, cluster).await;
        let refused = client.hear().await.unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied);
        let words = format!(
            "the certificate is of node `envoy-1` in group `edge`, and the client says that it is \
             node.id `{id}` in node.cluster `{cluster}`: let it say what its certificate says"
        );
        assert_eq!(refused.message(), words);
    }
    let mut client = Delta::over(server.connect(&host).await.unwrap()).await.unwrap();
    greet(&mut client, "envoy-1", "edge").await;
    client.expect(CLUSTER, &["a"]).await;
}

#[tokio::test]
async fn strangers_are_not_let_in() {
    let (ours, theirs) = (authority(), authority());
    let server = Secure::start(&ours, HOUR).await;
    for host in [Host::anonymous(&ours), Host::new(&ours, &theirs, "edge", "envoy-1")] {
        // TLS 1.3 lets a client speak before it is refused.
        let refused = match server.connect(&host).await {
            Err(_) => true,
            Ok(channel) => Delta::over(channel).await.is_err(),
        };
        assert!(refused);
    }
    let trusting_others = Host::new(&theirs, &ours, "edge", "envoy-1");
    let refused = server.connect(&trusting_others).await.unwrap_err();
    assert!(refused.contains("BadSignature") || refused.contains("UnknownIssuer"), "{refused}");
}

#[tokio::test]
async fn a_stream_ends_with_its_certificate() {
    let authority = authority();
    let mut server = Secure::start(&authority, Duration::from_millis(300)).await;
    let host = Host::new(&authority, &authority, "edge", "envoy-1");
    let channel = server.connect(&host).await.unwrap();
    let mut client = Delta::over(channel.clone()).await.unwrap();
    greet(&mut client, "envoy-1", "edge").await;
    let end = loop {
        match client.hear().await {
            Ok(_) => {}
            Err(end) => break end,
        }
    };
    assert_eq!(end.code(), Code::PermissionDenied);
    assert!(end.message().ends_with("of node `envoy-1` has expired"), "{end}");
    // So does its connection: whoever comes back shows what it has then.
    let mut again = Delta::over(channel.clone()).await;
    while again.is_ok() {
        again = Delta::over(channel.clone()).await;
    }
    // Whoever counts proxies hears of it.
    while !matches!(server.events.recv().await, Some(Event::Closed { .. })) {}
}

#[tokio::test]
async fn what_is_revoked_ends_at_once_and_does_not_come_back() {
    let authority = authority();
    let server = Secure::start(&authority, HOUR).await;
    server.cache.apply(vec![change("a", &[resource(CLUSTER, "a", "1")], &[])]);
    let host = Host::new(&authority, &authority, "edge", "envoy-1");
    let mut client = Delta::over(server.connect(&host).await.unwrap()).await.unwrap();
    greet(&mut client, "envoy-1", "edge").await;
    client.expect(CLUSTER, &["a"]).await;
    server.ads.revoke(Arc::new(["another".to_owned()].into()));
    client.quiet().await;
    server.ads.revoke(Arc::new(["another".to_owned(), host.serial.clone()].into()));
    let words = format!("the certificate {} of node `envoy-1` was revoked", host.serial);
    assert_eq!(client.hear().await.unwrap_err().message(), words);
    let mut again = Delta::over(server.connect(&host).await.unwrap()).await.unwrap();
    greet(&mut again, "envoy-1", "edge").await;
    assert_eq!(again.hear().await.unwrap_err().message(), words);
}

#[tokio::test]
async fn a_new_certificate_of_the_server_is_for_new_connections() {
    let (before, after) = (authority(), authority());
    let server = Secure::start(&before, HOUR).await;
    let host = Host::new(&before, &before, "edge", "envoy-1");
    let mut old = Delta::over(server.connect(&host).await.unwrap()).await.unwrap();
    greet(&mut old, "envoy-1", "edge").await;
    server.settings.send_replace(settings(&after, 2));
    assert!(server.connect(&host).await.is_err(), "it shows the certificate that it had");
    let host = Host::new(&after, &after, "edge", "envoy-2");
    assert!(server.connect(&host).await.is_ok());
    old.rest().await;
}

#[tokio::test]
async fn secrets_are_for_those_who_are_known() {
    let secret = resource(SECRET, "tls/shop", "key");
    let mut clear = Server::start().await;
    clear.apply("a", &[resource(CLUSTER, "a", "1"), secret.clone()], &[]);
    let mut client = Delta::connect(&clear).await;
    client.ask(CLUSTER, &[]).await;
    client.expect(CLUSTER, &["a"]).await;
    client.ask(SECRET, &["tls/shop", "tls/other"]).await;
    client.expect(SECRET, &["-tls/other", "-tls/shop"]).await;
    // Neither when it changes, nor by asking for everything.
    client.ask(SECRET, &["*"]).await;
    client.expect(SECRET, &["-*"]).await;
    clear.apply("a", &[resource(CLUSTER, "a", "2"), resource(SECRET, "tls/shop", "new")], &[]);
    client.expect(CLUSTER, &["a"]).await;
    client.quiet().await;
    // What is withheld holds nothing up.
    clear.settled("a").await;
    let mut whole = State::connect(&clear).await;
    whole.ask(SECRET, &["tls/shop"]).await;
    whole.quiet().await;

    let authority = authority();
    let known = Secure::start(&authority, HOUR).await;
    known.cache.apply(vec![change("a", &[secret], &[])]);
    let host = Host::new(&authority, &authority, "edge", "envoy-1");
    let mut client = Delta::over(known.connect(&host).await.unwrap()).await.unwrap();
    client.ask(SECRET, &["tls/shop"]).await;
    client.expect(SECRET, &["tls/shop"]).await;
}

#[tokio::test]
async fn those_who_say_nothing_are_let_go_and_make_room() {
    let authority = authority();
    let server = Secure::start(&authority, HOUR).await;
    let mut silent = Vec::new();
    for _ in 0..300 {
        silent.push(TcpStream::connect(server.address).await.unwrap());
    }
    let host = Host::new(&authority, &authority, "edge", "envoy-1");
    let connecting = tokio::time::timeout(PATIENCE, server.connect(&host));
    assert!(connecting.await.expect("there is room").is_ok());
    let mut first = silent.remove(0);
    let end = tokio::time::timeout(PATIENCE, first.read(&mut [0; 16])).await.expect("it ends");
    assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
}
