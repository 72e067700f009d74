//! A backup brings bindings back: who was bound then calls with the same key, and what was unbound
//! since is good again until somebody ends it once more.

use serde_json::{Value, json};

use crate::backend::Backend;
use crate::callers::Credential;
use crate::platform::{Platform, Reply};
use crate::wire;

/// A hundredth of a second each: longer than a change takes to reach a proxy.
const LOOKS: usize = 3_000;

async fn becomes(platform: &Platform, who: &Credential, status: u16) {
    let mut last = 0;
    for _ in 0..LOOKS {
        let bearer = format!("Bearer {}", who.token());
        let headers = [("authorization", bearer.as_str())];
        let internal = platform.endpoints.internal;
        last = wire::get_with(internal, "ledger.example.com", "/", &headers).await.status;
        if last == status {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("it is still {last} and not {status}\n{}", platform.log());
}

async fn said(platform: &Platform, arguments: &[&str]) -> String {
    let output = platform.margrave(arguments).await;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

async fn rotate_keys(platform: &Platform) {
    let rotated = platform.call("POST", "/v1/keys/rotate", None).await;
    assert_eq!(rotated.status, 200, "{rotated:?}");
}

fn key(reply: &Reply) -> &Value {
    &reply.body["credentials"]["private_key"]
}

/// The ids of the bindings of the instance.
async fn bound(platform: &Platform) -> Vec<String> {
    let listed = platform.call("GET", "/v1/instances/i/bindings", None).await;
    let listed = listed.body["bindings"].as_array().unwrap_or_else(|| panic!("{listed:?}"));
    listed.iter().map(|it| it["id"].as_str().expect("an id").to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_binding_calls_with_its_key_and_a_revived_one_is_found_and_ended() {
    let web = Backend::start("web").await;
    let mut platform = Platform::start().await;
    let ledger = json!({"service": "ledger", "upstream": web.url(), "visibility": "internal",
        "hostnames": ["ledger.example.com"], "auth": {"require": "binding"}});
    platform.provision("i", &ledger).await;
    let first = platform.bind("i", "b-first", &json!({})).await;
    let kept = Credential::of(&first);
    let ended = Credential::of(&platform.bind("i", "b-ended", &json!({})).await);
    becomes(&platform, &kept, 200).await;
    becomes(&platform, &ended, 200).await;
    said(&platform, &["backup", "bound.backup"]).await;

    platform.unbind("i", "b-ended").await;
    let successor = json!({"predecessor_binding_id": "b-first"});
    let newer = Credential::of(&platform.bind("i", "b-newer", &successor).await);
    becomes(&platform, &ended, 401).await;
    becomes(&platform, &newer, 200).await;
    let since = said(&platform, &["audit", "export"]).await;
    assert!(platform.stop().await.success());
    let told = ["restore", "bound.backup", "--state", ".", "--replace"];
    let told = said(&platform, &told).await;
    assert!(told.contains("margrave unbind b-ended ledger --team team"), "{told}");
    assert!(!told.contains("b-first"), "it was not ended: {told}");
    platform.restart().await;

    // The same key, at the edge and in words; and the one that was ended is good again.
    becomes(&platform, &kept, 200).await;
    becomes(&platform, &ended, 200).await;
    becomes(&platform, &newer, 401).await;
    let again = platform.bind("i", "b-first", &json!({})).await;
    assert_eq!((again.status, key(&again)), (200, key(&first)));
    assert_eq!(bound(&platform).await, ["b-ended", "b-first"]);

    // Without the state that was replaced, what was exported before tells which to end.
    let ends: Vec<Value> = since
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON")["entry"].take())
        .filter(|entry| entry["action"] == "binding.delete")
        .collect();
    assert_eq!(ends.iter().map(|entry| &entry["object"]).collect::<Vec<_>>(), ["b-ended"]);
    platform.unbind("i", "b-ended").await;
    becomes(&platform, &ended, 401).await;
    becomes(&platform, &kept, 200).await;

    // The key that seals them is that of the restored state, and can be replaced like any other.
    rotate_keys(&platform).await;
    let again = platform.bind("i", "b-first", &json!({})).await;
    assert_eq!((again.status, key(&again)), (200, key(&first)));
}
