//! Callers that come and go, by traffic: what a binding in the store lets through a real Envoy.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use keys::{KeyPair, Sealed, Token};
use model::descriptor::Auth;
use model::{Binding, Plan, Spec};
use plane::{Convergence, ProxyState};
use render::Templates;
use store::Bind;
use store::contract::sample;

use crate::envoy::{Xds, get_with, upstream};
use crate::line::{Line, converged, id, live};
use crate::world::{spec, until, with_template};

const HOST: &str = "shop.example.com";

/// A caller of the instance `shop`.
struct Caller {
    name: &'static str,
    pair: KeyPair,
}

impl Caller {
    fn new(name: &'static str) -> Self {
        let seed = [u8::try_from(name.len()).unwrap(); 32];
        Self { name, pair: KeyPair::new(&seed.into()) }
    }

    fn bind(&self, expires_at: Option<i64>) -> Bind {
        let binding = Binding {
            id: self.name.parse().unwrap(),
            instance: id("shop"),
            name: None,
            ttl_s: None,
            resource: serde_json::json!({}),
            predecessor: None,
            public_key: self.pair.public_key(),
            created_by: "tests".to_owned(),
            created_at: 1,
            renew_before: None,
            expires_at,
        };
        let sealed = Sealed::from_bytes([vec![1], vec![7; 8], vec![7; 40]].concat());
        Bind { binding, sealed, by: sample::requester() }
    }

    #[expect(clippy::disallowed_methods, reason = "Envoy's clock is the real one")]
    fn header(&self) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let now_s = i64::try_from(now).unwrap();
        let token = Token { binding: self.name, audience: "shop", now_s, lifetime_s: 300 };
        let token = self.pair.token(token);
        format!("authorization: Bearer {}\r\n", token.expose_str().unwrap())
    }
}

/// The service, which only bound callers may call.
fn bound(upstream: std::net::SocketAddr) -> Spec {
    let mut spec = spec("shop", &upstream.to_string());
    spec.parameters.auth = Auth::Binding;
    spec
}

impl Line {
    async fn status(&self, caller: &Caller) -> u16 {
        get_with(self.front, HOST, "/", &caller.header()).await.0
    }

