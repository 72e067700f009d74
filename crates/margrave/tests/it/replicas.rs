//! Replicas of the control plane beside the process that writes: one whose store is gone, and one
//! that lags.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::backend::Backend;
use crate::edge::{DELTA, Edge, STATE_OF_THE_WORLD};
use crate::isolation::{ENVOY_REFUSES, poisoned_templates, two_hostnames};
use crate::platform::{Options, Platform};
use crate::{service, wire};

const PATIENCE: Duration = Duration::from_secs(60);
/// Proxies that have all that they should have; set every second and a half.
pub(crate) const LIVE: &str = "margrave_plane_proxies{state=\"live\"}";

pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("never: {what}"));
}

/// A replica: killed at the end.
pub(crate) struct Replica {
    child: Child,
    pub(crate) xds: SocketAddr,
    metrics: String,
}

impl Replica {
    /// Starts it, and returns when it tells where it answers.
    pub(crate) async fn start(state: &Path, name: &str, more: &[&str]) -> Self {
        let told = state.join("replicas").join(name).join("endpoints.json");
        let _ = std::fs::remove_file(&told);
        let log = std::fs::File::create(state.join(format!("{name}.log"))).expect("a log file");
        let mut command = Command::new(env!("CARGO_BIN_EXE_margrave"));
        command.args(["dev", "--role", "plane", "--replica", name, "--state"]).arg(state);
        command.args(["--listen-xds", "0", "--listen-metrics", "0", "--envoy", "none"]);
        // Where proxies listen is nothing that it is told: that is in the store.
        command.args(more);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).kill_on_drop(true);
        let child = command.spawn().expect("it starts");
        until("the replica tells where it answers", async || told.exists()).await;
        let told = std::fs::read(told).expect("read");
        let told: Value = serde_json::from_slice(&told).expect("JSON");
        let text = |key: &str| told[key].as_str().expect("text").to_owned();
        Self { child, xds: text("xds").parse().expect("an address"), metrics: text("metrics") }
    }

    /// The sum of a metric over its labels.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        let page = reqwest::get(format!("{}/metrics", self.metrics)).await.expect("metrics");
        let page = page.text().await.expect("text");
        let lines = page.lines().filter(|line| line.starts_with(name));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    /// It does nothing any more, and is still there.
    fn freeze(&self) {
        let pid = self.child.id().expect("it runs").to_string();
        let stopped = std::process::Command::new("kill").args(["-STOP", &pid]).status();
        assert!(stopped.expect("kill runs").success());
    }

    /// SIGKILL.
    pub(crate) async fn kill(&mut self) {
        self.child.kill().await.expect("killed");
    }
}

/// A platform without an Envoy of its own, whose replicas serve proxies that listen there.
async fn platform_for(internal: SocketAddr) -> Platform {
    let options = Options::default()
        .argument("--envoy", "none")
        .argument("--listen-internal", internal.to_string());
    Platform::start_with(options).await
}

/// Waits until the platform tells that its only proxy is so, at this replica.
async fn is_told(platform: &Platform, replica: &str, state: &str) {
    until(&format!("a proxy at {replica} is {state}"), async || {
        let fleet = platform.call("GET", "/v1/fleet", None).await.body;
        let proxies = fleet["proxies"].as_array().expect("a list");
        proxies.len() == 1 && proxies[0]["replica"] == replica && proxies[0]["state"] == state
    })
    .await;
}

/// Waits until what is good is written: what was gathered is, a tenth of a second later.
pub(crate) async fn is_kept(good: &Path) {
    let size = || {
        ["", "-wal"].map(|end| {
            let found = std::fs::metadata(format!("{}{end}", good.display()));
            found.map_or(0, |found| found.len())
        })
    };
    let mut before = [0, 0];
    until("what is good is kept", async || {
        tokio::time::sleep(Duration::from_millis(500)).await;
        size() == std::mem::replace(&mut before, size())
    })
    .await;
}

/// Makes the store what nobody can read.
pub(crate) fn corrupt(state: &Path) {
    for end in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(state.join(format!("margrave.db{end}")));
    }
    std::fs::write(state.join("margrave.db"), b"this is no database").expect("written");
}

