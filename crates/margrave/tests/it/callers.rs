//! Only bound callers pass: a binding is made at the broker, its credential signs a token, and the
//! token is shown to a real Envoy.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use keys::{KeyPair, Token};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::backend::Backend;
use crate::platform::{Platform, Reply};
use crate::wire::{self, Answer};

const INSTANCE: &str = "i-ledger";
const HOST: &str = "ledger.example.com";
/// Longer than a change takes to reach a proxy.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a caller has of its binding.
#[derive(Clone)]
pub(crate) struct Credential {
    id: String,
    audience: String,
    key: String,
}

impl Credential {
    pub(crate) fn of(reply: &Reply) -> Self {
        assert_eq!(reply.status, 201, "{reply:?}");
        let credentials = &reply.body["credentials"];
        let text = |key: &str| credentials[key].as_str().expect(key).to_owned();
        let key = credentials["private_key"].to_string();
        Self { id: text("client_id"), audience: text("audience"), key }
    }

    /// A token, made so many seconds from now.
    fn made(&self, ahead_s: i64) -> String {
        let pair = KeyPair::from_jwk(self.key.as_bytes()).expect("a private key");
        let token = Token {
            binding: &self.id,
            audience: &self.audience,
            now_s: now_s() + ahead_s,
            lifetime_s: 300,
        };
        pair.token(token).expose_str().expect("a token").to_owned()
    }

    pub(crate) fn token(&self) -> String {
        self.made(0)
    }

    /// The same key in the hands of somebody who says something else.
    fn saying(&self, id: &str, audience: &str) -> String {
        Self { id: id.into(), audience: audience.into(), key: self.key.clone() }.token()
    }
}

#[expect(clippy::disallowed_methods, reason = "Envoy's clock is the real one")]
fn now_s() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    i64::try_from(since.as_secs()).expect("before the end of time")
}

fn ledger(name: &str, upstream: &str) -> Value {
    json!({
        "service": name, "upstream": upstream, "visibility": "public",
        "hostnames": [format!("{name}.example.com")],
        "auth": {"require": "binding"},
        "routes": [
            {"name": "health", "match": {"path": "/healthz"}, "auth": {"require": "none"}},
            {"name": "pages", "match": {"prefix": "/pages"}, "auth": {"require": "none"}},
        ],
    })
}

async fn ask(at: SocketAddr, path: &str, token: &str) -> Answer {
    wire::get_with(at, HOST, path, &[("authorization", &format!("Bearer {token}"))]).await
}

/// Until a change has reached the proxy.
async fn becomes(at: SocketAddr, credential: &Credential, status: u16) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = ask(at, "/", &credential.token()).await;
        if answer.status == status {
            return;
        }
        assert!(Instant::now() < deadline, "never {status}: {answer:?}");
        sleep(Duration::from_millis(5)).await;
    }
}

