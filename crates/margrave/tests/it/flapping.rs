//! A source whose servers differ: each answer renders, is acknowledged, and takes back the one before.
//! Proxies are not sent the one and the other for ever, and it is told why.

use serde_json::{Value, json};

use crate::backend::Backend;
use crate::platform::Platform;
use crate::rollout::{over, status};
use crate::service;
use crate::sources::{Keys, Mood, TELLS, start, tells, told, until};

const HOST: &str = "shop.example.com";
/// So often it is asked after it was halted.
const TURNS: usize = 8;

/// How often Envoy has taken routes, as it counts.
async fn updates(platform: &Platform) -> Value {
    let at = platform.endpoints.admin.expect("an Envoy");
    let dump = reqwest::get(format!("http://{at}/config_dump?resource=dynamic_route_configs"));
    let dump: Value = dump.await.expect("Envoy answers").json().await.expect("JSON");
    let configs = dump["configs"].as_array().cloned().unwrap_or_default();
    configs.iter().map(|config| config["version_info"].clone()).collect()
}

async fn said(platform: &Platform, arguments: &[&str]) -> String {
    let said = platform.margrave(arguments).await;
    assert!(said.status.success(), "{said:?}");
    String::from_utf8_lossy(&said.stdout).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_goes_back_and_forth_is_halted_and_it_is_told_why() {
    let (keys, folder) = (Keys::start("one").await, tempfile::tempdir().expect("a folder"));
    let platform = start(&keys, folder.path(), TELLS, "").await;
    let backend = Backend::start("one").await;
    platform.provision("a", &service("shop", &backend.url(), "internal")).await;
    tells(&platform, HOST, "one").await;
    over(&platform, 0).await;
    assert_eq!(platform.metric("margrave_rollout_halts_total").await, 0.0);

    keys.becomes(Mood::Flaps(["two", "one"]));
    let is_halted = || async { status(&platform).await["rollout"]["state"] == "refused" };
    until("it is halted", &platform, is_halted).await;
    let halted = status(&platform).await;
    let why = halted["rollout"]["reason"].as_str().unwrap_or_default();
    assert!(why.starts_with("what sources have goes back and forth (partners): "), "{why}");
    assert_eq!(halted["trouble"].as_str(), Some(why));

    // From then on it changes nothing, however often it is asked.
    let (served, taken) = (told(&platform, HOST).await, updates(&platform).await);
    assert_ne!(taken, json!([]), "it has routes");
    let goal = keys.turns() + TURNS;
    until("it goes on", &platform, || async { keys.turns() >= goal }).await;
    let now = status(&platform).await;
    assert_eq!(now["rollout"]["id"], halted["rollout"]["id"], "nothing was begun: {now:#}");
    assert_eq!((told(&platform, HOST).await, updates(&platform).await), (served, taken));

    // Who asks is told: here, in the audit log, and by a metric.
    let text = said(&platform, &["rollout", "status"]).await;
    assert!(text.contains("goes back and forth (partners)"), "{text}");
    let text = said(&platform, &["audit", "list", "--action", "rollout.halt", "-o", "json"]).await;
    assert_eq!(text.matches("goes back and forth (partners)").count(), 1, "{text}");
    assert_eq!(platform.metric("margrave_rollout_halts_total").await, 1.0);
    let text = said(&platform, &["fleet", "status"]).await;
    assert!(text.contains("LIVE"), "the fleet is well: {text}");
    // And a tenant's change waits for nothing of it.
    platform.provision("b", &service("cart", &backend.url(), "internal")).await;

    // When its servers agree it is followed again.
    keys.becomes(Mood::Says("three", "\"v3\""));
    tells(&platform, HOST, "three").await;
    let id = now["rollout"]["id"].as_u64().expect("a number");
    assert_eq!(over(&platform, id).await.1, "done");
    assert_eq!(status(&platform).await["trouble"], Value::Null);
}
