//! Looking for instances and operations, and waiting for news without asking again and again.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Harness, envelope, path};

async fn provision(harness: &Harness, id: &str, plan: &str, team: &str, succeeds: Option<bool>) {
    let mut wish = envelope(plan, id, &format!("{id}.example.com"));
    wish["organization_guid"] = json!("margrave");
    wish["space_guid"] = json!(team);
    assert_eq!(harness.call("PUT", &path(id), Some(wish)).await.status, 202);
    if let Some(succeeds) = succeeds {
        harness.work(succeeds).await;
    }
}

fn names(body: &Value, list: &str) -> Vec<String> {
    let rows = body[list].as_array().cloned().unwrap_or_default();
    let name = |row: &Value| row["service"].as_str().unwrap_or_default().to_owned();
    rows.iter().map(name).collect()
}

#[tokio::test]
async fn instances_and_operations_are_found() {
    let harness = Harness::new();
    provision(&harness, "shop", "public", "web", Some(true)).await;
    provision(&harness, "shop-api", "internal", "web", Some(false)).await;
    provision(&harness, "pay", "internal", "money", Some(true)).await;
    provision(&harness, "blog", "internal", "web", None).await;
    for (query, expected) in [
        ("", &["blog", "pay", "shop", "shop-api"][..]),
        ("?prefix=shop", &["shop", "shop-api"]),
        ("?service=shop", &["shop"]),
        ("?hostname=pay.example.com", &["pay"]),
        ("?hostname=none.example.com", &[]),
        ("?state=failed", &["shop-api"]),
        ("?plan=public", &["shop"]),
        ("?team=web&state=provisioning", &["blog"]),
        ("?organization=margrave&space=money", &["pay"]),
        ("?limit=2", &["blog", "pay"]),
        ("?limit=2&after=pay/pay", &["shop", "shop-api"]),
    ] {
        let found = harness.call("GET", &format!("/v1/instances{query}"), None).await.body;
        assert_eq!(names(&found, "instances"), expected, "{query}: {found}");
    }
    for (query, expected) in [
        ("", &["blog", "pay", "shop-api", "shop"][..]),
        ("?state=failed&current=true", &["shop-api"]),
        ("?state=in%20progress", &["blog"]),
        ("?kind=update", &[]),
        ("?team=money", &["pay"]),
        ("?instance=shop", &["shop"]),
        ("?since=9000000000000", &[]),
        ("?limit=1", &["blog"]),
    ] {
        let found = harness.call("GET", &format!("/v1/operations{query}"), None).await.body;
        assert_eq!(names(&found, "operations"), expected, "{query}: {found}");
    }
    for query in [
        "instances?after=x",
        "instances?state=gone",
        "instances?hostname=a%20b",
        "instances?team=a&space=b",
        "operations?limit=0",
        "operations?state=done",
        "operations?instance=%2F",
        "operations?colour=red",
    ] {
        let answer = harness.call("GET", &format!("/v1/{query}"), None).await;
        assert_eq!(answer.status, 400, "{query}: {answer:?}");
    }
}

/// Whoever waits is woken by the write itself: time stands still here but for timers, of which the
/// wait has none before its own end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_is_woken() {
    let harness = Harness::new();
    provision(&harness, "shop", "internal", "web", None).await;
    let list = harness.call("GET", "/v1/operations", None).await.body;
    let (id, tag) = (&list["operations"][0]["id"], &list["operations"][0]["tag"]);
    let (id, tag) = (id.as_str().expect("an id"), tag.as_str().expect("a tag"));
    let waiting = format!("/v1/operations/{id}?wait=30&seen={tag}");
    let waits = harness.call("GET", &waiting, None);
    let works = async {
        tokio::task::yield_now().await;
        harness.work(true).await;
    };
    let both = async { tokio::join!(waits, works) };
    let (answer, ()) = tokio::time::timeout(Duration::from_secs(20), both).await.expect("woken");
    assert_eq!(answer.body["state"], "succeeded");
}
