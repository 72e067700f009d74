//! Requests that come in place of an operation in progress: a deprovision cancels it, an update
//! supersedes what is published already.

use broker::{PLAN_PUBLIC_ID, SERVICE_ID};
use serde_json::{Value, json};
use store::StoreError;

use crate::harness::{Harness, delete_path, envelope, path};

/// How the last operation stands: of the one named, or of the instance.
async fn poll(harness: &Harness, operation: &Value) -> Value {
    let asked = operation.as_str().map_or(String::new(), |id| format!("?operation={id}"));
    let path = format!("/v2/service_instances/a/last_operation{asked}");
    let answer = harness.call("GET", &path, None).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body
}

/// Asks, and is accepted; the operation.
async fn accepted(harness: &Harness, method: &str, path: &str, body: Option<Value>) -> Value {
    let answer = harness.call(method, path, body).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    answer.body["operation"].clone()
}

#[tokio::test]
async fn a_deprovision_cancels_what_is_in_progress() {
    let wish = || Some(envelope("internal", "a", "a.example.com"));
    let public = || Some(json!({"service_id": SERVICE_ID, "plan_id": PLAN_PUBLIC_ID}));
    for (method, asked, lives) in [("PUT", wish(), false), ("PATCH", public(), true)] {
        let harness = Harness::new();
        if lives {
            accepted(&harness, "PUT", &path("a"), wish()).await;
            harness.work(true).await;
        }
        let older = accepted(&harness, method, &path("a"), asked).await;
        let held = harness.begin().await;
        let newer = accepted(&harness, "DELETE", &delete_path("a"), None).await;
        let again = accepted(&harness, "DELETE", &delete_path("a"), None).await;
        assert_eq!(newer, again, "the same operation");

        let ended = poll(&harness, &older).await;
        assert_eq!(ended["state"], "failed");
        assert_eq!(ended["description"], "cancelled: the instance was deleted by user");
        assert_eq!(poll(&harness, &Value::Null).await["state"], "in progress");
        let publish = vec![held.publish()];
        assert_eq!(harness.try_step(&held, publish).await, Err(StoreError::Fenced));
        harness.give_back(held).await;

        harness.work(true).await;
        assert_eq!(poll(&harness, &newer).await["state"], "succeeded");
        assert_eq!(poll(&harness, &older).await["state"], "failed");
        assert_eq!(harness.call("DELETE", &delete_path("a"), None).await.status, 410);
        let free = envelope("internal", "b", "a.example.com");
        accepted(&harness, "PUT", &path("b"), Some(free)).await;
    }
}

#[tokio::test]
async fn what_was_superseded_is_told_as_what_came_in_its_place() {
    let harness = Harness::new();
    let wish = envelope("internal", "a", "a.example.com");
    let first = accepted(&harness, "PUT", &path("a"), Some(wish)).await;
    let mut held = harness.begin().await;
    let publish = held.publish();
    harness.step(&mut held, vec![publish]).await;

    let second = envelope("internal", "a", "b.example.com");
    let second = accepted(&harness, "PATCH", &path("a"), Some(second)).await;
    harness.give_back(held).await;
    assert_eq!(poll(&harness, &first).await["state"], "in progress", "it has not failed");
    let busy = envelope("internal", "a", "c.example.com");
    let busy = harness.call("PATCH", &path("a"), Some(busy)).await;
    assert_eq!(busy.body["error"], "ConcurrencyError", "not before its publish: {busy:?}");

    let mut held = harness.begin().await;
    let publish = held.publish();
    harness.step(&mut held, vec![publish]).await;
    let third = envelope("internal", "a", "c.example.com");
    accepted(&harness, "PATCH", &path("a"), Some(third)).await;
    harness.give_back(held).await;
    harness.work(true).await;
    for operation in [&first, &second] {
        assert_eq!(poll(&harness, operation).await["state"], "succeeded");
    }
    let shown = format!("/v1/operations/{}", first.as_str().expect("an id"));
    let view = harness.call("GET", &shown, None).await.body;
    assert_eq!((&view["supersededBy"], &view["cancelledBy"]), (&second, &Value::Null), "{view}");
}
