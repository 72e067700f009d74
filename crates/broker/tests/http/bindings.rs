//! Bindings, as OSB has them: bound, fetched, rotated, unbound; and what is refused.

use broker::{PLAN_INTERNAL_ID, SERVICE_ID};
use keys::KeyPair;
use serde_json::{Value, json};
use store::{Audit, AuditFilter, BINDINGS_MAX, Bindings, Store};

use crate::harness::{Answer, Harness, delete_path, envelope, path};

fn bound(instance: &str, binding: &str) -> String {
    format!("/v2/service_instances/{instance}/service_bindings/{binding}")
}

fn unbound(instance: &str, binding: &str) -> String {
    format!("{}?service_id={SERVICE_ID}&plan_id={PLAN_INTERNAL_ID}", bound(instance, binding))
}

fn wish(parameters: Value) -> Value {
    json!({"service_id": SERVICE_ID, "plan_id": PLAN_INTERNAL_ID, "parameters": parameters})
}

async fn live(harness: &Harness, id: &str) {
    let body = envelope("internal", id, &format!("{id}.example.com"));
    assert_eq!(harness.call("PUT", &path(id), Some(body)).await.status, 202);
    harness.work(true).await;
}

async fn bind(harness: &Harness, binding: &str, body: Value) -> Answer {
    harness.call("PUT", &bound("a", binding), Some(body)).await
}

/// Who may call `a`, as the feed tells.
async fn callers(harness: &Harness) -> Vec<String> {
    let changes = harness.store.changes(None, 100).await.expect("reads").changes;
    let found = changes.into_iter().find(|change| change.instance.as_str() == "a");
    found.expect("published").callers.iter().map(|it| it.binding.to_string()).collect()
}

#[tokio::test]
async fn a_binding_says_where_and_with_which_key_to_call() {
    let harness = Harness::new();
    live(&harness, "a").await;
    let body = wish(json!({"name": "checkout", "ttl": "3d"}));
    let first = bind(&harness, "b", body.clone()).await;
    assert_eq!(first.status, 201, "{first:?}");
    assert_eq!(first.headers.get("cache-control").expect("said"), "no-store");
    let credentials = &first.body["credentials"];
    assert_eq!(credentials["url"], "http://a.example.com:11080");
    assert_eq!((&credentials["client_id"], &credentials["audience"]), (&json!("b"), &json!("a")));
    assert_eq!(credentials["token_lifetime_seconds"], 300);
    assert_eq!(
        first.body["endpoints"],
        json!([{"host": "a.example.com", "ports": ["11080"], "protocol": "tcp"}])
    );
    let kept = harness.store.binding(&"b".parse().unwrap()).await.unwrap().expect("kept").binding;
    assert_eq!(kept.expires_at, Some(kept.created_at + 3 * 86_400_000));
    assert_eq!(kept.renew_before, Some(kept.created_at + 2 * 86_400_000));
    let metadata = first.body["metadata"].as_object().expect("an object");
    assert!(metadata["expires_at"].as_str().expect("text").starts_with("2026-05-04T00:00:00."));
    assert!(metadata["renew_before"].as_str().expect("text").starts_with("2026-05-03T00:00:00."));
    let jwk = credentials["private_key"].to_string();
    let pair = KeyPair::from_jwk(jwk.as_bytes()).expect("a private key");
    assert_eq!(pair.public_key(), kept.public_key, "the edge knows its other half");
    assert_eq!(callers(&harness).await, ["b"]);

    let again = bind(&harness, "b", body).await;
    assert_eq!((again.status, &again.body), (200, &first.body), "the same credential");
    let mut fetched = harness.call("GET", &bound("a", "b"), None).await;
    assert_eq!(fetched.status, 200);
    let parameters = fetched.body.as_object_mut().expect("an object").remove("parameters");
    assert_eq!(parameters, Some(json!({"name": "checkout", "ttl": "259200s"})));
    assert_eq!(fetched.body, first.body);
    let polled = harness.call("GET", &format!("{}/last_operation", bound("a", "b")), None).await;
    assert_eq!((polled.status, &polled.body["state"]), (200, &json!("succeeded")));
    let listed = harness.call("GET", "/v1/instances/a/bindings", None).await.body;
    assert_eq!(listed["bindings"][0]["name"], "checkout");
    let secret = credentials["private_key"]["d"].as_str().expect("text");
    assert!(!listed.to_string().contains(secret), "{listed}");

    assert_eq!(harness.call("DELETE", &unbound("a", "b"), None).await.status, 200);
    assert_eq!(callers(&harness).await, [""; 0]);
    for (method, path, status) in [
        ("DELETE", unbound("a", "b"), 410),
        ("DELETE", unbound("none", "b"), 410),
        ("GET", bound("a", "b"), 404),
        ("GET", format!("{}/last_operation", bound("a", "b")), 410),
        ("GET", "/v1/instances/none/bindings".to_owned(), 404),
    ] {
        assert_eq!(harness.call(method, &path, None).await.status, status, "{method} {path}");
    }
    let filter = AuditFilter { limit: 100, ..AuditFilter::default() };
    let log = harness.store.entries(filter).await.expect("reads").records;
    assert!(log.iter().any(|record| record.text.contains("binding.create")));
    assert!(log.iter().all(|record| !record.text.contains(secret)));
}

