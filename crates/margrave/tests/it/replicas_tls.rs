//! Proxies with an identity at a replica: joined at the process that writes, known and shut out here, also
//! when the store is gone.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::backend::Backend;
use crate::joining::{Host, encrypted, invite};
use crate::platform::Platform;
use crate::replicas::{LIVE, Replica, corrupt, is_kept, until};
use crate::{service, wire};

const TLS: [&str; 2] = ["--xds-tls-mode", "platform"];

async fn joined(platform: &Platform, host: &Host, node: &str) {
    let joined = host.join(platform, &invite(platform, node).await).await;
    assert!(joined.status.success(), "{}", String::from_utf8_lossy(&joined.stderr));
}

/// Makes a bootstrap lead there.
fn lead_to(xds: SocketAddr) -> impl FnOnce(&mut Value) {
    move |bootstrap| {
        let clusters = bootstrap["static_resources"]["clusters"].as_array_mut().expect("clusters");
        for cluster in clusters {
            let endpoint = &mut cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0];
            let address = &mut endpoint["endpoint"]["address"]["socket_address"];
            *address = json!({"address": xds.ip().to_string(), "port_value": xds.port()});
        }
    }
}

/// Waits until these proxies, and no others, are live at the replica.
async fn are_live(platform: &Platform, nodes: &[&str]) {
    until(&format!("{nodes:?} are live"), async || {
        let fleet = platform.call("GET", "/v1/fleet", None).await.body;
        let proxies = fleet["proxies"].as_array().cloned().unwrap_or_default();
        let is_live = |it: &&Value| it["state"] == "live" && it["replica"] == "a";
        let mut live: Vec<_> = proxies.iter().filter(is_live).map(|it| it["id"].clone()).collect();
        live.sort_by_key(Value::to_string);
        live == nodes && proxies.len() == nodes.len()
    })
    .await;
}

/// What a replica says that would answer in clear.
async fn refused(state: &std::path::Path) -> String {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_margrave"));
    command.args(["dev", "--role", "plane", "--replica", "clear", "--state"]).arg(state);
    command.args(["--listen-xds", "0", "--listen-metrics", "0"]);
    let output = command.output().await.expect("it runs");
    assert!(!output.status.success());
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_with_an_identity_is_known_at_a_replica_and_shut_out_there() {
    let (good, bad) = (Host::new(), Host::new());
    let internal = good.internal;
    let options = encrypted().argument("--envoy", "none");
    let options = options.argument("--listen-internal", internal.to_string());
    let mut platform = Platform::start_with(options).await;
    let state = platform.state().to_owned();
    let mut replica = Replica::start(&state, "a", &TLS).await;
    let clear = refused(&state).await;
    assert!(clear.contains("set `xds_tls.mode` here as it is there"), "{clear}");
    joined(&platform, &good, "edge-8").await;
    joined(&platform, &bad, "edge-7").await;
    let mut first = good.envoy(lead_to(replica.xds));
    let second = bad.envoy(lead_to(replica.xds));
    are_live(&platform, &["edge-7", "edge-8"]).await;

    let backend = Backend::start("web").await;
    platform.provision("shop", &service("shop", &backend.url(), "internal")).await;
    let answer = wire::get(internal, "shop.example.com", "/").await;
    assert_eq!((answer.status, answer.backend()), (200, Some("web")));
    let revoked = platform.margrave(&["node", "revoke", "edge-7"]).await;
    assert!(revoked.status.success(), "{}", String::from_utf8_lossy(&revoked.stderr));
    are_live(&platform, &["edge-8"]).await;
    drop(second);

    platform.stop().await;
    is_kept(&state.join("replicas/a/last-good.db")).await;
    replica.kill().await;
    corrupt(&state);
    let replica = Replica::start(&state, "a", &TLS).await;
    first.kill().await.expect("killed");
    let _first = good.envoy(lead_to(replica.xds));
    until("it is live", async || replica.metric(LIVE).await > 0.0).await;
    until("it answers", async || {
        tokio::net::TcpStream::connect(internal).await.is_ok()
            && wire::get(internal, "shop.example.com", "/").await.backend() == Some("web")
    })
    .await;
    let _second = bad.envoy(lead_to(replica.xds));
    let log = || std::fs::read_to_string(state.join("a.log")).unwrap_or_default();
    until("it is refused", async || log().contains("of node `edge-7` was revoked")).await;
    assert_eq!(replica.metric(LIVE).await, 1.0);
}
