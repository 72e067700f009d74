//! Nothing is public by accident: every spelling of every host on every listener, and the ways
//! around a path or a header rule.

use std::net::SocketAddr;

use serde_json::json;

use crate::backend::Backend;
use crate::platform::Platform;
use crate::service;
use crate::wire::{self, Answer};

fn spellings(host: &str) -> Vec<String> {
    let upper = host.to_uppercase();
    let mixed: String = host
        .chars()
        .enumerate()
        .map(|(i, c)| if i % 2 == 0 { c.to_ascii_uppercase() } else { c })
        .collect();
    let names = [host.to_owned(), upper, mixed];
    let suffixes = ["", ":80", ":8443", ".", ".:80"];
    names.iter().flat_map(|name| suffixes.map(|suffix| format!("{name}{suffix}"))).collect()
}

async fn both_protocols(address: SocketAddr, host: &str) -> [(&'static str, Answer); 2] {
    [
        ("HTTP/1.1", wire::get(address, host, "/").await),
        ("HTTP/2", wire::get_h2(address, host, "/").await),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_asked_to_be_public_answers_in_public() {
    let platform = Platform::start().await;
    let (open, closed) = (Backend::start("open").await, Backend::start("closed").await);
    platform.provision("o", &service("open", &open.url(), "public")).await;
    platform.provision("c", &service("closed", &closed.url(), "internal")).await;
    let (public, internal) = (platform.endpoints.public, platform.endpoints.internal);

    for (host, backend, listeners) in [
        ("open.example.com", "open", vec![("public", public, true), ("internal", internal, true)]),
        (
            "closed.example.com",
            "closed",
            vec![("public", public, false), ("internal", internal, true)],
        ),
        ("nobody.example.com", "-", vec![("public", public, false), ("internal", internal, false)]),
    ] {
        for spelling in spellings(host) {
            for (listener, address, answers) in &listeners {
                for (protocol, answer) in both_protocols(*address, &spelling).await {
                    let told = format!("{spelling} on {listener} over {protocol}: {answer:?}");
                    if *answers {
                        assert_eq!(
                            (answer.status, answer.backend()),
                            (200, Some(backend)),
                            "{told}"
                        );
                    } else {
                        assert_eq!((answer.status, answer.backend()), (404, None), "{told}");
                    }
                }
            }
        }
    }
    // In plain sight of a forged scope, an internal host stays internal.
    for forged in ["internal/closed.example.com", "internal/CLOSED.example.com"] {
        let answer =
            wire::get_with(public, "closed.example.com", "/", &[("x-margrave-scope", forged)])
                .await;
        assert_eq!((answer.status, answer.backend()), (404, None), "{answer:?}");
        let answer =
            wire::get_with(public, "nobody.example.com", "/", &[("x-margrave-scope", forged)])
                .await;
        assert_eq!((answer.status, answer.backend()), (404, None), "{answer:?}");
    }
    // Becoming internal again takes it out of public, and nowhere else.
    platform.update("o", &service("open", &open.url(), "internal")).await;
    for (_, answer) in both_protocols(public, "open.example.com").await {
        assert_eq!((answer.status, answer.backend()), (404, None));
    }
    assert_eq!(wire::get(internal, "open.example.com", "/").await.backend(), Some("open"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_on_a_path_cannot_be_walked_around() {
    let platform = Platform::start().await;
    let web = Backend::start("web").await;
    let descriptor = json!({
        "service": "shop", "upstream": web.url(), "visibility": "public",
        "hostnames": ["shop.example.com"],
        "routes": [{"name": "private", "match": {"prefix": "/private"}, "respond": {"status": 403, "body": "no"}}],
    });
    platform.provision("a", &descriptor).await;
    for path in [
        "/private",
        "/private/x",
        "//private",
        "/./private",
        "/x/../private",
        "/%2e%2e/private",
        "/x/%2e%2e/private",
        "/%70rivate",
        "/x/%2E./private",
        "/private%2fx",
        "/x%2f..%2fprivate",
        "/x%5c..%5cprivate",
        "/x\\..\\private",
        "/x/..%2fprivate",
        "///private",
        "/.//private",
    ] {
        let mut answer = wire::get(platform.endpoints.public, "shop.example.com", path).await;
        for _ in 0..3 {
            // An escaped slash is redirected to its plain form: follow, as a client would.
            let Some(to) = answer.header("location").map(str::to_owned) else { break };
            let to = to.strip_prefix("http://shop.example.com").unwrap_or(&to).to_owned();
            answer = wire::get(platform.endpoints.public, "shop.example.com", &to).await;
        }
        assert!(answer.backend().is_none(), "{path} went around the rule: {answer:?}");
        assert!([400, 403].contains(&answer.status), "{path}: {answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_that_the_edge_sets_cannot_be_brought_along() {
    let platform = Platform::start().await;
    let web = Backend::start("web").await;
    platform.provision("a", &service("shop", &web.url(), "public")).await;
    let forged = [
        ("x-margrave-scope", "internal/x"),
        ("x-margrave-user", "root"),
        ("x-envoy-internal", "true"),
        ("x-envoy-original-path", "/admin"),
        ("x-envoy-upstream-rq-timeout-ms", "1"),
        ("x-envoy-decorator-operation", "evil"),
        ("x-forwarded-for", "10.1.2.3"),
        ("x-forwarded-host", "evil.example.com"),
        ("x-forwarded-client-cert", "By=evil"),
    ];
    let answer = wire::get_with(platform.endpoints.public, "shop.example.com", "/", &forged).await;
    let seen = answer.seen();
    for (name, value) in forged {
        let arrived = seen.headers.get(name).cloned().unwrap_or_default();
        assert!(!arrived.iter().any(|v| v.contains(value)), "{name} arrived as {arrived:?}");
    }
    let underscore = [("x_identity", "root")];
    let refused =
        wire::get_with(platform.endpoints.public, "shop.example.com", "/", &underscore).await;
    assert_eq!((refused.status, refused.backend()), (400, None), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_edge_refuses_it_explains() {
    let platform = Platform::start().await;
    let web = Backend::start("web").await;
    let descriptor = json!({
        "service": "shop", "visibility": "public", "hostnames": ["shop.example.com"],
        "routes": [{"name": "api", "match": {"prefix": "/api"}, "to": "api"}],
        "upstreams": {"api": {"addresses": [web.address.to_string()]}},
    });
    platform.provision("a", &descriptor).await;
    for (host, path) in [("nobody.example.com", "/"), ("shop.example.com", "/elsewhere")] {
        let answer = wire::get(platform.endpoints.public, host, path).await;
        assert_eq!(answer.status, 404);
        assert!(answer.header("content-type").is_some_and(|t| t.contains("json")), "{answer:?}");
        let body: serde_json::Value = serde_json::from_str(&answer.body).expect("JSON");
        assert!(body["code"].as_str().is_some_and(|code| code.starts_with("MG-E")), "{body}");
        let id = body["request_id"].as_str().unwrap_or_default();
        assert!(id.len() >= 16, "{body}");
    }
}
