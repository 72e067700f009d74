//! Sources through the real binary: what a URL has comes to the edge through templates, what it does
//! not have any more stays there, and what of it is secret is shown to nobody.

use std::path::{Path, PathBuf};
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
use crate::{service, wire};

/// Longer than anything that is waited for takes.
const PATIENCE: Duration = Duration::from_secs(30);
const TOKEN: &str = "token-of-the-stories";

/// What the source does.
#[derive(Debug, Clone)]
enum Mood {
    /// Answers with a key and its tag.
    Says(&'static str, &'static str),
    /// Takes requests, and never answers.
    Hangs,
}

/// A server of keys, for whoever has the token.
struct Keys {
    url: String,
    mood: Arc<Mutex<Mood>>,
    /// How often it could say that nothing is new.
    unchanged: Arc<Mutex<u32>>,
}

type Kept = (Arc<Mutex<Mood>>, Arc<Mutex<u32>>);

impl Keys {
    async fn start(key: &'static str) -> Self {
        let mood = Arc::new(Mutex::new(Mood::Says(key, "\"v1\"")));
        let unchanged = Arc::<Mutex<u32>>::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}/keys.json", listener.local_addr().expect("bound"));
        let router = Router::new().fallback(answer).with_state((mood.clone(), unchanged.clone()));
        tokio::spawn(async move { axum::serve(listener, router).await.expect("serves") });
        Self { url, mood, unchanged }
    }

    fn becomes(&self, mood: Mood) {
        *self.mood.lock().expect("not poisoned") = mood;
    }
}

async fn answer(State((mood, unchanged)): State<Kept>, headers: HeaderMap) -> Response {
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
        Mood::Says(key, tag) => {
            let document = json!({"key": key, "plan": "gold"}).to_string();
            ([("etag", tag)], document).into_response()
        }
    }
}

/// The built-in templates, but that responses have the key of the source; a service called `leak`
/// has it where it cannot be.
fn templates(folder: &Path) {
    std::fs::create_dir(folder).expect("a folder");
    for (name, text) in render::Templates::builtin_files() {
        let place = "\"most_specific_header_mutations_wins\": true,";
        let with = format!(
            "{place}\n{{%- if platform.sources.partners is defined %}}\n\
             \"response_headers_to_add\": [{{\"header\": {{\"key\": \"x-partner\", \
             \"value\": {{{{ platform.sources.partners.key }}}} }} }}],\n\
             {{%- if instance.service == \"leak\" %}} \"validate_clusters\": {{{{ platform.sources.partners.key }}}}, {{% endif %}}\n\
             {{%- endif %}}"
        );
        let text =
            if *name == "routes.json.j2" { text.replace(place, &with) } else { (*text).to_owned() };
        std::fs::write(folder.join(name), text).expect("written");
    }
}

/// A platform whose templates are fed by `keys`, and whose configuration lies in `folder`.
async fn start(keys: &Keys, folder: &Path, more: &str) -> Platform {
    templates(&folder.join("templates"));
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

async fn until<F: Future<Output = bool>>(what: &str, platform: &Platform, is_so: impl Fn() -> F) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so().await {
        assert!(Instant::now() < deadline, "never: {what}\n{}", platform.log());
        sleep(Duration::from_millis(20)).await;
    }
}

/// What the edge tells a client of the key.
async fn told(platform: &Platform, host: &str) -> Option<String> {
    let answer = wire::get(platform.endpoints.internal, host, "/").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.header("x-partner").map(str::to_owned)
}

async fn tells(platform: &Platform, host: &str, key: &str) {
    let is_told = || async { told(platform, host).await.as_deref() == Some(key) };
    until(&format!("{host} tells {key}"), platform, is_told).await;
}