#[tokio::test]
async fn what_does_not_fit_is_refused_and_nothing_is_bound() {
    let harness = Harness::new();
    live(&harness, "a").await;
    live(&harness, "c").await;
    assert_eq!(bind(&harness, "b", wish(json!({}))).await.status, 201);
    let with = |key: &str, value: Value| {
        let mut body = wish(json!({}));
        body[key] = value;
        body
    };
    for (body, status, code, says) in [
        (json!({}), 400, None, "service_id"),
        (json!([]), 400, None, "specification"),
        (with("service_id", json!("other")), 400, None, "catalog"),
        (with("plan_id", json!("other")), 400, None, "catalog"),
        (with("plan_id", json!([1])), 400, None, "specification"),
        (with("predecessor_binding_id", json!([1])), 400, None, "specification"),
        (with("predecessor_binding_id", json!("a/b")), 400, None, "a/b"),
        (with("predecessor_binding_id", json!("")), 400, None, ""),
        (with("predecessor_binding_id", json!("none")), 400, None, "predecessor"),
        (with("bind_resource", json!("app")), 400, None, "specification"),
        (with("bind_resource", json!({"x": "y".repeat(20_000)})), 400, None, "16 KiB"),
        (with("app_guid", json!({})), 400, None, "specification"),
        (with("parameters", json!([])), 400, None, "object"),
        (wish(json!({"ttl": "1h", "tll": "1h"})), 400, Some("InvalidParameters"), "MG1004"),
        (wish(json!({"ttl": 60})), 400, Some("InvalidParameters"), "MG1005"),
        (wish(json!({"ttl": "59s"})), 400, Some("InvalidParameters"), "MG1008"),
        (wish(json!({"name": "a b"})), 400, Some("InvalidParameters"), "MG1008"),
        (wish(json!({"name": null})), 400, Some("InvalidParameters"), "MG1005"),
    ] {
        let answer = bind(&harness, "n", body.clone()).await;
        assert_eq!(answer.status, status, "{body} {answer:?}");
        assert_eq!(answer.body["error"].as_str(), code, "{answer:?}");
        let said = answer.body["description"].as_str().expect("a description");
        assert!(said.contains(says), "{body}: {said}");
    }
    let twice = r#"{"service_id": "S", "plan_id": "P", "parameters": {"ttl": "1h", "ttl": "2h"}}"#;
    let twice = twice.replace("\"S\"", &format!("\"{SERVICE_ID}\""));
    let twice = twice.replace("\"P\"", &format!("\"{PLAN_INTERNAL_ID}\""));
    let headers = [
        ("authorization", crate::harness::CREDENTIALS),
        ("x-broker-api-version", "2.17"),
        ("content-type", "application/json"),
    ];
    let answer = harness.send("PUT", &bound("a", "n"), &headers, twice).await;
    assert_eq!((answer.status, &answer.body["refusals"][0]["code"]), (400, &json!("MG1002")));
    assert_eq!(callers(&harness).await, ["b"]);

    for (instance, body, status) in [
        ("a", wish(json!({"ttl": "1h"})), 409),
        ("a", with("app_guid", json!("app")), 409),
        ("c", wish(json!({})), 409),
        ("none", wish(json!({})), 404),
    ] {
        let answer = harness.call("PUT", &bound(instance, "b"), Some(body.clone())).await;
        assert_eq!(answer.status, status, "{instance} {body} {answer:?}");
    }
    assert_eq!(harness.call("GET", &bound("c", "b"), None).await.status, 404, "another's");
    assert_eq!(harness.call("DELETE", &unbound("c", "b"), None).await.status, 410);
    assert_eq!(harness.call("DELETE", &bound("a", "b"), None).await.status, 400, "without ids");
    for number in 1..BINDINGS_MAX {
        assert_eq!(bind(&harness, &format!("m{number}"), wish(json!({}))).await.status, 201);
    }
    let full = bind(&harness, "more", wish(json!({}))).await;
    assert_eq!((full.status, &full.body["error"]), (422, &json!("TooManyBindings")), "{full:?}");
}

