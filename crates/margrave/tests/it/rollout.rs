//! Templates are saved and live; what would hurt is not used, and what does hurt goes back by
//! itself, judged by Envoy's own statistics.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep};

use crate::backend::Backend;
use crate::platform::{Options, Platform};
use crate::{service, wire};

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// In the route configuration of every service.
const PLACE: &str = "\"most_specific_header_mutations_wins\": true,\n";
const MARKED: &str =
    r#""response_headers_to_add": [{"header": {"key": "x-edition", "value": "two"}}],"#;
const HOST: &str = "shop.example.com";

/// The default templates in a folder.
fn templates() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    save(folder.path(), PLACE, "");
    folder
}

/// The default templates, with something more behind `place` in the routes.
fn save(folder: &Path, place: &str, insertion: &str) {
    let defaults = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../templates");
    for entry in std::fs::read_dir(defaults).expect("templates/").flatten() {
        let mut text = std::fs::read_to_string(entry.path()).expect("readable");
        if entry.path().ends_with("routes.json.j2") {
            assert!(text.contains(place), "the template has changed; find another place");
            text = text.replace(place, &format!("{place}{insertion}\n"));
        }
        // As editors save: whole, and at once.
        let (new, old) = (folder.join(".new"), folder.join(entry.file_name()));
        std::fs::write(&new, text).expect("writable");
        std::fs::rename(new, old).expect("renamed");
    }
}

pub(crate) async fn status(platform: &Platform) -> Value {
    platform.call("GET", "/v1/rollouts/status", None).await.body
}

/// Waits for what a look at the platform must tell in the end.
async fn until<T>(what: &str, platform: &Platform, look: impl Fn(&Value) -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let now = status(platform).await;
        if let Some(found) = look(&now) {
            return found;
        }
        assert!(Instant::now() < deadline, "never {what}: {now:#}\n{}", platform.log());
        sleep(Duration::from_millis(50)).await;
    }
}

/// Waits for the end of a roll-out later than `after`; its number, state and reason.
pub(crate) async fn over(platform: &Platform, after: u64) -> (u64, String, String) {
    let look = |now: &Value| {
        let rollout = &now["rollout"];
        let id = rollout["id"].as_u64().filter(|id| *id > after && rollout["endedAt"].is_i64())?;
        let text = |key: &str| rollout[key].as_str().unwrap_or_default().to_owned();
        Some((id, text("state"), text("reason")))
    };
    until("over", platform, look).await
}

