//! A tenant's string is never syntax: what looks like Envoy's or a template's language arrives as
//! it was written.

use serde_json::json;

use crate::backend::Backend;
use crate::platform::Platform;
use crate::wire;

const HOSTILE: [&str; 6] = [
    "%ENVIRONMENT(HOME)%",
    "%REQ(authorization)%",
    "100%",
    r"\1 \\0",
    "{{ platform }}{% raw %}",
    r#""},{"name":"x"#,
];

#[tokio::test(flavor = "multi_thread")]
async fn hostile_strings_come_back_as_they_were() {
    let platform = Platform::start().await;
    let web = Backend::start("web").await;
    let public = platform.endpoints.public;
    let secret = [("authorization", "Bearer of-somebody")];
    for (n, hostile) in HOSTILE.into_iter().enumerate() {
        let host = format!("s{n}.example.com");
        let descriptor = json!({
            "service": format!("s{n}"), "upstream": web.url(), "visibility": "public", "hostnames": [host],
            "requestHeaders": {"set": {"x-asked": hostile}},
            "responseHeaders": {"set": {"x-answered": hostile}},
            "routes": [
                {"name": "body", "match": {"path": "/body"}, "respond": {"status": 200, "body": hostile}},
                {"name": "own", "match": {"prefix": "/own"}, "to": "default",
                 "requestHeaders": {"set": {"x-route": hostile}}, "responseHeaders": {"set": {"x-route": hostile}}},
                {"name": "by-header", "match": {"prefix": "/by", "headers": {"x-key": hostile}}, "respond": {"status": 200, "body": "matched"}},
            ],
        });
        platform.provision(&format!("i{n}"), &descriptor).await;

        let plain = wire::get_with(public, &host, "/", &secret).await;
        assert_eq!(plain.header("x-answered"), Some(hostile), "{plain:?}");
        assert_eq!(plain.seen().headers["x-asked"], [hostile]);
        let own = wire::get_with(public, &host, "/own", &secret).await;
        assert_eq!(own.header("x-route"), Some(hostile));
        assert_eq!(own.seen().headers["x-route"], [hostile]);
        assert_eq!(wire::get_with(public, &host, "/body", &secret).await.body, hostile);
        let matched = wire::get_with(public, &host, "/by", &[("x-key", hostile)]).await;
        assert_eq!(matched.body, "matched", "{matched:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_paths_lead_where_they_say() {
    let platform = Platform::start().await;
    let descriptor = json!({
        "service": "shop", "visibility": "public", "hostnames": ["shop.example.com"],
        "routes": [
            {"name": "percent", "match": {"path": "/100%25"}, "respond": {"status": 200, "body": "exact"}},
            {"name": "away", "match": {"path": "/away"}, "redirect": {"to": "/REQ(authorization)%25", "status": 302}},
        ],
    });
    platform.provision("a", &descriptor).await;
    let public = platform.endpoints.public;
    assert_eq!(wire::get(public, "shop.example.com", "/100%25").await.body, "exact");
    let away =
        wire::get_with(public, "shop.example.com", "/away", &[("authorization", "secret")]).await;
    let location = away.header("location").unwrap_or_default();
    assert!(location.ends_with("/REQ(authorization)%25"), "{away:?}");
}