#[tokio::test]
async fn a_rotation_inherits_and_both_are_good() {
    let harness = Harness::new();
    live(&harness, "a").await;
    live(&harness, "c").await;
    let mut body = wish(json!({"ttl": "2d", "name": "checkout"}));
    body["app_guid"] = json!("app");
    let old = bind(&harness, "old", body).await;
    let bare = json!({"predecessor_binding_id": "old"});
    let new = bind(&harness, "new", bare.clone()).await;
    assert_eq!(new.status, 201, "{new:?}");
    assert_ne!(new.body["credentials"]["private_key"], old.body["credentials"]["private_key"]);
    assert!(new.body["metadata"]["expires_at"].is_string());
    assert_eq!(callers(&harness).await, ["new", "old"]);
    let fetched = harness.call("GET", &bound("a", "new"), None).await.body;
    assert_eq!(fetched["parameters"], json!({"name": "checkout", "ttl": "172800s"}));
    let mut whole = wish(json!({"ttl": "2d", "name": "checkout"}));
    whole["predecessor_binding_id"] = json!("old");
    assert_eq!(bind(&harness, "new", whole.clone()).await.status, 200, "said in full");
    whole["parameters"] = json!({"ttl": "1d"});
    assert_eq!(bind(&harness, "new", whole.clone()).await.status, 409);
    let other = bind(&harness, "other", whole).await;
    assert_eq!(other.status, 400, "{other:?}");
    let elsewhere = harness.call("PUT", &bound("c", "x"), Some(bare.clone())).await;
    assert_eq!(elsewhere.status, 400, "{elsewhere:?}");

    assert_eq!(harness.call("DELETE", &unbound("a", "old"), None).await.status, 200);
    assert_eq!(callers(&harness).await, ["new"]);
    assert_eq!(bind(&harness, "new", bare.clone()).await.body, new.body, "a late repeat");
    assert_eq!(bind(&harness, "later", bare).await.status, 400, "the predecessor is gone");
}

#[tokio::test]
async fn operations_neither_wait_nor_are_waited_for() {
    let harness = Harness::new();
    let body = envelope("internal", "a", "a.example.com");
    harness.call("PUT", &path("a"), Some(body)).await;
    let early = bind(&harness, "b", wish(json!({}))).await;
    assert_eq!((early.status, &early.body["error"]), (422, &json!("ConcurrencyError")));
    harness.work(true).await;
    assert_eq!(bind(&harness, "b", wish(json!({}))).await.status, 201);
    let body = envelope("public", "a", "a.example.com");
    assert_eq!(harness.call("PATCH", &path("a"), Some(body)).await.status, 202);
    assert_eq!(bind(&harness, "c", wish(json!({}))).await.status, 201, "in an update");
    assert_eq!(harness.call("DELETE", &unbound("a", "b"), None).await.status, 200);
    assert_eq!(callers(&harness).await, ["c"]);
    harness.work(true).await;
    let fetched = harness.call("GET", &bound("a", "c"), None).await.body;
    assert_eq!(fetched["credentials"]["url"], "http://a.example.com:10080", "it is public now");

    assert_eq!(harness.call("DELETE", &delete_path("a"), None).await.status, 202);
    let late = bind(&harness, "d", wish(json!({}))).await;
    assert_eq!((late.status, &late.body["error"]), (422, &json!("ConcurrencyError")));
    assert_eq!(harness.call("GET", &bound("a", "c"), None).await.status, 200, "still there");
    harness.work(true).await;
    assert_eq!(callers(&harness).await, [""; 0]);
    assert_eq!(harness.call("GET", &bound("a", "c"), None).await.status, 404);
    assert_eq!(harness.call("DELETE", &unbound("a", "c"), None).await.status, 410);
}

#[tokio::test]
async fn keys_are_told_by_id_and_rotated() {
    let harness = Harness::new();
    live(&harness, "a").await;
    let first = bind(&harness, "b", wish(json!({}))).await.body;
    let before = harness.call("GET", "/v1/keys", None).await.body;
    assert_eq!(before["keys"].as_array().map(Vec::len), Some(1), "{before}");
    assert!(!before.to_string().contains("0101010101"), "{before}");
    let after = harness.call("POST", "/v1/keys/rotate", None).await;
    assert_eq!((after.status, after.body["keys"].as_array().map(Vec::len)), (200, Some(2)));
    assert_eq!(bind(&harness, "b", wish(json!({}))).await.body, first);
}