fn is_refused(what: &str, answer: &Answer) {
    assert_eq!((answer.status, answer.backend()), (401, None), "{what}: {answer:?}");
    let challenge = answer.header("www-authenticate").unwrap_or_default();
    assert!(challenge.starts_with("Bearer realm="), "{what}: {answer:?}");
    let told: Value = serde_json::from_str(&answer.body).expect("a problem document");
    assert_eq!(told["code"], "MG-E1401", "{what}: {answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_bound_passes_and_nobody_else() {
    let platform = Platform::start().await;
    let web = Backend::start("web").await;
    let at = platform.endpoints.public;
    platform.provision(INSTANCE, &ledger("ledger", &web.url())).await;
    platform.provision("i-other", &ledger("other", &web.url())).await;
    is_refused("nobody is bound", &wire::get(at, HOST, "/").await);

    let bound = Credential::of(&platform.bind(INSTANCE, "b-one", &json!({})).await);
    let elsewhere = Credential::of(&platform.bind("i-other", "b-elsewhere", &json!({})).await);
    becomes(at, &bound, 200).await;
    let answer = wire::get_with(
        at,
        HOST,
        "/",
        &[
            ("authorization", &format!("Bearer {}", bound.token())),
            ("x-margrave-caller", "b-forged"),
        ],
    )
    .await;
    let seen = answer.seen();
    assert_eq!(seen.headers["x-margrave-caller"], ["b-one"]);
    assert!(!seen.headers.contains_key("authorization"), "the token ends at the edge");

    is_refused("without a token", &wire::get(at, HOST, "/").await);
    let token = bound.token();
    let (signed, _) = token.rsplit_once('.').expect("a signature");
    for (what, token) in [
        ("bound elsewhere", elsewhere.token()),
        ("bound elsewhere, for this", elsewhere.saying("b-elsewhere", INSTANCE)),
        ("bound elsewhere, as another", elsewhere.saying("b-one", INSTANCE)),
        ("for another service", bound.saying("b-one", "i-other")),
        ("as nobody", bound.saying("b-none", INSTANCE)),
        ("expired", bound.made(-400)),
        ("good for longer than it may", bound.made(3_600)),
        ("without its signature", format!("{signed}.")),
        ("with another's signature", {
            let other = elsewhere.token();
            format!("{signed}.{}", other.rsplit('.').next().expect("a signature"))
        }),
    ] {
        is_refused(what, &ask(at, "/", &token).await);
    }
    for path in ["//private", "/./x", "/pages/../x", "/%70rivate", "/x\\..\\private", "/healthz/x"]
    {
        is_refused(path, &wire::get(at, HOST, path).await);
    }
    let open = wire::get_with(at, HOST, "/healthz", &[("x-margrave-caller", "b-one")]).await;
    assert!(!open.seen().headers.contains_key("x-margrave-caller"), "nobody was asked who it is");
    let h2 = wire::get_h2(at, HOST, "/").await;
    assert_eq!((h2.status, h2.backend()), (401, None), "{h2:?}");
}

/// Asks as a caller, one request after the other; counts answers other than 200.
fn load(
    at: SocketAddr,
    who: Credential,
    stop: Arc<AtomicBool>,
) -> tokio::task::JoinHandle<[usize; 2]> {
    tokio::spawn(async move {
        let mut counts = [0, 0];
        while !stop.load(Ordering::Relaxed) {
            let answer = ask(at, "/", &who.token()).await;
            counts[usize::from(answer.status != 200)] += 1;
        }
        counts
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_rotated_and_revoked_under_load() {
    let mut platform = Platform::start().await;
    let web = Backend::start("web").await;
    platform.provision(INSTANCE, &ledger("ledger", &web.url())).await;
    let at = platform.endpoints.public;
    let other = Credential::of(&platform.bind(INSTANCE, "b-other", &json!({})).await);
    let old = Credential::of(&platform.bind(INSTANCE, "b-old", &json!({})).await);
    becomes(at, &old, 200).await;
    becomes(at, &other, 200).await;
    let stop = Arc::new(AtomicBool::new(false));
    let requests = load(at, other.clone(), stop.clone());

    let successor = json!({"predecessor_binding_id": "b-old"});
    let new = Credential::of(&platform.bind(INSTANCE, "b-new", &successor).await);
    becomes(at, &new, 200).await;
    assert_eq!(ask(at, "/", &old.token()).await.status, 200, "both, while it rotates");
    platform.unbind(INSTANCE, "b-old").await;
    becomes(at, &old, 401).await;
    is_refused("rotated out", &ask(at, "/", &old.token()).await);
    assert_eq!(ask(at, "/", &new.token()).await.status, 200);
    platform.unbind(INSTANCE, "b-new").await;
    becomes(at, &new, 401).await;
    is_refused("revoked", &ask(at, "/", &new.token()).await);

    // An update in between changes nothing of who may call.
    let next = Backend::start("next").await;
    platform.update(INSTANCE, &ledger("ledger", &next.url())).await;
    assert_eq!(ask(at, "/", &other.token()).await.backend(), Some("next"));
    stop.store(true, Ordering::Relaxed);
    let [passed, failed] = requests.await.expect("the load runs");
    assert!(passed > 10, "{passed}");
    assert_eq!(failed, 0, "of {passed}");

    // Nor does a platform that starts again.
    platform.kill().await;
    platform.restart().await;
    let at = platform.endpoints.public;
    becomes(at, &other, 200).await;
    is_refused("revoked, after a restart", &ask(at, "/", &new.token()).await);
    platform.unbind(INSTANCE, "b-other").await;
    becomes(at, &other, 401).await;
    is_refused("nobody is bound", &wire::get(at, HOST, "/").await);
}
