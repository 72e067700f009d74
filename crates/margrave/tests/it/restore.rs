//! Yesterday's backup restored under a live Envoy: nothing is emptied, nothing is frozen, and the
//! operator sees what was ahead.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::Value;
use tokio::task::JoinHandle;

use crate::backend::Backend;
use crate::edge::Edge;
use crate::platform::{Options, Platform};
use crate::{service, wire};

const PATIENCE: Duration = Duration::from_secs(60);

/// Requests one after the other that must all be answered by a backend.
struct Watch {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    task: JoinHandle<Vec<String>>,
}

impl Watch {
    fn over(address: SocketAddr, host: &'static str) -> Self {
        let (stop, answered) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let (until, count) = (Arc::clone(&stop), Arc::clone(&answered));
        let task = tokio::spawn(async move {
            let mut failures = Vec::new();
            while !until.load(Ordering::Relaxed) {
                let answer = wire::get(address, host, "/").await;
                if answer.status != 200 {
                    failures.push(format!("{answer:?}"));
                }
                count.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            failures
        });
        Self { stop, answered, task }
    }

    async fn end(self) {
        let so_far = self.answered.load(Ordering::Relaxed);
        let more = || self.answered.load(Ordering::Relaxed) > so_far + 5;
        until("requests go on", async || more()).await;
        self.stop.store(true, Ordering::Relaxed);
        assert_eq!(self.task.await.expect("watched"), Vec::<String>::new());
    }
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("never: {what}"));
}

/// A platform without an Envoy of its own, to which the edge is led.
async fn platform_of(edge: &Edge) -> Platform {
    let options = Options::default()
        .argument("--envoy", "none")
        .argument("--listen-internal", edge.internal.to_string());
    let platform = Platform::start_with(options).await;
    edge.lead_to(platform.endpoints.xds);
    platform
}

async fn fleet(platform: &Platform) -> Value {
    platform.call("GET", "/v1/fleet", None).await.body
}

/// Waits until the edge has come to this platform, and has all that it should have.
async fn live(platform: &Platform) {
    until("the proxy is live", async || fleet(platform).await["proxies"][0]["state"] == "live")
        .await;
}

/// What is ahead: kind, name, and whether the proxies keep it.
fn ahead(fleet: &Value) -> Vec<(String, String, bool)> {
    let line = |it: &Value| {
        let text = |key: &str| it[key].as_str().expect("text").to_owned();
        (text("kind"), text("name"), it["kept"] == true)
    };
    fleet["ahead"].as_array().expect("a list").iter().map(line).collect()
}

async fn answers(edge: &Edge, host: &str, backend: &str) {
    let is_it = async || wire::get(edge.internal, host, "/").await.backend() == Some(backend);
    until(&format!("{backend} answers for {host}"), is_it).await;
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn yesterdays_backup_under_a_live_envoy() {
    let (old, new) = (Backend::start("old").await, Backend::start("new").await);
    let edge = Edge::start().await;
    let mut platform = platform_of(&edge).await;
    live(&platform).await;
    platform.provision("a", &service("a", &old.url(), "internal")).await;
    platform.provision("b", &service("b", &old.url(), "internal")).await;
    let made = platform.margrave(&["backup", "yesterday.backup"]).await;
    assert!(made.status.success(), "{}", text(&made.stderr));
    platform.update("a", &service("a", &new.url(), "internal")).await;
    platform.provision("c", &service("c", &new.url(), "internal")).await;
    answers(&edge, "c.example.com", "new").await;

    let (b, c) =
        (Watch::over(edge.internal, "b.example.com"), Watch::over(edge.internal, "c.example.com"));
    platform.stop().await;
    let restored =
        platform.margrave(&["restore", "yesterday.backup", "--state", ".", "--replace"]).await;
    assert!(restored.status.success(), "{}", text(&restored.stderr));
    let words = text(&restored.stdout);
    assert!(
        words.contains("made since the backup") && words.contains("  c of team (c)"),
        "{words}"
    );
    platform.restart().await;
    edge.lead_to(platform.endpoints.xds);

    // What the backup has is there as it was, what it does not know is still there.
    live(&platform).await;
    answers(&edge, "a.example.com", "old").await;
    let seen = fleet(&platform).await;
    let kept = |kind: &str, name: &str| (kind.to_owned(), name.to_owned(), true);
    let ahead_now = ahead(&seen);
    assert!(ahead_now.contains(&kept("instance", "c")), "{seen}");
    assert!(ahead_now.contains(&kept("hostname", "c.example.com")), "{seen}");
    assert!(ahead_now.contains(&("instance".to_owned(), "a".to_owned(), false)), "{seen}");
    assert!(!ahead_now.iter().any(|(_, name, _)| name == "b"), "{seen}");
    assert!(
        platform.log().contains("a proxy has what is ahead of the store"),
        "{}",
        platform.log()
    );
    let told = text(&platform.margrave(&["fleet", "status"]).await.stdout);
    assert!(told.contains("kept by proxies, unknown here"), "{told}");

    // Nothing is frozen, although revisions are lower than those that the proxy has seen.
    platform.update("b", &service("b", &new.url(), "internal")).await;
    answers(&edge, "b.example.com", "new").await;
    platform.provision("d", &service("d", &old.url(), "internal")).await;
    answers(&edge, "d.example.com", "old").await;
    answers(&edge, "c.example.com", "new").await;

    // It goes when somebody says so.
    c.end().await;
    let asked = platform.margrave(&["fleet", "confirm-removal"]).await;
    assert_eq!(asked.status.code(), Some(64), "{}", text(&asked.stderr));
    let gone = platform.margrave(&["fleet", "confirm-removal", "--yes"]).await;
    assert!(text(&gone.stdout).contains("; 1 proxy shall"), "{}", text(&gone.stderr));
    until("c is gone", async || wire::get(edge.internal, "c.example.com", "/").await.status == 404)
        .await;
    live(&platform).await;
    assert_eq!(ahead(&fleet(&platform).await), []);
    platform.stop().await;
    platform.restart().await;
    edge.lead_to(platform.endpoints.xds);
    live(&platform).await;
    assert_eq!(ahead(&fleet(&platform).await), []);
    let log = text(&platform.margrave(&["audit", "list", "-o", "json"]).await.stdout);
    assert!(log.contains("platform.restore") && log.contains("fleet.confirm-removal"), "{log}");
    b.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_state_empties_no_proxy() {
    let old = Backend::start("old").await;
    let edge = Edge::start().await;
    let mut right = platform_of(&edge).await;
    for id in ["a", "b"] {
        right.provision(id, &service(id, &old.url(), "internal")).await;
        answers(&edge, &format!("{id}.example.com"), "old").await;
    }
    let b = Watch::over(edge.internal, "b.example.com");
    right.stop().await;
    let mut wrong = platform_of(&edge).await;
    live(&wrong).await;
    let seen = fleet(&wrong).await;
    assert!(ahead(&seen).contains(&("instance".to_owned(), "b".to_owned(), true)), "{seen}");
    wrong.provision("c", &service("c", &old.url(), "internal")).await;
    answers(&edge, "c.example.com", "old").await;
    wrong.stop().await;
    right.restart().await;
    edge.lead_to(right.endpoints.xds);
    live(&right).await;
    b.end().await;
}