async fn header(platform: &Platform) -> Option<String> {
    let answer = wire::get(platform.endpoints.public, HOST, "/").await;
    assert_eq!(answer.status, 200);
    answer.header("x-edition").map(str::to_owned)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_that_is_saved_is_live_and_one_that_fails_changes_nothing() {
    let folder = templates();
    let options = Options::default().argument("--templates", folder.path().display().to_string());
    let mut platform = Platform::start_with(options).await;
    let backend = Backend::start("shop").await;
    platform.provision("shop", &service("shop", &backend.url(), "public")).await;
    assert_eq!(header(&platform).await, None);

    save(folder.path(), PLACE, MARKED);
    let (first, state, _) = over(&platform, 0).await;
    assert_eq!(state, "done");
    assert_eq!(header(&platform).await.as_deref(), Some("two"));

    save(folder.path(), PLACE, "{{ no_such_thing");
    let trouble = |now: &Value| now["trouble"].as_str().map(str::to_owned);
    let trouble = until("told", &platform, trouble).await;
    assert!(trouble.contains("routes.json.j2:"), "{trouble}");
    assert_eq!(header(&platform).await.as_deref(), Some("two"));
    assert!(platform.metric("margrave_templates_refused").await > 0.0);

    save(folder.path(), PLACE, "\"no_such_field\": 1,");
    let (second, state, reason) = over(&platform, first).await;
    assert_eq!(state, "refused");
    assert!(reason.contains("no_such_field"), "{reason}");
    assert_eq!(header(&platform).await.as_deref(), Some("two"));
    let ready = reqwest::get(format!("{}/readyz", platform.endpoints.metrics)).await;
    assert!(ready.expect("answers").status().is_success());

    // Back by one command; what is saved there is not taken up again by a restart.
    let back = platform.margrave(&["rollout", "revert", "--to", "1"]).await;
    assert!(back.status.success(), "{back:?}");
    let (third, state, _) = over(&platform, second).await;
    assert_eq!(state, "done");
    assert_eq!(header(&platform).await, None);
    platform.stop().await;
    platform.restart().await;
    assert_eq!(header(&platform).await, None);
    save(folder.path(), PLACE, MARKED);
    let (fourth, state, _) = over(&platform, third).await;
    assert_eq!((fourth, state.as_str()), (third + 1, "done"), "nothing else was begun before");
    assert_eq!(header(&platform).await.as_deref(), Some("two"));

    // Nor is a folder that cannot be read a reason not to start.
    platform.stop().await;
    std::fs::write(folder.path().join("routes.json.j2"), [0xff]).expect("written");
    platform.restart().await;
    let trouble = |now: &Value| now["trouble"].as_str().map(str::to_owned);
    let trouble = until("told", &platform, trouble).await;
    assert!(trouble.contains("cannot read the templates in"), "{trouble}");
    assert_eq!(header(&platform).await.as_deref(), Some("two"));
}

/// Answers 200 to whoever shows the right credential and both parts of a header, as real services
/// are particular.
pub(crate) async fn particular(request: Request) -> StatusCode {
    let headers = request.headers();
    let parts = headers.get_all("x-part").iter().flat_map(|it| it.as_bytes().split(|b| *b == b','));
    match (headers.get("authorization"), parts.count()) {
        (Some(shown), 2) if shown == "Bearer good" => StatusCode::OK,
        (Some(shown), _) if shown == "Bearer good" => StatusCode::BAD_REQUEST,
        _ => StatusCode::UNAUTHORIZED,
    }
}

/// Requests, one after the other, until it is dropped.
pub(crate) struct Traffic {
    ends: Arc<AtomicBool>,
    good: Arc<AtomicUsize>,
}

impl Traffic {
    pub(crate) fn at(address: std::net::SocketAddr) -> Self {
        let traffic = Self { ends: Arc::default(), good: Arc::default() };
        let (ends, good) = (traffic.ends.clone(), traffic.good.clone());
        tokio::spawn(async move {
            let headers = [("authorization", "Bearer good"), ("x-part", "a"), ("x-part", "b")];
            while !ends.load(Ordering::Relaxed) {
                let answer = wire::get_with(address, HOST, "/", &headers).await;
                good.fetch_add(usize::from(answer.status == 200), Ordering::Relaxed);
                sleep(Duration::from_millis(10)).await;
            }
        });
        traffic
    }

    /// Waits for so many more good answers.
    pub(crate) async fn flows(&self, count: usize) {
        let goal = self.good.load(Ordering::Relaxed) + count;
        let deadline = Instant::now() + PATIENCE;
        while self.good.load(Ordering::Relaxed) < goal {
            assert!(Instant::now() < deadline, "nothing flows");
            sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_answers_everyone_with_errors_is_halted_and_goes_back() {
    let folder = templates();
    let options = Options::default()
        .argument("--templates", folder.path().display().to_string())
        .argument("--rollout-stages", "all=*@1h");
    let platform = Platform::start_with(options).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let upstream = format!("http://{}", listener.local_addr().expect("bound"));
    let serve = axum::serve(listener, Router::new().fallback(particular));
    let backend = tokio::spawn(serve.into_future());
    platform.provision("shop", &service("shop", &upstream, "public")).await;
    let traffic = Traffic::at(platform.endpoints.public);
    traffic.flows(300).await;

    let overwritten = |key: &str, value: &str| {
        format!(
            r#""request_headers_to_add": [{{"header": {{"key": "{key}", "value": "{value}"}},
                "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}}],"#
        )
    };
    let refuses = r#"{"name": {{ instance.id ~ "/closed" }}, "match": {"prefix": "/"}, "direct_response": {"status": 503}},"#;
    let mut last = 0;
    for (what, place, insertion, told) in [
        (
            "a policy that answers everyone 503",
            "\"routes\": [\n",
            refuses.to_owned(),
            "500 or above",
        ),
        ("a bad credential", PLACE, overwritten("authorization", "Bearer old"), "400 to 499"),
        ("lost repeated headers", PLACE, overwritten("x-part", "a"), "400 to 499"),
    ] {
        save(folder.path(), place, &insertion);
        let (id, state, reason) = over(&platform, last).await;
        assert_eq!(state, "reverted", "{what}: {reason}");
        assert!(reason.contains(told), "{what}: {reason}");
        traffic.flows(300).await;
        last = id;
    }
    assert_eq!(platform.metric("margrave_rollout_halts_total").await, 3.0);
    let log = platform.margrave(&["audit", "list", "--action", "rollout.halt"]).await;
    assert!(String::from_utf8_lossy(&log.stdout).contains("rollout.halt"), "{log:?}");
    backend.abort();
}
