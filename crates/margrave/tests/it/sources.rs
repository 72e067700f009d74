//! Sources through the real binary: what a URL has comes to the edge through templates, and what it
//! does not have any more stays there.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep};

use crate::backend::Backend;
use crate::platform::{Options, Platform};
use crate::rollout::{self, Traffic};
use crate::{service, wire};

/// Longer than anything that is waited for takes.
const PATIENCE: Duration = Duration::from_secs(30);
const TOKEN: &str = "token-of-the-stories";

/// What the source does.
#[derive(Debug, Clone)]
pub(crate) enum Mood {
    /// Answers with a key and its tag.
    Says(&'static str, &'static str),
    /// Answers with the one and the other of two keys in turn, as two servers do that differ.
    Flaps([&'static str; 2]),
    /// Takes requests, and never answers.
    Hangs,
}

/// A server of keys, for whoever has the token.
pub(crate) struct Keys {
    url: String,
    mood: Arc<Mutex<Mood>>,
    /// How often it could say that nothing is new.
    unchanged: Arc<Mutex<u32>>,
    /// How often it answered while its keys differ.
    turns: Arc<AtomicUsize>,
}

type Kept = (Arc<Mutex<Mood>>, Arc<Mutex<u32>>, Arc<AtomicUsize>);

impl Keys {
    pub(crate) async fn start(key: &'static str) -> Self {
        let mood = Arc::new(Mutex::new(Mood::Says(key, "\"v1\"")));
        let unchanged = Arc::<Mutex<u32>>::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}/keys.json", listener.local_addr().expect("bound"));
        let turns = Arc::<AtomicUsize>::default();
        let kept = (mood.clone(), unchanged.clone(), turns.clone());
        let router = Router::new().fallback(answer).with_state(kept);
        tokio::spawn(async move { axum::serve(listener, router).await.expect("serves") });
        Self { url, mood, unchanged, turns }
    }

    pub(crate) fn becomes(&self, mood: Mood) {
        *self.mood.lock().expect("not poisoned") = mood;
    }

    /// How often it answered while its keys differ.
    pub(crate) fn turns(&self) -> usize {
        self.turns.load(Ordering::Relaxed)
    }
}

async fn answer(State((mood, unchanged, turns)): State<Kept>, headers: HeaderMap) -> Response {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if header("authorization") != Some(&*format!("Bearer {TOKEN}")) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let mood = mood.lock().expect("not poisoned").clone();
    match mood {
        Mood::Hangs => std::future::pending().await,
        Mood::Says(_, tag) if header("if-none-match") == Some(tag) => {
            *unchanged.lock().expect("not poisoned") += 1;
            StatusCode::NOT_MODIFIED.into_response()
        }
        Mood::Flaps(keys) => {
            let key = keys[turns.fetch_add(1, Ordering::Relaxed) % 2];
            json!({"key": key, "plan": "gold"}).to_string().into_response()
        }
        Mood::Says(key, tag) => {
            let document = json!({"key": key, "plan": "gold"}).to_string();
            ([("etag", tag)], document).into_response()
        }
    }
}

/// What is in the routes of every service.
pub(crate) const PLACE: &str = "\"most_specific_header_mutations_wins\": true,";
/// Responses have the key of the source.
pub(crate) const TELLS: &str = r#"{%- if platform.sources.partners is defined %}
"response_headers_to_add": [{"header": {"key": "x-partner", "value": {{ platform.sources.partners.key }} }}],
{%- endif %}"#;

/// The built-in templates, with this in the routes.
pub(crate) fn templates(routes: &str) -> BTreeMap<String, String> {
    let builtin = render::Templates::builtin_files().iter();
    let with = |(name, text): &(&str, &str)| {
        assert!(*name != "routes.json.j2" || text.contains(PLACE), "find another place");
        ((*name).to_owned(), text.replace(PLACE, &format!("{PLACE}\n{routes}")))
    };
    builtin.map(with).collect()
}

/// A platform whose templates are fed by `keys`, and whose configuration lies in `folder`.
pub(crate) async fn start(keys: &Keys, folder: &Path, routes: &str, more: &str) -> Platform {
    std::fs::create_dir(folder.join("templates")).expect("a folder");
    for (name, text) in templates(routes) {
        std::fs::write(folder.join("templates").join(name), text).expect("written");
    }
    let config = folder.join("margrave.toml");
    let text = format!(
        "templates = 'templates'\n[source.partners]\nurl = '{}'\ninterval = '1s'\njitter = '0s'\n\
         timeout = '300ms'\nheaders.authorization = {{ env = 'MARGRAVE_PARTNERS_TOKEN', prefix = 'Bearer ' }}\n{more}\n",
        keys.url
    );
    std::fs::write(&config, text).expect("written");
    let mut options = Options::default().argument("--config", config.to_str().expect("UTF-8"));
    options.environment.push(("MARGRAVE_PARTNERS_TOKEN".to_owned(), TOKEN.to_owned()));
    let options = options.argument("--log", "trace,h2=info,hyper=info");
    Platform::start_with(options).await
}

pub(crate) async fn until<F: Future<Output = bool>>(
    what: &str,
    platform: &Platform,
    is_so: impl Fn() -> F,
) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so().await {
        assert!(Instant::now() < deadline, "never: {what}\n{}", platform.log());
        sleep(Duration::from_millis(20)).await;
    }
}

