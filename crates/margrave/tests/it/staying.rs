//! A host that stays, as a service that is started again and again with what it was started with first.

use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};
use tokio::process::{Child, Command};

use crate::joining::{Host, encrypted, invite};
use crate::platform::Platform;
use crate::replicas::until;

/// Longer ago than two thirds of a certificate's life, and shorter than all of it.
const AGO_MILLIS: i64 = 20 * 60 * 60 * 1000;

fn file(host: &Host, name: &str) -> std::path::PathBuf {
    Path::new(&host.out()).join(name)
}

fn read(host: &Host, name: &str) -> Value {
    let text = std::fs::read(file(host, name)).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}

/// What it remembers becomes so old that the certificate is to be renewed.
fn age(host: &Host) {
    let mut kept = read(host, "joined.json");
    for key in ["issuedAt", "notAfter"] {
        kept[key] = json!(kept[key].as_i64().expect("a time") - AGO_MILLIS);
    }
    std::fs::write(file(host, "joined.json"), kept.to_string()).expect("written");
}

/// `margrave join --stay`, with a log beside what it writes.
fn stay(platform: &Platform, host: &Host, with: impl FnOnce(&mut Command)) -> Child {
    let out = host.out();
    let mut command = platform.stranger(&["join", "--stay", "--out", &out, "--admin", "[::1]:0"]);
    let log = std::fs::File::create(format!("{out}.log")).expect("a log");
    command.stdout(Stdio::null()).stderr(log).kill_on_drop(true);
    with(&mut command);
    command.spawn().expect("it starts")
}

fn said(host: &Host) -> String {
    std::fs::read_to_string(format!("{}.log", host.out())).unwrap_or_default()
}

/// Waits until it has another certificate than this, and ends.
async fn gets_another(host: &Host, mut staying: Child, before: &Value) {
    until(&format!("it has another: {}", said(host)), async || {
        let now = read(host, "identity.json");
        assert_eq!(staying.try_wait().expect("asked"), None, "it stays: {}", said(host));
        now != *before && now.is_object() && read(host, "joined.json").is_object()
    })
    .await;
    staying.kill().await.expect("killed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_stays_until_it_is_shut_out_and_comes_back_by_a_token() {
    let platform = Platform::start_with(encrypted().argument("--envoy", "none")).await;
    let host = Host::new();
    let token = invite(&platform, "edge-7").await;
    let first = stay(&platform, &host, |command| {
        command.env("MARGRAVE_JOIN_TOKEN", &token);
    });
    gets_another(&host, first, &Value::Null).await;

    // Started again with the same token, which it has used up, or with none: when it is due, it renews.
    let before = read(&host, "identity.json");
    let again = stay(&platform, &host, |command| {
        command.env("MARGRAVE_JOIN_TOKEN", &token);
    });
    gets_another(&host, again, &before).await;
    let before = read(&host, "identity.json");
    age(&host);
    gets_another(&host, stay(&platform, &host, |_| {}), &before).await;

    // A platform that is away is waited for.
    age(&host);
    let before = read(&host, "identity.json");
    let mut alone = stay(&platform, &host, |command| {
        command.env("MARGRAVE_URL", "http://127.0.0.1:1");
    });
    until("it says so", async || said(&host).contains("does not answer")).await;
    assert_eq!(alone.try_wait().expect("asked"), None, "it stays");
    assert_eq!(read(&host, "identity.json"), before);
    alone.kill().await.expect("killed");

    let revoked = platform.margrave(&["node", "revoke", "edge-7"]).await;
    assert!(revoked.status.success(), "{revoked:?}");
    let ended = stay(&platform, &host, |_| {}).wait().await.expect("it ends");
    assert_eq!(ended.code(), Some(3), "{}", said(&host));
    assert!(said(&host).contains("was revoked: join again, with a token"), "{}", said(&host));

    // As it says.
    let token = invite(&platform, "edge-7").await;
    let back = stay(&platform, &host, |command| {
        command.env("MARGRAVE_JOIN_TOKEN", &token);
    });
    gets_another(&host, back, &before).await;
    let nodes = platform.call("GET", "/v1/nodes", None).await.body;
    assert_eq!(nodes["nodes"][0]["state"], "joined", "{nodes}");
}
