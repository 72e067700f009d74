//! What is polled, over a plain socket.

use std::sync::Arc;

use model::TypeUrl;
use model::type_urls::{CLUSTER, ROUTE, SECRET};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use xds::{Event, Limits, Options};

use crate::server::{Server, resource};

/// Resources here are text, and written as such.
struct Text;

impl xds::Json for Text {
    fn any(&self, type_url: &TypeUrl, body: &[u8]) -> Result<String, String> {
        let body = match body {
            // A blank message has a name, which is its first field, and nothing else.
            [b'\n', length, name @ ..] if name.len() == usize::from(*length) => name,
            body => body,
        };
        let text = std::str::from_utf8(body).map_err(|error| error.to_string())?;
        Ok(json!({"@type": type_url.as_str(), "text": text}).to_string())
    }
}

/// One request on a connection of its own; the status and the body.
async fn ask(address: &str, method: &str, path: &str, body: &str) -> (u16, Value) {
    let address = address.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).await.unwrap();
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: xds\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n"
    );
    // The server may have answered and gone before it has read everything.
    let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(body).unwrap_or(Value::Null))
}

async fn poll(server: &Server, what: &str, body: &Value) -> (u16, Value) {
    ask(&server.address, "POST", &format!("/v3/discovery:{what}"), &body.to_string()).await
}

async fn server() -> Server {
    let server = Server::start().await;
    server.ads.speak_json(Arc::new(Text));
    server
}

fn texts(answer: &Value) -> Vec<&str> {
    let resources = answer["resources"].as_array().expect("resources");
    let mut texts: Vec<&str> = resources.iter().map(|it| it["text"].as_str().unwrap()).collect();
    texts.sort_unstable();
    texts
}

#[tokio::test]
async fn what_is_asked_for_is_given_and_only_once() {
    let server = server().await;
    let set = [
        resource(CLUSTER, "c", "c1"),
        resource(CLUSTER, "d", "d1"),
        resource(ROUTE, "r", "r1"),
        resource("type.googleapis.com/test.Other", "o", "o1"),
    ];
    server.apply("a", &set, &[]);
    for (what, names, expected) in [
        ("clusters", json!([]), vec!["c1", "d1"]),
        ("clusters", json!(["*"]), vec!["c1", "d1"]),
        ("clusters", json!(["c"]), vec!["c1"]),
        ("clusters", json!(["c", "c", "none"]), vec!["c1"]),
        ("clusters", json!(["none"]), vec![]),
        ("routes", json!(["r", "gone"]), vec!["gone", "r1"]),
        ("endpoints", json!([]), vec![]),
        ("endpoints", json!(["e"]), vec!["e"]),
        ("listeners", json!([]), vec![]),
        ("scoped-routes", json!([]), vec![]),
        ("runtime", json!(["layer"]), vec!["layer"]),
        ("extension_configs", json!(["x"]), vec![]),
        ("secrets", json!([]), vec![]),
        ("test.Other", json!([]), vec!["o1"]),
    ] {
        let (status, answer) = poll(&server, what, &json!({"resource_names": names})).await;
        assert_eq!((status, texts(&answer)), (200, expected), "{what} {names}");
        if what == "secrets" {
            continue;
        }
        let held = json!({"resource_names": names, "version_info": answer["version_info"]});
        assert_eq!(poll(&server, what, &held).await, (304, Value::Null), "{what} {names}");
    }
}

#[tokio::test]
async fn a_version_is_of_what_is_asked_for() {
    let server = server().await;
    server.apply("a", &[resource(CLUSTER, "c", "c1"), resource(CLUSTER, "d", "d1")], &[]);
    let of =
        |names: Value, version: &Value| json!({"resourceNames": names, "versionInfo": version});
    let (_, all) = poll(&server, "clusters", &of(json!([]), &json!(""))).await;
    let (_, one) = poll(&server, "clusters", &of(json!(["c"]), &json!(""))).await;
    server.apply("a", &[resource(CLUSTER, "d", "d2")], &[]);
    let (status, now) = poll(&server, "clusters", &of(json!([]), &all["version_info"])).await;
    assert_eq!((status, texts(&now)), (200, vec!["c1", "d2"]));
    let (status, _) = poll(&server, "clusters", &of(json!(["c"]), &one["version_info"])).await;
    assert_eq!(status, 304, "of `c` nothing has changed");
    server.apply("a", &[], &[(CLUSTER, "c"), (CLUSTER, "d")]);
    let (status, now) = poll(&server, "clusters", &of(json!([]), &now["version_info"])).await;
    assert_eq!((status, texts(&now)), (200, vec![]), "nothing is something, too");
}