/// The source as the command line tells of it.
async fn source(platform: &Platform) -> Value {
    let told = platform.margrave(&["sources", "-o", "json"]).await;
    assert!(told.status.success(), "{told:?}");
    let listed: Value = serde_json::from_slice(&told.stdout).expect("JSON");
    assert_eq!(listed.as_array().map(Vec::len), Some(1), "{listed}");
    listed[0].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_url_feeds_the_edge_and_its_silence_only_ages_its_document() {
    let (keys, folder) = (Keys::start("one").await, tempfile::tempdir().expect("a folder"));
    let mut platform = start(&keys, folder.path(), "").await;
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

/// A secret that can be found wherever it is.
const CANARY: &str = "canary\"of-the-Stories";
/// Its half that is the same however it is quoted.
const HALF: &str = "of-the-Stories";

fn shows(bytes: &[u8]) -> bool {
    bytes.windows(HALF.len()).any(|window| window == HALF.as_bytes())
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("readable").flatten();
    let nested = entries.map(|entry| entry.path()).map(|path| match path.is_dir() {
        true => files(&path),
        false => vec![path],
    });
    nested.flatten().collect()
}

/// What people can see of a platform whose services have the secret, one way or another.
async fn views(platform: &Platform, descriptor: &Path) -> Vec<(String, Vec<u8>)> {
    let mut seen = Vec::new();
    for path in [
        "/v1/instances",
        "/v1/instances/a",
        "/v1/instances/a/operations",
        "/v1/instances/a/resources",
        "/v1/instances/b",
        "/v1/instances/b/operations",
        "/v1/operations",
        "/v1/audit",
        "/v1/fleet",
        "/v1/sources",
        "/v2/service_instances/b/last_operation",
    ] {
        let shown = platform.call("GET", path, None).await;
        assert_eq!(shown.status, 200, "{path}: {shown:?}");
        seen.push((path.to_owned(), shown.body.to_string().into_bytes()));
    }
    let descriptor = descriptor.to_str().expect("UTF-8");
    for command in [
        &["render", "-f", descriptor][..],
        &["plan", "--resources", "-f", descriptor],
        &["plan", "--resources", "-o", "json", "-f", descriptor],
        &["validate", "-f", descriptor],
        &["sources"],
        &["fleet", "status", "--all"],
        &["history"],
    ] {
        let shown = platform.margrave(command).await;
        let text = [shown.stdout, shown.stderr].concat();
        assert!(!text.is_empty(), "{command:?} says nothing");
        seen.push((command.join(" "), text));
    }
    seen.push(("metrics".to_owned(), platform.metrics().await.into_bytes()));
    seen.push(("log".to_owned(), platform.log().into_bytes()));
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_of_a_source_reaches_clients_and_no_view() {
    let (keys, folder) = (Keys::start(CANARY).await, tempfile::tempdir().expect("a folder"));
    let mut platform = start(&keys, folder.path(), "secret_paths = ['/key']").await;
    let backend = Backend::start("one").await;
    platform.provision("a", &service("shop", &backend.url(), "internal")).await;
    tells(&platform, "shop.example.com", CANARY).await;
    // The templates fail with it, and say with what.
    let refused = platform.put("b", &service("leak", &backend.url(), "internal")).await;
    assert_eq!(refused.status, 202, "{refused:?}");
    let ended = platform.end("b").await;
    assert!(!ended.succeeded() && ended.description.contains("[redacted]"), "{ended:?}");

    let descriptor = folder.path().join("other.json");
    std::fs::write(&descriptor, service("other", &backend.url(), "internal").to_string())
        .expect("written");
    let seen = views(&platform, &descriptor).await;
    let shown = |name: &str| seen.iter().find(|(it, _)| it == name).expect("seen").1.clone();
    for name in ["/v1/instances/a/resources", &format!("render -f {}", descriptor.display())] {
        let text = String::from_utf8(shown(name)).expect("UTF-8");
        assert!(text.contains("x-partner") && text.contains("[redacted]"), "{name}: {text}");
    }
    for (name, text) in &seen {
        assert!(!shows(text), "it is shown by {name}");
    }
    assert_eq!(source(&platform).await["isSecret"], true);

    // Sealed with another key it is the same.
    let rotated = platform.call("POST", "/v1/keys/rotate", None).await;
    assert_eq!(rotated.status, 200, "{rotated:?}");
    let backup = platform.state().join("canary.backup");
    let made = platform.margrave(&["backup", backup.to_str().expect("UTF-8")]).await;
    assert!(made.status.success(), "{made:?}");
    keys.becomes(Mood::Hangs);
    assert!(platform.stop().await.success());
    let kept = files(platform.state());
    assert!(kept.iter().any(|path| path.ends_with("margrave.db")), "{kept:?}");
    for path in kept {
        let bytes = std::fs::read(&path).unwrap_or_default();
        assert!(!shows(&bytes), "it is in {}", path.display());
    }
    platform.restart().await;
    tells(&platform, "shop.example.com", CANARY).await;
}