    /// Until the feed's latest has arrived.
    async fn settles(&self, what: &str, caller: &Caller, status: u16) {
        let asked = async {
            while self.status(caller).await != status {
                tokio::task::yield_now().await;
            }
        };
        let asked = tokio::time::timeout(crate::world::PATIENCE, asked).await;
        asked.unwrap_or_else(|_| panic!("{what}: never {status}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_come_and_go() {
    let line = Line::up(Templates::builtin()).await;
    let spec = bound(upstream("shop").await);
    let revision = line.world.publish("shop", Some(&spec)).await;
    assert_eq!(converged(&line.running, "shop", revision).await, live(1));
    let (old, new, brief) = (Caller::new("old"), Caller::new("newer"), Caller::new("brief"));
    assert_eq!(line.get(HOST).await.0, 401, "nobody is bound");
    assert_eq!(line.status(&old).await, 401);

    let bound = line.world.bind(old.bind(None)).await;
    assert_eq!(converged(&line.running, "shop", bound).await, live(1));
    assert_eq!(line.status(&old).await, 200, "bound");
    assert_eq!(line.status(&new).await, 401, "another");
    assert_eq!(line.get(HOST).await.0, 401, "without a token");

    line.world.bind(new.bind(None)).await;
    let last = line.world.bind(brief.bind(Some(1_000))).await;
    assert_eq!(converged(&line.running, "shop", last).await, live(1));
    for caller in [&old, &new, &brief] {
        assert_eq!(line.status(caller).await, 200, "{} beside the others", caller.name);
    }
    line.world.expire(1_000).await;
    line.settles("expired", &brief, 401).await;
    line.world.unbind("shop", &"old".parse().unwrap()).await;
    line.settles("rotated out", &old, 401).await;
    assert_eq!(line.status(&new).await, 200, "which took its place");
    line.world.unbind("shop", &"newer".parse().unwrap()).await;
    line.settles("revoked", &new, 401).await;
    assert_eq!(line.get(HOST).await.0, 401, "and the door is closed, not open");
    line.down().await;
}

/// Requests of a caller, one after the other, until told to stop; those that failed.
fn load(line: &Line, caller: Caller) -> (Arc<AtomicBool>, tokio::task::JoinHandle<(usize, usize)>) {
    let (stop, front) = (Arc::new(AtomicBool::new(false)), line.front);
    let until = stop.clone();
    let task = tokio::spawn(async move {
        let (mut asked, mut failed) = (0, 0);
        while !until.load(Ordering::Relaxed) {
            let (status, _) = get_with(front, HOST, "/", &caller.header()).await;
            asked += 1;
            failed += usize::from(status != 200);
        }
        (asked, failed)
    });
    (stop, task)
}

#[tokio::test(flavor = "multi_thread")]
async fn one_is_revoked_under_load_and_nobody_else_notices() {
    let line = Line::up(Templates::builtin()).await;
    let spec = bound(upstream("shop").await);
    line.world.publish("shop", Some(&spec)).await;
    let (stays, goes) = (Caller::new("stays"), Caller::new("goes"));
    line.world.bind(stays.bind(None)).await;
    let revision = line.world.bind(goes.bind(None)).await;
    assert_eq!(converged(&line.running, "shop", revision).await, live(1));
    let listeners = line.envoys[0].statistic("listener_manager.listener_create_success").await;
    let (stop, requests) = load(&line, stays);
    for _ in 0..10 {
        line.settles("bound", &goes, 200).await;
        line.world.unbind("shop", &"goes".parse().unwrap()).await;

        line.settles("revoked", &goes, 401).await;

        line.world.bind(goes.bind(None)).await;
    }
    stop.store(true, Ordering::Relaxed);
    let (asked, failed) = requests.await.unwrap();
    assert!(asked > 10, "{asked}");
    assert_eq!(failed, 0, "of {asked}");
    let after = line.envoys[0].statistic("listener_manager.listener_create_success").await;
    assert_eq!(after, listeners, "no listener was touched");
    line.down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_revoked_stays_out_whatever_spec_is_served() {
    let mut line = Line::up(refuses_public_instances()).await;
    let good = bound(upstream("shop").await);
    let caller = Caller::new("caller");
    line.world.publish_good("shop", &good).await;
    let revision = line.world.bind(caller.bind(None)).await;
    assert_eq!(converged(&line.running, "shop", revision).await, live(1));
    assert_eq!(line.status(&caller).await, 200);

    let bad = Spec { plan: Plan::Public, ..good };
    let refused = line.world.publish("shop", Some(&bad)).await;
    let told = converged(&line.running, "shop", refused).await;
    assert!(matches!(told, Convergence::Rejected { .. }), "{told:?}");
    assert_eq!(line.status(&caller).await, 200, "served as it was");
    line.world.unbind("shop", &"caller".parse().unwrap()).await;
    line.settles("revoked in quarantine", &caller, 401).await;

    // A control plane that starts with all this knows no better and lets nobody in either.
    line.xds.end().await;
    line.running.end().await;
    line.running = line.world.start_with(refuses_public_instances(), Arc::default());
    line.xds = Xds::serve(&line.running.plane, line.xds.port.clone()).await;
    let plane = line.running.plane.clone();
    until("the proxy is back", || {
        plane.fleet().proxies.iter().any(|p| p.state == ProxyState::Live)
    })
    .await;
    assert_eq!(line.status(&caller).await, 401);
    assert_eq!(line.get(HOST).await.0, 401);
    line.down().await;
}

/// Templates by which Envoy refuses what is public.
fn refuses_public_instances() -> Templates {
    let builtin = Templates::builtin_files().iter().find(|(name, _)| *name == "routes.json.j2");
    let place = "\"most_specific_header_mutations_wins\": true,";
    let (_, text) = builtin.unwrap();
    assert!(text.contains(place));
    let unknown_command = r#""response_headers_to_add": [
        {"header": {"key": "x-bad", "value": "%NO_SUCH_COMMAND%"}}],"#;
    let inserted =
        format!("{place}{{%- if instance.plan == \"public\" %}}{unknown_command}{{%- endif %}}");
    with_template("routes.json.j2", &text.replace(place, &inserted))
}