#[tokio::test]
async fn polls_are_read_as_they_come_and_refused_with_a_reason() {
    let server = server().await;
    server.apply("a", &[resource(CLUSTER, "c", "c1")], &[]);
    let long = json!({"resource_names": ["x".repeat(1025)]}).to_string();
    let large = format!("{{\"node\":{{\"id\":\"{}\"}}}}", "x".repeat(1 << 20));
    for (method, path, body, status, says) in [
        ("POST", "clusters", "", 200, ""),
        ("POST", "clusters", "{}", 200, ""),
        (
            "POST",
            "clusters",
            "{\"node\":null,\"resource_names\":null,\"version_info\":null}",
            200,
            "",
        ),
        ("POST", "clusters", "{\"node\":{\"locality\":null,\"metadata\":{\"a\":[1]}}}", 200, ""),
        ("POST", "clusters", "{\"error_detail\":{\"code\":13,\"message\":\"no\"}}", 200, ""),
        ("POST", "clusters", "{\"error_detail\":[\"what?\"],\"unknown\":{}}", 200, ""),
        (
            "POST",
            "clusters",
            "{\"type_url\":\"type.googleapis.com/envoy.config.cluster.v3.Cluster\"}",
            200,
            "",
        ),
        ("POST", "clusters", "{\"type_url\":\"type.googleapis.com/other\"}", 400, "type_url"),
        ("POST", "clusters", "{", 400, "not a DiscoveryRequest"),
        ("POST", "clusters", "[]", 400, "not a DiscoveryRequest"),
        ("POST", "clusters", "{\"resource_names\":\"c\"}", 400, "not a DiscoveryRequest"),
        ("POST", "clusters", "{\"node\":{\"id\":7}}", 400, "not a DiscoveryRequest"),
        ("POST", "clusters", long.as_str(), 400, "1024 bytes"),
        ("POST", "clusters", large.as_str(), 413, "1048576 bytes"),
        ("POST", "clusters", "{\"node\":{\"cluster\":\"stranger\"}}", 403, "no group `stranger`"),
        ("POST", "secrets", "{\"resource_names\":[\"s\"]}", 403, "in clear"),
        ("POST", "cluster", "{}", 404, "clusters, endpoints"),
        ("GET", "clusters", "", 405, "POST"),
    ] {
        let path = format!("/v3/discovery:{path}");
        let (found, answer) = ask(&server.address, method, &path, body).await;
        let why = answer["error"].as_str().unwrap_or_default();
        let shown = &body[..body.len().min(80)];
        assert_eq!(found, status, "{path} {shown}: {why}");
        assert!(why.contains(says), "{path} {shown}: {why}");
    }
    let secret = json!({"resource_names": ["s"]});
    server.apply("b", &[resource(SECRET, "s", "hush")], &[]);
    let (_, answer) = poll(&server, "secrets", &secret).await;
    assert!(!answer.to_string().contains("hush"));
    let (status, answer) = poll(&server, "secrets", &json!({})).await;
    assert_eq!((status, texts(&answer)), (200, vec![]));
}

#[tokio::test]
async fn whoever_polls_is_told_of_and_confirms_nothing() {
    let mut server = server().await;
    server.apply("a", &[resource(CLUSTER, "c", "c1")], &[]);
    let node = json!({
        "id": "sovereign-1", "cluster": "edge", "locality": {"region": "eu"},
        "metadata": {"tier": "gold", "deep": {}},
        "user_agent_build_version": {"version": {"major_number": 1, "minor_number": 40, "patch": 0}},
    });
    let (_, answer) = poll(&server, "clusters", &json!({"node": node})).await;
    let held = json!({"node": node, "version_info": answer["version_info"]});
    assert_eq!(poll(&server, "clusters", &held).await.0, 304);
    for _ in 0..2 {
        let (node, type_url, version) = server
            .event(|event| match event {
                Event::Polled { node, type_url, version } => Some((node, type_url, version)),
                other => panic!("{other:?}"),
            })
            .await;
        let said = (node.id.as_str(), node.cluster.as_str(), node.region.as_str());
        assert_eq!(said, ("sovereign-1", "edge", "eu"));
        assert_eq!(
            (node.envoy_version.as_str(), node.metadata["tier"].as_str()),
            ("1.40.0", "gold")
        );
        assert_eq!((type_url.as_str(), json!(version)), (CLUSTER, answer["version_info"].clone()));
    }
}

#[tokio::test]
async fn a_group_that_is_being_made_empties_nobody() {
    let server = Server::closed(Limits::default(), Options::default()).await;
    let (status, _) = poll(&server, "clusters", &json!({})).await;
    assert_eq!(status, 501, "without a codec");
    server.ads.speak_json(Arc::new(Text));
    let (status, answer) = poll(&server, "clusters", &json!({})).await;
    assert_eq!((status, &answer["resources"]), (503, &Value::Null));
    server.cache.open();
    assert_eq!(poll(&server, "clusters", &json!({})).await.0, 200);
}