/// What the edge tells a client of the key.
pub(crate) async fn told(platform: &Platform, host: &str) -> Option<String> {
    let answer = wire::get(platform.endpoints.internal, host, "/").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.header("x-partner").map(str::to_owned)
}

pub(crate) async fn tells(platform: &Platform, host: &str, key: &str) {
    let is_told = || async { told(platform, host).await.as_deref() == Some(key) };
    until(&format!("{host} tells {key}"), platform, is_told).await;
}

/// The source as the command line tells of it.
pub(crate) async fn source(platform: &Platform) -> Value {
    let told = platform.margrave(&["sources", "-o", "json"]).await;
    assert!(told.status.success(), "{told:?}");
    let listed: Value = serde_json::from_slice(&told.stdout).expect("JSON");
    assert_eq!(listed.as_array().map(Vec::len), Some(1), "{listed}");
    listed[0].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_url_feeds_the_edge_and_its_silence_only_ages_its_document() {
    let (keys, folder) = (Keys::start("one").await, tempfile::tempdir().expect("a folder"));
    let mut platform = start(&keys, folder.path(), TELLS, "").await;
    let backend = Backend::start("one").await;
    platform.provision("a", &service("shop", &backend.url(), "internal")).await;
    tells(&platform, "shop.example.com", "one").await;
    let asked_again = || async { *keys.unchanged.lock().expect("not poisoned") > 0 };
    until("it is asked whether anything is new", &platform, asked_again).await;
    keys.becomes(Mood::Says("two", "\"v2\""));
    tells(&platform, "shop.example.com", "two").await;
    let fresh = source(&platform).await;
    assert_eq!(
        (&fresh["revision"], &fresh["kind"], &fresh["etag"]),
        (&json!(2), &json!("http"), &json!("\"v2\""))
    );
    assert_eq!(fresh["problem"], Value::Null);

    keys.becomes(Mood::Hangs);
    let fails = || async { source(&platform).await["problem"] == "does not answer within 300ms" };
    until("its silence is told", &platform, fails).await;
    let metric = "margrave_context_source_staleness_seconds{source=\"partners\"}";
    let ages = || async {
        platform
            .metrics()
            .await
            .lines()
            .any(|line| line.starts_with(metric) && !line.ends_with(" 0"))
    };
    until("its age is a metric", &platform, ages).await;
    let is_counted = || async { platform.metric("margrave_context_sources_failing").await == 1.0 };
    until("it is counted as failing", &platform, is_counted).await;
    assert_eq!(told(&platform, "shop.example.com").await.as_deref(), Some("two"));
    platform.provision("b", &service("cart", &backend.url(), "internal")).await;
    assert_eq!(told(&platform, "cart.example.com").await.as_deref(), Some("two"));

    // A restart finds the last good document in the store.
    assert!(platform.stop().await.success());
    platform.restart().await;
    tells(&platform, "shop.example.com", "two").await;
    assert_eq!(source(&platform).await["revision"], 2);

    keys.becomes(Mood::Says("three", "\"v3\""));
    tells(&platform, "cart.example.com", "three").await;
    let recovers = || async { source(&platform).await["failingSince"] == Value::Null };
    until("it is told that it answers again", &platform, recovers).await;
    let log = platform.log();
    for line in ["a source fails; its last good value stays", "a source answers again"] {
        assert!(log.contains(line), "the log lacks {line}");
    }
    assert!(!log.contains(TOKEN), "the token is in the log");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_envoy_refuses_is_taken_back_and_the_good_one_remains() {
    let (keys, folder) = (Keys::start("one").await, tempfile::tempdir().expect("a folder"));
    let platform = start(&keys, folder.path(), TELLS, "").await;
    let backend = Backend::start("one").await;
    platform.provision("a", &service("shop", &backend.url(), "internal")).await;
    tells(&platform, "shop.example.com", "one").await;
    let (good, ..) = rollout::over(&platform, 0).await;
    keys.becomes(Mood::Says("%NO_SUCH_COMMAND%", "\"v2\""));
    let (bad, state, reason) = rollout::over(&platform, good).await;
    assert!(["reverted", "refused"].contains(&&*state), "{state}: {reason}");
    assert!(reason.contains("NO_SUCH_COMMAND"), "{reason}");
    assert_eq!(rollout::status(&platform).await["sources"], json!(["partners"]));
    platform.provision("b", &service("cart", &backend.url(), "internal")).await;
    for host in ["shop.example.com", "cart.example.com"] {
        assert_eq!(told(&platform, host).await.as_deref(), Some("one"));
    }
    assert_eq!(source(&platform).await["problem"], Value::Null, "it answers as it should");
    keys.becomes(Mood::Says("three", "\"v3\""));
    tells(&platform, "shop.example.com", "three").await;
    assert_eq!(rollout::over(&platform, bad).await.1, "done");
}

/// The credential that upstreams are shown is the source's.
const SHOWS: &str = r#"{%- if platform.sources.partners is defined %}
"request_headers_to_add": [{
  "header": {"key": "authorization", "value": {{ ("Bearer " ~ platform.sources.partners.key) }} },
  "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"
}],
{%- endif %}"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_value_with_which_upstreams_refuse_everybody_is_taken_back() {
    let (keys, folder) = (Keys::start("good").await, tempfile::tempdir().expect("a folder"));
    let stages = "secret_paths = ['/key']\n[rollout]\nstages = 'all=*@10s'";
    let platform = start(&keys, folder.path(), SHOWS, stages).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let upstream = format!("http://{}", listener.local_addr().expect("bound"));
    let serve = axum::serve(listener, Router::new().fallback(rollout::particular));
    let backend = tokio::spawn(serve.into_future());
    platform.provision("a", &service("shop", &upstream, "public")).await;
    let traffic = Traffic::at(platform.endpoints.public);
    let (good, state, reason) = rollout::over(&platform, 0).await;
    assert_eq!(state, "done", "{reason}");
    traffic.flows(300).await;

    keys.becomes(Mood::Says("stale", "\"v2\""));
    let (_, state, reason) = rollout::over(&platform, good).await;
    assert_eq!(state, "reverted", "{reason}");
    assert!(reason.contains("400 to 499"), "{reason}");
    traffic.flows(300).await;
    backend.abort();
}
