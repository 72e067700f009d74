//! What operators do about an operation that is stuck: each is audited, and refused where it makes no
//! sense.

use model::{StepRecord, StepState};
use serde_json::{Value, json};
use store::StoreError;

use crate::harness::{Answer, Harness, Held, delete_path, envelope, path};

async fn accepted(harness: &Harness, method: &str, path: &str, body: Option<Value>) -> String {
    let answer = harness.call(method, path, body).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    answer.body["operation"].as_str().expect("an id").to_owned()
}

/// A provision with a step that is stuck.
async fn stuck(harness: &Harness) -> (String, Held) {
    let wish = envelope("internal", "a", "a.example.com");
    let id = accepted(harness, "PUT", &path("a"), Some(wish)).await;
    let mut held = harness.begin().await;
    held.operation.steps = vec![StepRecord {
        state: StepState::Running,
        attempts: 7,
        next_at: Some(9_000_000_000_000),
        skippable: true,
        ..StepRecord::new("dns-records", "Creating DNS records")
    }];
    harness.step(&mut held, vec![]).await;
    (id, held)
}

async fn say(harness: &Harness, id: &str, what: &str, body: Value) -> Answer {
    harness.call("POST", &format!("/v1/operations/{id}/{what}"), Some(body)).await
}

async fn audited(harness: &Harness, action: &str) -> Value {
    let log = harness.call("GET", &format!("/v1/audit?action={action}&order=latest"), None).await;
    log.body["entries"][0]["entry"].clone()
}

#[tokio::test]
async fn what_is_stuck_is_helped_on_and_the_one_who_was_at_it_is_stopped() {
    let reason = "made by hand";
    for (what, body, step) in [
        ("retry", json!({}), json!({"state": "running", "attempts": 0})),
        (
            "skip",
            json!({"step": "dns-records", "reason": reason}),
            json!({"state": "done", "skipped": reason}),
        ),
        ("cancel", json!({"reason": reason}), json!({"state": "running"})),
    ] {
        let harness = Harness::new();
        let (id, held) = stuck(&harness).await;
        let answer = say(&harness, &id, what, body).await;
        assert_eq!(answer.status, 200, "{what}: {answer:?}");
        for (key, value) in step.as_object().expect("an object") {
            assert_eq!(&answer.body["steps"][0][key], value, "{what} {key}: {answer:?}");
        }
        assert_eq!(harness.try_step(&held, vec![]).await, Err(StoreError::Fenced), "{what}");
        harness.give_back(held).await;
        let next = harness.begin().await.operation;
        assert_eq!(next.id.as_str(), id, "{what}: it goes on at once");
        assert_eq!(next.error.is_some(), what == "cancel");
        let entry = audited(&harness, &format!("operation.{what}")).await;
        assert_eq!(
            (entry["by"]["credential"].as_str(), entry["object"].as_str()),
            (Some("user"), Some(&*id)),
            "{entry}"
        );
    }
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_in_words() {
    let harness = Harness::new();
    let (id, held) = stuck(&harness).await;
    let skip = |step: &str, reason: &str| json!({"step": step, "reason": reason});
    for (what, body, status, words) in [
        ("skip", skip("cdn", "x"), 409, "it has no step `cdn`; there are dns-records"),
        ("skip", skip("dns-records", " "), 400, "`reason` has 1 to 500 characters"),
        ("cancel", json!({}), 400, "missing field `reason`"),
        ("cancel", json!({"reason": "x", "resaon": "y"}), 400, "unknown field"),
    ] {
        let answer = say(&harness, &id, what, body).await;
        let said = answer.body["description"].as_str().unwrap_or_default();
        assert!(answer.status == status && said.contains(words), "{what}: {answer:?}");
    }
    assert_eq!(say(&harness, "nobody", "retry", json!({})).await.status, 404);
    let unforced = harness.call("DELETE", "/v1/instances/a", None).await;
    assert_eq!(unforced.status, 400, "{unforced:?}");
    harness.end(held, true, vec![]).await;
    let late = say(&harness, &id, "cancel", json!({"reason": "x"})).await;
    assert_eq!(late.status, 409, "{late:?}");
}

#[tokio::test]
async fn what_has_failed_is_tried_anew_as_what_it_was() {
    let harness = Harness::new();
    let wish = envelope("internal", "a", "a.example.com");
    let first = accepted(&harness, "PUT", &path("a"), Some(wish)).await;
    harness.work(false).await;
    let again = format!("/v1/operations/{first}/retry");
    let second = accepted(&harness, "POST", &again, None).await;
    assert_eq!(harness.call("POST", &again, None).await.status, 409, "it is the latest no more");
    let held = harness.begin().await;
    assert_eq!(held.operation.id.as_str(), second);
    let publish = held.publish();
    harness.end(held, true, vec![publish]).await;
    let done = harness.call("POST", &format!("/v1/operations/{second}/retry"), None).await;
    assert_eq!(done.status, 409, "it has succeeded: {done:?}");
    let shown = harness.call("GET", "/v1/instances/a", None).await.body;
    assert_eq!(
        (&shown["state"], &shown["hostnames"][0]),
        (&json!("ready"), &json!("a.example.com"))
    );
}

#[tokio::test]
async fn a_forced_deprovision_comes_in_place_of_anything() {
    let harness = Harness::new();
    let wish = envelope("internal", "a", "a.example.com");
    accepted(&harness, "PUT", &path("a"), Some(wish)).await;
    harness.work(true).await;
    let gentle = accepted(&harness, "DELETE", &delete_path("a"), None).await;
    let forced = "/v1/instances/a?force=true";
    let operation = accepted(&harness, "DELETE", forced, None).await;
    assert_ne!(operation, gentle);
    assert_eq!(accepted(&harness, "DELETE", forced, None).await, operation, "the same");
    let entry = audited(&harness, "instance.deprovision").await;
    assert_eq!(entry["detail"]["force"], true, "{entry}");

    let mut held = harness.begin().await;
    assert!(held.operation.force);
    held.operation.leftovers = vec!["the DNS record of a.example.com: no".to_owned()];
    let gone = vec![store::Write::State(model::InstanceState::Deleted)];
    harness.end(held, true, gone).await;
    let shown = harness.call("GET", &format!("/v1/operations/{operation}"), None).await.body;
    assert_eq!(shown["leftovers"][0], "the DNS record of a.example.com: no");
    let told = shown["description"].as_str().unwrap_or_default();
    assert!(told.contains("left behind: the DNS record"), "{told}");
    let entry = audited(&harness, "operation.succeeded").await;
    assert_eq!(entry["detail"]["leftovers"][0], "the DNS record of a.example.com: no");
    assert_eq!(harness.call("DELETE", forced, None).await.status, 410);
}
