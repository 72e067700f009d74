//! What is in progress need not be waited for: while the fleet lags, a newer update comes in place of
//! the one before, a deprovision in place of either, and operators help on what is stuck.

use serde_json::Value;

use crate::backend::Backend;
use crate::platform::Platform;
use crate::{service, wire};

/// The proxy stands still: it acknowledges nothing, and stays connected.
struct Frozen(String);

impl Frozen {
    async fn of(platform: &Platform) -> Self {
        let pid = platform.envoy().await;
        signal("-STOP", &pid);
        Self(pid)
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        signal("-CONT", &self.0);
    }
}

fn signal(signal: &str, pid: &str) {
    let sent = std::process::Command::new("kill").args([signal, pid]).status();
    assert!(sent.expect("kill runs").success());
}

async fn poll(platform: &Platform, id: &str, operation: &Value) -> Value {
    let operation = operation.as_str().expect("an operation");
    let path = format!("/v2/service_instances/{id}/last_operation?operation={operation}");
    platform.call("GET", &path, None).await.body
}

/// Waits until an operation waits for the proxies.
async fn waits(platform: &Platform, operation: &Value) {
    let path = format!("/v1/operations/{}", operation.as_str().expect("an operation"));
    for _ in 0..2_000 {
        let shown = platform.call("GET", &path, None).await.body;
        let steps = shown["steps"].as_array().cloned().unwrap_or_default();
        if steps.iter().any(|step| step["waitsFor"] == "fleet") {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    panic!("it does not wait for the fleet:\n{}", platform.log());
}

/// The only proxy in depth, as the command tells it.
async fn proxy(platform: &Platform) -> Value {
    let fleet = platform.margrave(&["fleet", "status", "--all", "-o", "json"]).await;
    let fleet: Value = serde_json::from_slice(&fleet.stdout).expect("JSON");
    let id = fleet["proxies"][0]["id"].as_str().expect("a proxy").to_owned();
    let told = platform.margrave(&["fleet", "proxy", &id, "-o", "json"]).await;
    serde_json::from_slice(&told.stdout).expect("JSON")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_wish_does_not_wait_for_a_fleet_that_lags() {
    let (old, new) = (Backend::start("old").await, Backend::start("new").await);
    let platform = Platform::start().await;
    platform.provision("a", &service("a", &old.url(), "internal")).await;

    let frozen = Frozen::of(&platform).await;
    let mut first = service("a", &old.url(), "internal");
    first["hostnames"] = serde_json::json!(["other.example.com"]);
    let first = platform.patch("a", &first).await.body["operation"].clone();
    waits(&platform, &first).await;
    let behind = proxy(&platform).await;
    assert_eq!((&behind["state"], &behind["lacks"]), (&"behind".into(), &1.into()), "{behind}");
    let lacked = behind["differs"].as_array().expect("a list");
    let is_scope = |it: &&Value| it["name"] == "internal/other.example.com";
    let scope = lacked.iter().find(is_scope).expect("the new hostname");
    assert!(scope["owner"] == "a" && scope.get("refusal").is_none(), "{behind}");
    let second = platform.patch("a", &service("a", &new.url(), "internal")).await;
    assert_eq!(second.status, 202, "{second:?}");
    assert_eq!(poll(&platform, "a", &first).await["state"], "in progress", "it has not failed");
    drop(frozen);
    let ended = platform.end("a").await;
    assert!(ended.succeeded(), "{ended:?}");
    assert_eq!(poll(&platform, "a", &first).await["state"], "succeeded");
    let live = proxy(&platform).await;
    assert!(live["state"] == "live" && live["differs"] == serde_json::json!([]), "{live}");
    let answer = wire::get(platform.endpoints.internal, "a.example.com", "/").await;
    assert_eq!(answer.backend(), Some("new"));
    let left = wire::get(platform.endpoints.internal, "other.example.com", "/").await;
    assert_eq!(left.status, 404, "what only the superseded one wanted is gone");

    let frozen = Frozen::of(&platform).await;
    let third = platform.put("b", &service("b", &new.url(), "public")).await.body;
    waits(&platform, &third["operation"]).await;
    let gone = platform.delete("b").await;
    assert_eq!(gone.status, 202, "{gone:?}");
    assert_eq!(platform.delete("b").await.body, gone.body, "the same operation");
    let cancelled = poll(&platform, "b", &third["operation"]).await;
    let told = cancelled["description"].as_str().unwrap_or_default();
    assert!(told.starts_with("cancelled: the instance was deleted by"), "{cancelled}");
    waits(&platform, &gone.body["operation"]).await;
    // An operator does not wait either, and is told what may be left.
    let id = gone.body["operation"].as_str().expect("an operation");
    let skipped = platform
        .margrave(&["operation", "skip", id, "--step", "converge", "--reason", "it is frozen"])
        .await;
    assert!(skipped.status.success(), "{skipped:?}");
    let ended = platform.end("b").await;
    assert!(ended.succeeded() && ended.description.contains("it is frozen"), "{ended:?}");
    drop(frozen);
    let records = platform.call("GET", "/v1/records", None).await.body;
    assert!(!records.to_string().contains("b.example.com"), "{records}");
    assert_eq!(platform.delete("b").await.status, 410);
}
