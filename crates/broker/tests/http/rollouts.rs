//! Roll-outs of the platform, as operators ask for them.

use serde_json::json;

use crate::harness::Harness;

#[tokio::test]
async fn what_becomes_of_a_roll_out_is_told_by_statuses() {
    let harness = Harness::new();
    for (method, path, body, status) in [
        ("POST", "/v1/rollouts/plan", json!({"edition": 4}), 200),
        ("POST", "/v1/rollouts/plan", json!({"templates": {"a.j2": ""}}), 422),
        ("POST", "/v1/rollouts/plan", json!({"template": "a"}), 400),
        ("POST", "/v1/rollouts", json!({"edition": 4}), 200),
        ("POST", "/v1/rollouts", json!({"edition": 999}), 404),
        ("POST", "/v1/rollouts/pause", json!(null), 200),
        ("POST", "/v1/rollouts/resume", json!(null), 409),
        ("POST", "/v1/rollouts/revert", json!({"edition": 2}), 200),
        ("POST", "/v1/rollouts/revert", json!({"to": 2}), 400),
        ("GET", "/v1/rollouts", json!(null), 200),
        ("GET", "/v1/rollouts/status", json!(null), 200),
    ] {
        let body = Some(body).filter(|body| !body.is_null());
        let answer = harness.call(method, path, body.clone()).await;
        assert_eq!(answer.status, status, "{method} {path} {body:?}: {answer:?}");
    }
    let begun = harness.call("POST", "/v1/rollouts", Some(json!({}))).await;
    assert_eq!(begun.body["by"], "user rollout.start", "who asks is told, and written");
    let back = harness.call("POST", "/v1/rollouts/revert", Some(json!({"edition": 2}))).await;
    assert_eq!(back.body["to"], 2);
}
