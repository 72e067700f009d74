//! Hosts that join: a token becomes a certificate, by which a real Envoy is served; another group is
//! refused, a newer certificate is picked up, and what is revoked stays out and goes on serving.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::net::TcpSocket;
use tokio::process::{Child, Command};

use crate::backend::Backend;
use crate::edge::binary;
use crate::line::a_wish_becomes_an_answer;
use crate::platform::{Options, Platform};
use crate::{service, wire};

/// Longer than anything that is waited for takes.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn encrypted() -> Options {
    Options::default().argument("--xds-tls-mode", "platform")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wish_becomes_an_answer_over_tls() {
    a_wish_becomes_an_answer(encrypted()).await;
}

/// A host's folder, its Envoy once it runs, and the port that it serves on.
pub(crate) struct Host {
    folder: tempfile::TempDir,
    pub(crate) internal: SocketAddr,
    _held: TcpSocket,
}

/// A port that nobody else is given while it is held, and that can be listened at.
fn hold() -> (TcpSocket, SocketAddr) {
    let held = TcpSocket::new_v4().expect("a socket");
    held.set_reuseaddr(true).expect("shared");
    held.set_reuseport(true).expect("shared");
    held.bind(([127, 0, 0, 1], 0).into()).expect("a free port");
    let address = held.local_addr().expect("bound");
    (held, address)
}

impl Host {
    pub(crate) fn new() -> Self {
        let (held, internal) = hold();
        Self { folder: tempfile::tempdir().expect("a folder"), internal, _held: held }
    }

    pub(crate) fn out(&self) -> String {
        self.folder.path().join("identity").display().to_string()
    }

    /// `margrave join`, as on a host that has no credential.
    pub(crate) async fn join(&self, platform: &Platform, token: &str) -> std::process::Output {
        let out = self.out();
        let mut join = platform.stranger(&["join", "--out", &out, "--admin", "127.0.0.1:0"]);
        join.env("MARGRAVE_JOIN_TOKEN", token).output().await.expect("it runs")
    }

    /// Envoy with what was written, or what that was made of.
    pub(crate) fn envoy(&self, edit: impl FnOnce(&mut Value)) -> Child {
        let written = Path::new(&self.out()).join("envoy.json");
        let mut bootstrap: Value =
            serde_json::from_slice(&std::fs::read(written).expect("written")).expect("JSON");
        edit(&mut bootstrap);
        let id = bootstrap["node"]["cluster"].as_str().expect("a group").to_owned();
        let config = self.folder.path().join(format!("{id}.json"));
        std::fs::write(&config, bootstrap.to_string()).expect("written");
        Command::new(binary())
            .args(["--use-dynamic-base-id", "--concurrency", "1", "--log-level", "warning", "-c"])
            .arg(config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("Envoy 1.40 runs: set MARGRAVE_ENVOY, or `make envoy`")
    }
}

pub(crate) async fn invite(platform: &Platform, node: &str) -> String {
    let arguments = ["join-token", "create", "--group", "eu-1", "--node", node, "-o", "json"];
    let made = platform.margrave(&arguments).await;
    let made: Value = serde_json::from_slice(&made.stdout).expect("JSON");
    made["secret"].as_str().expect("a secret").to_owned()
}

/// Looks until it is so.
async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let looking = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, looking).await.unwrap_or_else(|_| panic!("never {what}"));
}

/// Whether this proxy is connected and has all that it should.
async fn is_live(platform: &Platform, live: bool) {
    until(if live { "live" } else { "gone" }, async || {
        let fleet = platform.call("GET", "/v1/fleet", None).await.body;
        let proxies = fleet["proxies"].as_array().cloned().unwrap_or_default();
        proxies.iter().any(|it| it["id"] == "edge-7" && it["state"] == "live") == live
    })
    .await;
}

async fn said(platform: &Platform, words: &str) {
    until(words, async || platform.log().contains(words)).await;
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_joins_is_served_begins_anew_and_is_revoked() {
    let host = Host::new();
    let options = encrypted().argument("--envoy", "none");
    let options = options.argument("--listen-internal", host.internal.to_string());
    // Where it still is when it comes back.
    let (_held, free) = hold();
    let options = options.argument("--listen-xds", free.to_string());
    let mut platform = Platform::start_with(options).await;
    let backend = Backend::start("web").await;

    let token = invite(&platform, "edge-7").await;
    let joined = host.join(&platform, &token).await;
    assert!(joined.status.success(), "{}", text(&joined.stderr));
    assert!(
        text(&joined.stdout).starts_with("the proxy `edge-7` of group `eu-1` may connect until ")
    );
    let again = Host::new().join(&platform, &token).await;
    assert_eq!(again.status.code(), Some(3), "{}", text(&again.stdout));
    assert!(text(&again.stderr).contains("the join token is not good: it was used"));

    let _envoy = host.envoy(|_| {});
    is_live(&platform, true).await;
    platform.provision("a", &service("shop", &backend.url(), "internal")).await;
    let answer = wire::get(host.internal, "shop.example.com", "/").await;
    assert_eq!((answer.status, answer.backend()), (200, Some("web")));

    // Who says that it is somebody else is told what its certificate says.
    let liar = host.envoy(|bootstrap| bootstrap["node"]["cluster"] = json!("us-1"));
    let words = "the certificate is of node `edge-7` in group `eu-1`, and the client says that it is \
                 node.id `edge-7` in node.cluster `us-1`";
    said(&platform, words).await;
    drop(liar);

    // The keys at rest are others, the process another, and the authority the same.
    assert!(platform.margrave(&["keys", "rotate"]).await.status.success());
    platform.kill().await;
    platform.restart().await;
    is_live(&platform, true).await;
    let renewed = platform.stranger(&["join", "--renew", "--out", &host.out()]).output().await;
    assert!(renewed.expect("it runs").status.success());

    // Joining again ends what it had; Envoy comes back with what was written, without a restart.
    let joined = host.join(&platform, &invite(&platform, "edge-7").await).await;
    assert!(joined.status.success(), "{}", text(&joined.stderr));
    said(&platform, "of node `edge-7` was revoked").await;
    is_live(&platform, true).await;
    platform.provision("b", &service("pay", &backend.url(), "internal")).await;
    assert_eq!(wire::get(host.internal, "pay.example.com", "/").await.status, 200);

    let revoked = platform.margrave(&["node", "revoke", "edge-7"]).await;
    assert!(revoked.status.success(), "{}", text(&revoked.stderr));
    is_live(&platform, false).await;
    let renewed = platform.stranger(&["join", "--renew", "--out", &host.out()]).output().await;
    let renewed = renewed.expect("it runs");
    assert_eq!(renewed.status.code(), Some(3));
    assert!(text(&renewed.stderr).contains("was revoked"), "{}", text(&renewed.stderr));
    platform.provision("c", &service("new", &backend.url(), "internal")).await;
    assert_eq!(wire::get(host.internal, "new.example.com", "/").await.status, 404);
    assert_eq!(wire::get(host.internal, "shop.example.com", "/").await.status, 200);
}
