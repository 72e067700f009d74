//! A real issuer for tests: it signs with real keys, rotates them, asks a person, and can lie.

mod answers;
mod signer;
mod tls;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::routing::{get, post};
use model::Millis;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

pub use self::signer::{Kind, Signer, seal};
pub use self::tls::AUTHORITY;

/// The client that tests are.
pub const CLIENT: &str = "margrave-cli";
/// What a person types.
pub const CODE: &str = "WDJB-MJHT";

/// How an issuer answers when it is asked about itself and for its keys.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Manner {
    /// As it should.
    #[default]
    Sound,
    /// With 503.
    Failing,
    /// Never.
    Hanging,
    /// With a document that is larger than any.
    Huge,
    /// With something else than JSON.
    Garbled,
    /// From elsewhere, where all is sound.
    Redirecting,
    /// In another's name.
    AnotherIssuer,
    /// With keys at an address in clear.
    UnsafeKeys,
    /// With no key.
    NoKeys,
    /// With more keys than there are.
    ManyKeys,
    /// With a key that is too short, one for encryption, one for another algorithm, and one that is
    /// none.
    UselessKeys,
    /// Without a way in for devices.
    NoDevice,
    /// With a page in clear for people to open.
    UnsafePage,
    /// With a code that a terminal would obey.
    OddCode,
    /// With tokens, but none that tells who it is.
    NoIdToken,
}

/// What a person has said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Said {
    /// Nothing yet.
    #[default]
    Nothing,
    /// Yes.
    Yes,
    /// No.
    No,
}

/// An issuer. It ends when it is dropped.
pub struct TestIssuer {
    url: String,
    shared: Arc<Mutex<State>>,
    task: JoinHandle<()>,
}

type Clock = Arc<dyn Fn() -> Millis + Send + Sync>;

/// What it knows and does.
pub(crate) struct State {
    url: String,
    clock: Clock,
    manner: Manner,
    signer: Signer,
    asked: usize,
    keys_asked: usize,
    said: Said,
    groups: Vec<String>,
    /// Answered by the token endpoint before anything else.
    errors: VecDeque<String>,
    refresh: Option<String>,
    refreshed: usize,
    lifetime_s: i64,
}

impl TestIssuer {
    /// One on a free port of this machine, which signs with RSA.
    pub async fn start(clock: impl Fn() -> Millis + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        Self::serve(url, clock, |router| serve(listener, router))
    }

    /// One that is asked by TLS; [`AUTHORITY`] has signed its certificate.
    pub async fn start_tls(clock: impl Fn() -> Millis + Send + Sync + 'static) -> Self {
        let listener = tls::Listener::bind().await;
        let url = format!("https://localhost:{}", listener.port());
        Self::serve(url, clock, |router| serve(listener, router))
    }

    fn serve(
        url: String,
        clock: impl Fn() -> Millis + Send + Sync + 'static,
        serve: impl FnOnce(Router) -> JoinHandle<()>,
    ) -> Self {
        let shared = Arc::new(Mutex::new(State {
            url: url.clone(),
            clock: Arc::new(clock),
            manner: Manner::Sound,
            signer: Signer::new(Kind::Rsa, "key-1"),
            asked: 0,
            keys_asked: 0,
            said: Said::Nothing,
            groups: vec!["eng-shop".to_owned()],
            errors: VecDeque::new(),
            refresh: None,
            refreshed: 0,
            lifetime_s: 3600,
        }));
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(answers::discovery))
            .route("/keys", get(answers::keys))
            .route("/device", post(answers::device))
            .route("/token", post(answers::token))
            .fallback(answers::elsewhere)
            .with_state(Arc::clone(&shared));
        let task = serve(router);
        Self { url, shared, task }
    }

    /// Its URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// How it answers from now on.
    pub fn behave(&self, manner: Manner) {
        self.state().manner = manner;
    }

    /// Signs with another key, and publishes no other.
    pub fn rotate(&self, kind: Kind, id: &str) {
        self.state().signer = Signer::new(kind, id);
    }

    /// How often it was asked about itself.
    pub fn asked(&self) -> usize {
        self.state().asked
    }

    /// How often it was asked for its keys.
    pub fn keys_asked(&self) -> usize {
        self.state().keys_asked
    }

    /// How often a login was made new.
    pub fn refreshed(&self) -> usize {
        self.state().refreshed
    }

    /// What the person who is asked says.
    pub fn say(&self, said: Said) {
        self.state().said = said;
    }

    /// The groups of the person from now on.
    pub fn groups(&self, groups: &[&str]) {
        self.state().groups = groups.iter().map(|group| (*group).to_owned()).collect();
    }

    /// What the token endpoint answers first, such as `slow_down`.
    pub fn errors(&self, errors: &[&str]) {
        self.state().errors = errors.iter().map(|error| (*error).to_owned()).collect();
    }

    /// How long ID tokens are good for, in seconds.
    pub fn lifetime_s(&self, seconds: i64) {
        self.state().lifetime_s = seconds;
    }

    /// Takes back the refresh token that it gave last.
    pub fn end_refresh(&self) {
        self.state().refresh = None;
    }

    /// Sound claims of the person.
    pub fn claims(&self) -> Value {
        self.state().claims()
    }

    /// These claims, signed by its key.
    pub fn sign(&self, claims: &Value) -> String {
        self.state().signer.sign(claims)
    }

    /// With something done to what is signed with.
    pub fn with_signer<T>(&self, look: impl FnOnce(&Signer) -> T) -> T {
        look(&self.state().signer)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.shared)
    }
}

impl Drop for TestIssuer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl State {
    fn claims(&self) -> Value {
        let now_s = (self.clock)() / 1000;
        json!({
            "iss": self.url, "sub": "00u1alice", "aud": CLIENT, "iat": now_s,
            "exp": now_s + self.lifetime_s, "email": "alice@example.com", "groups": self.groups,
        })
    }
}

fn serve<L: axum::serve::Listener<Addr: std::fmt::Debug>>(
    listener: L,
    router: Router,
) -> JoinHandle<()> {
    tokio::spawn(async move { axum::serve(listener, router).await.expect("it serves") })
}

fn lock(shared: &Mutex<State>) -> MutexGuard<'_, State> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