async fn answers(address: SocketAddr, backend: &str) {
    let host = "shop.example.com";
    until(&format!("{backend} answers"), async || {
        wire::get(address, host, "/").await.backend() == Some(backend)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_is_killed_serves_again_without_its_store() {
    serves_again(DELTA).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_is_killed_serves_again_in_the_state_of_the_world() {
    serves_again(STATE_OF_THE_WORLD).await;
}

async fn serves_again(api: &str) {
    let backend = Backend::start("one").await;
    let edge = Edge::speaking(api).await;
    let mut platform = platform_for(edge.internal).await;
    let state = platform.state().to_owned();
    let mut replica = Replica::start(&state, "a", &[]).await;
    edge.lead_to(replica.xds);
    is_told(&platform, "a", "live").await;
    // The operation succeeds when the proxies of the replica have it.
    platform.provision("shop", &service("shop", &backend.url(), "internal")).await;
    assert_eq!(wire::get(edge.internal, "shop.example.com", "/").await.backend(), Some("one"));
    let told = platform.margrave(&["fleet", "status", "--all"]).await.stdout;
    assert!(String::from_utf8_lossy(&told).contains("live"), "{}", String::from_utf8_lossy(&told));
    platform.stop().await;
    let good = state.join("replicas/a/last-good.db");
    is_kept(&good).await;
    replica.kill().await;
    for end in ["", "-wal"] {
        let kept = std::fs::read(format!("{}{end}", good.display())).unwrap_or_default();
        assert!(!kept.windows(4).any(|it| it == b"shop"), "a copy tells what is served");
    }
    corrupt(&state);

    let replica = Replica::start(&state, "a", &[]).await;
    edge.lead_to(replica.xds);
    until("the proxy is back", async || replica.metric("margrave_xds_streams").await > 0.0).await;
    until("it is live", async || replica.metric(LIVE).await > 0.0).await;
    assert_eq!(replica.metric("margrave_xds_response_bytes_total").await, 0.0, "it has everything");
    answers(edge.internal, "one").await;
    let internal = edge.internal;
    drop(edge);
    until("the proxy is gone", async || TcpStream::connect(internal).await.is_err()).await;
    let fresh = Edge::start_at(internal, api).await;
    fresh.lead_to(replica.xds);
    until("it listens", async || TcpStream::connect(internal).await.is_ok()).await;
    answers(internal, "one").await;
    assert!(replica.metric("margrave_xds_response_bytes_total").await > 0.0);
    assert_eq!(replica.metric("margrave_xds_nacks_total").await, 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_moves_to_a_replica_that_lags_keeps_what_it_has() {
    let (one, two) = (Backend::start("one").await, Backend::start("two").await);
    let edge = Edge::start().await;
    let mut platform = platform_for(edge.internal).await;
    let state = platform.state().to_owned();
    let mut ahead = Replica::start(&state, "ahead", &[]).await;
    edge.lead_to(ahead.xds);
    is_told(&platform, "ahead", "live").await;
    platform.provision("shop", &service("shop", &one.url(), "internal")).await;
    platform.stop().await;
    let copy = state.join("copy.db");
    std::fs::copy(state.join("margrave.db"), &copy).expect("copied");
    platform.restart().await;
    platform.update("shop", &service("shop", &two.url(), "internal")).await;
    answers(edge.internal, "two").await;

    let store = copy.to_str().expect("UTF-8");
    let mut lags = Replica::start(&state, "lags", &["--store", store]).await;
    ahead.kill().await;
    edge.lead_to(lags.xds);
    is_told(&platform, "lags", "behind").await;
    for _ in 0..20 {
        let answer = wire::get(edge.internal, "shop.example.com", "/").await;
        assert_eq!(answer.backend(), Some("two"), "it went backwards");
    }
    assert_eq!(lags.metric("margrave_xds_responses_total").await, 0.0);
    lags.kill().await;
    let ahead = Replica::start(&state, "ahead", &[]).await;
    edge.lead_to(ahead.xds);
    is_told(&platform, "ahead", "live").await;
    answers(edge.internal, "two").await;
}

/// For how long nobody has told of the region of its proxy, in milliseconds.
async fn staleness(platform: &Platform) -> i64 {
    let fleet = platform.call("GET", "/v1/fleet", None).await.body;
    let regions = fleet["regions"].as_array().expect("a list");
    let eu = regions.iter().find(|it| it["region"] == "eu").expect("it is known");
    eu["stalenessMs"].as_i64().expect("a number")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_of_another_replica_is_told_in_depth() {
    let (one, two) = (Backend::start("one").await, Backend::start("two").await);
    let edge = Edge::start().await;
    let platform = platform_for(edge.internal).await;
    let replica = Replica::start(platform.state(), "a", &[]).await;
    edge.lead_to(replica.xds);
    is_told(&platform, "a", "live").await;
    platform.provision("shop", &service("shop", &one.url(), "internal")).await;
    let asked = async || platform.call("GET", "/v1/fleet/proxies/edge-1", None).await;
    let told = asked().await.body;
    let cluster = "type.googleapis.com/envoy.config.cluster.v3.Cluster";
    assert_eq!(told["resources"][cluster], 1, "{told}");
    assert_eq!((&told["replica"], &told["state"]), (&"a".into(), &"live".into()), "{told}");
    assert_eq!(told["differs"].as_array().map(Vec::len), Some(0), "{told}");

    edge.freeze();
    assert_eq!(platform.patch("shop", &service("shop", &two.url(), "internal")).await.status, 202);
    until("it lacks what has changed", async || {
        let told = asked().await.body;
        let differs = told["differs"].as_array().cloned().unwrap_or_default();
        differs.iter().any(|it| it["owner"] == "shop" && it["name"] == "shop/default")
    })
    .await;
    let text = platform.margrave(&["fleet", "proxy", "edge-1"]).await.stdout;
    let text = String::from_utf8_lossy(&text);
    assert!(text.contains("replica") && text.contains("on its way"), "{text}");

    until("it tells each second", async || staleness(&platform).await < 3_000).await;
    replica.freeze();
    let told = asked().await;
    assert_eq!((told.status, &told.body["id"]), (200, &"edge-1".into()));
    let why = "its replica `a` tells no more: it has not answered in 2 s";
    assert_eq!(told.body["unknown"], why, "{}", told.body);
    assert_eq!(platform.call("GET", "/v1/fleet/proxies/nobody", None).await.status, 404);
    until("nobody tells of the region", async || staleness(&platform).await > 4_000).await;
    let metric = "margrave_region_staleness_seconds{region=\"eu\"}";
    until("it is measured", async || platform.metric(metric).await > 3.0).await;
    let text = platform.margrave(&["fleet", "status"]).await.stdout;
    assert!(
        String::from_utf8_lossy(&text).contains(" s ago"),
        "{}",
        String::from_utf8_lossy(&text)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_counts_the_proxies_of_all_replicas() {
    let (one, two) = (Backend::start("one").await, Backend::start("two").await);
    let platform = Platform::start().await;
    // Its own Envoy is connected to it, the other to the replica; they share a port.
    let edge = Edge::start_at(platform.endpoints.internal, DELTA).await;
    let migrated = platform.log().matches("store schema migrated").count();
    assert_eq!(migrated, 1, "{}", platform.log());
    let replica = Replica::start(platform.state(), "a", &[]).await;
    edge.lead_to(replica.xds);
    until("both are live", async || {
        let fleet = platform.call("GET", "/v1/fleet", None).await.body;
        let proxies = fleet["proxies"].as_array().expect("a list");
        proxies.len() == 2 && proxies.iter().all(|it| it["state"] == "live")
    })
    .await;
    platform.provision("shop", &service("shop", &one.url(), "internal")).await;
    edge.freeze();
    assert_eq!(platform.patch("shop", &service("shop", &two.url(), "internal")).await.status, 202);
    until("one of two has it", async || {
        let told = platform.last_operation("shop").await.body;
        let said = told["description"].as_str().unwrap_or_default();
        assert_ne!(told["state"], "succeeded", "the other was not waited for: {said}");
        said.contains("live on 1/2 proxies") && said.contains("not yet acknowledged by edge-1")
    })
    .await;
    let text = platform.margrave(&["fleet", "status"]).await.stdout;
    let text = String::from_utf8_lossy(&text);
    assert!(text.contains("edge-1") && text.contains("has not acknowledged 1 change"), "{text}");
    edge.thaw();
    until("both have it", async || {
        platform.last_operation("shop").await.body["state"] == "succeeded"
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_proxy_of_another_replica_refuses_is_in_quarantine() {
    let backend = Backend::start("one").await;
    let edge = Edge::start().await;
    let templates = poisoned_templates(ENVOY_REFUSES);
    let options = Options::default()
        .argument("--envoy", "none")
        // So that only a proxy finds it.
        .argument("--validators", "none")
        .argument("--templates", templates.path().display().to_string())
        .argument("--listen-internal", edge.internal.to_string());
    let platform = Platform::start_with(options).await;
    let replica = Replica::start(platform.state(), "a", &["--validators", "none"]).await;
    edge.lead_to(replica.xds);
    is_told(&platform, "a", "live").await;
    platform.provision("shop", &service("shop", &backend.url(), "public")).await;
    let quarantined =
        async || platform.call("GET", "/v1/fleet", None).await.body["quarantined"].clone();
    assert_eq!(quarantined().await, 0);
    let refused = two_hostnames("shop", &backend.url());
    assert_eq!(platform.patch("shop", &refused).await.status, 202);
    let ended = platform.end("shop").await;
    assert_eq!(ended.state, "failed", "{ended:?}");
    assert_eq!(quarantined().await, 1, "the process that writes has no proxy to refuse it");
    let told = platform.call("GET", "/v1/instances/shop", None).await.body;
    assert!(told.to_string().contains("\"quarantine\":\"Envoy refused"), "{told}");
}
