//! Too much, too slow, too full: each ends with words, and nothing is half done.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use http_body::Frame;
use model::Plan;
use serde_json::json;

use crate::harness::{CREDENTIALS, Harness, delete_path, envelope, path};

const JSON: [(&str, &str); 3] = [
    ("authorization", CREDENTIALS),
    ("x-broker-api-version", "2.17"),
    ("content-type", "application/json"),
];

/// A body that never comes.
struct Never;

impl http_body::Body for Never {
    type Data = Bytes;
    type Error = std::io::Error;
    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        Poll::Pending
    }
}

#[tokio::test]
async fn a_full_disk_is_told_and_changes_nothing() {
    let harness = Harness::with_pages(Some(100));
    let wish = |n: usize| {
        let mut wish = envelope("internal", &format!("s{n}"), &format!("h{n}.example.com"));
        wish["context"] = json!({"filling": "x".repeat(10_000)});
        wish
    };
    let mut accepted = 0;
    let refused = loop {
        let answer =
            harness.call("PUT", &path(&format!("i{accepted}")), Some(wish(accepted))).await;
        if answer.status != 202 {
            break answer;
        }
        accepted += 1;
        assert!(accepted < 100, "it never fills");
    };
    assert_eq!(refused.status, 503, "{refused:?}");
    assert!(refused.headers.contains_key("retry-after"));
    assert!(refused.body["description"].as_str().is_some_and(|text| text.contains("nothing was")));
    let poll = format!("/v2/service_instances/i{accepted}/last_operation");
    assert_eq!(harness.call("GET", &poll, None).await.status, 404, "nothing of it is there");
    let listed = harness.call("GET", "/v1/instances", None).await.body;
    assert_eq!(listed["instances"].as_array().map(Vec::len), Some(accepted), "reads go on");
    let first = harness.call("GET", "/v2/service_instances/i0/last_operation", None).await;
    assert_eq!(first.body["state"], "in progress");
}

/// The clock stands still but for what waits: nothing here takes half a minute.
#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for_for_ever() {
    let harness = Harness::new();
    tokio::time::pause();
    let answer = harness.send("PUT", &path("a"), &JSON, Body::new(Never)).await;
    tokio::time::resume();
    assert_eq!(answer.status, 408, "{answer:?}");
    let large = Body::from(vec![b' '; (1 << 20) + 1]);
    assert_eq!(harness.send("PUT", &path("a"), &JSON, large).await.status, 413);
    let just = Body::from(vec![b' '; 1 << 20]);
    assert_eq!(harness.send("PUT", &path("a"), &JSON, just).await.status, 400);
}

#[tokio::test]
async fn beyond_so_many_requests_one_is_sent_away() {
    const REQUESTS_MAX: usize = 1_024;
    let harness = Arc::new(Harness::new());
    let mut held = tokio::task::JoinSet::new();
    for _ in 0..REQUESTS_MAX {
        let harness = Arc::clone(&harness);
        held.spawn(async move {
            harness.send("PUT", &path("a"), &JSON, Body::new(Never)).await;
        });
    }
    // Each of them has run as far as its body, as there is one thread.
    for _ in 0..REQUESTS_MAX {
        tokio::task::yield_now().await;
    }
    let answer = harness.call("GET", "/v2/catalog", None).await;
    assert_eq!(answer.status, 503, "{answer:?}");
    assert!(answer.headers.contains_key("retry-after"));
    held.shutdown().await;
    assert_eq!(harness.call("GET", "/v2/catalog", None).await.status, 200, "places are given back");
}

#[tokio::test]
async fn waits_leave_room_for_changes() {
    const WAITS_MAX: usize = 512;
    let harness = Arc::new(Harness::new());
    let wish = envelope("internal", "a", "a.example.com");
    let accepted = harness.call("PUT", &path("a"), Some(wish)).await;
    let operation = format!("/v1/operations/{}", accepted.body["operation"].as_str().expect("id"));
    let seen = harness.call("GET", &operation, None).await.body["tag"].clone();
    let wait = format!("{operation}?wait=30&seen={}", seen.as_str().expect("a tag"));
    let mut waiting = tokio::task::JoinSet::new();
    for _ in 0..WAITS_MAX + 1 {
        let (harness, wait) = (Arc::clone(&harness), wait.clone());
        waiting.spawn(async move { harness.call("GET", &wait, None).await });
    }
    let first = waiting.join_next().await.expect("one").expect("answers");
    assert_eq!(first.body["state"], "in progress", "one too many is answered at once: {first:?}");
    assert_eq!(harness.call("GET", "/v2/catalog", None).await.status, 200);
    harness.work(true).await;
    let mut ended = 0;
    while let Some(answer) = waiting.join_next().await {
        let answer = answer.expect("answers");
        assert_eq!(answer.body["state"], "succeeded", "{answer:?}");
        ended += 1;
    }
    assert_eq!(ended, WAITS_MAX);
}

#[tokio::test]
async fn the_largest_descriptor_fits() {
    let harness = Harness::new();
    let routes: Vec<_> = (0..64)
        .map(|n| {
            let body = "x".repeat(500);
            json!({"name": format!("r{n}"), "match": {"path": format!("/p{n}")}, "respond": {"status": 200, "body": body}})
        })
        .collect();
    let mut wish = envelope(Plan::Public.as_str(), "a", "a.example.com");
    wish["parameters"]["routes"] = json!(routes);
    let answer = harness.call("PUT", &path("a"), Some(wish)).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    harness.work(true).await;
    assert_eq!(harness.call("DELETE", &delete_path("a"), None).await.status, 202);
}
