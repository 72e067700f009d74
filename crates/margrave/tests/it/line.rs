//! The whole line: provision, request, update, deprovision; restart; both variants of xDS.

use serde_json::json;

use crate::backend::Backend;
use crate::platform::{Options, Platform};
use crate::{service, wire};

#[tokio::test(flavor = "multi_thread")]
async fn a_wish_becomes_an_answer_over_delta() {
    a_wish_becomes_an_answer(Options::default()).await;
}

/// Provision, request, update, deprovision.
pub(crate) async fn a_wish_becomes_an_answer(options: Options) {
    let platform = Platform::start_with(options).await;
    let (old, new) = (Backend::start("old").await, Backend::start("new").await);
    let public = platform.endpoints.public;
    let unknown = wire::get(public, "shop.example.com", "/").await;
    assert_eq!(unknown.status, 404, "nothing answers before anyone asks for it");

    platform.provision("a", &service("shop", &old.url(), "public")).await;
    let answer = wire::get(public, "shop.example.com", "/hello?x=1").await;
    assert_eq!((answer.status, answer.backend()), (200, Some("old")));
    assert_eq!(answer.seen().path, "/hello?x=1");

    platform.update("a", &service("shop", &new.url(), "public")).await;
    assert_eq!(wire::get(public, "shop.example.com", "/").await.backend(), Some("new"));

    platform.deprovision("a").await;
    assert_eq!(wire::get(public, "shop.example.com", "/").await.status, 404);
    assert_eq!(platform.delete("a").await.status, 410);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_route_does_what_it_says() {
    let platform = Platform::start().await;
    let (web, api) = (Backend::start("web").await, Backend::start("api").await);
    let descriptor = json!({
        "service": "shop", "upstream": web.url(), "visibility": "public",
        "hostnames": ["shop.example.com"],
        "routes": [
            {"name": "old", "match": {"path": "/old"}, "redirect": {"to": "/new", "status": 308}},
            {"name": "ping", "match": {"path": "/ping"}, "respond": {"status": 200, "body": "pong"}},
            {"name": "api", "match": {"prefix": "/api"}, "to": "api", "timeout": {"request": "5s"}},
            {"name": "post", "match": {"prefix": "/api", "methods": ["POST"]}, "respond": {"status": 405, "body": "no"}},
        ],
        "upstreams": {"api": {"addresses": [api.address.to_string()]}},
        "requestHeaders": {"set": {"x-tenant": "shop"}, "remove": ["x-debug"]},
        "responseHeaders": {"set": {"strict-transport-security": "max-age=31536000"}},
    });
    platform.provision("a", &descriptor).await;
    let public = platform.endpoints.public;
    let ask =
        |path: &'static str| wire::get_with(public, "shop.example.com", path, &[("x-debug", "1")]);

    let redirect = ask("/old").await;
    assert_eq!(redirect.status, 308);
    assert!(redirect.header("location").is_some_and(|to| to.ends_with("/new")), "{redirect:?}");
    assert_eq!(ask("/ping").await.body, "pong");
    assert_eq!(ask("/api/x").await.backend(), Some("api"));
    assert_eq!(ask("/apix").await.backend(), Some("web"), "a prefix ends at a slash");
    let post = b"POST /api/x HTTP/1.1\r\nhost: shop.example.com\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    assert_eq!(wire::raw(public, post).await.status, 405, "more specific wins, whatever the order");

    let other = ask("/anything").await;
    assert_eq!(other.backend(), Some("web"));
    assert_eq!(other.header("strict-transport-security"), Some("max-age=31536000"));
    let seen = other.seen();
    assert_eq!(seen.headers.get("x-tenant"), Some(&vec!["shop".to_owned()]));
    assert!(!seen.headers.contains_key("x-debug"));
    assert!(!seen.headers.contains_key("x-margrave-scope"), "{seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_control_plane_serves_what_was_there() {
    let mut platform = Platform::start().await;
    let web = Backend::start("web").await;
    platform.provision("a", &service("shop", &web.url(), "public")).await;
    platform.kill().await;
    platform.restart().await;
    let answer = wire::get(platform.endpoints.public, "shop.example.com", "/").await;
    assert_eq!(answer.backend(), Some("web"), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_stops_when_asked_and_takes_its_envoy_along() {
    let mut platform = Platform::start().await;
    let public = platform.endpoints.public;
    assert!(platform.stop().await.success(), "{}", platform.log());
    assert!(tokio::net::TcpStream::connect(public).await.is_err(), "Envoy is still there");
}

#[tokio::test(flavor = "multi_thread")]
async fn rendering_one_change_does_not_render_the_others() {
    let platform = Platform::start().await;
    let web = Backend::start("web").await;
    for n in 0..20 {
        platform
            .provision(&format!("i{n}"), &service(&format!("s{n}"), &web.url(), "internal"))
            .await;
    }
    let before = platform.metric("margrave_plane_renders_total").await;
    platform.update("i7", &service("s7", "http://localhost:9", "internal")).await;
    let after = platform.metric("margrave_plane_renders_total").await;
    assert!((1.0..=3.0).contains(&(after - before)), "{before} → {after} renders for one change");
}
