//! A refusal is told within two seconds, by a clock that is wound by hand: to whoever waits for the
//! instance, in the view of the fleet, and by gauges.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use context::{AddressPolicy, Lookup, Resolver, Sealing, Vault};
use keys::{Keyring, Place, SealError, Sealed, Secret, Seed};
use metrics::{Counter, Gauge, GaugeFn, Histogram, Key, KeyName, Metadata, SharedString, Unit};
use model::descriptor::{Address, Upstream};
use model::{InstanceId, Node, OperationKind, Spec, TypeUrl, type_urls};
use render::Templates;
use store::contract::sample;
use store::sqlite::{Options, Sqlite};
use store::{Queue, Store, Write};
use tokio::time::{Instant, sleep, timeout};
use xds::{Cache, Directory, Event, StreamId};

use crate::{Config, Convergence, Plane, ProxyState};

/// What is promised.
const SOON: Duration = Duration::from_secs(2);
/// Long enough for anything that is not stuck.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often it is looked whether it is so.
const LOOK: Duration = Duration::from_millis(10);

/// Gauges by their names and labels.
#[derive(Default)]
struct Gauges(Mutex<HashMap<String, Arc<Shown>>>);

#[derive(Default)]
struct Shown(Mutex<f64>);

impl GaugeFn for Shown {
    fn increment(&self, value: f64) {
        *self.0.lock().unwrap() += value;
    }
    fn decrement(&self, value: f64) {
        *self.0.lock().unwrap() -= value;
    }
    fn set(&self, value: f64) {
        *self.0.lock().unwrap() = value;
    }
}

impl metrics::Recorder for Gauges {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        Counter::noop()
    }
    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        let labels = key.labels().map(|label| format!(" {}", label.value()));
        let name = format!("{}{}", key.name(), labels.collect::<String>());
        Gauge::from_arc(self.0.lock().unwrap().entry(name).or_default().clone())
    }
    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

impl Gauges {
    fn forget(&self) {
        self.0.lock().unwrap().values().for_each(|shown| shown.set(f64::NAN));
    }

    fn of(&self, name: &str) -> f64 {
        let gauges = self.0.lock().unwrap();
        gauges.get(name).map_or(f64::NAN, |shown| *shown.0.lock().unwrap())
    }
}

/// Nothing is secret here, and no name is looked up.
struct Nothing;

#[async_trait]
impl Vault for Nothing {
    async fn seal(&self, place: Place<'_>, secret: &Secret) -> Result<Sealing, SealError> {
        let sealed = Keyring::new(&Seed::default(), 0).seal(place, &[7; 24], secret)?;
        Ok(Sealing { sealed, held: Box::new(()) })
    }
    fn open(&self, place: Place<'_>, sealed: &Sealed) -> Result<Secret, SealError> {
        Keyring::new(&Seed::default(), 0).open(place, sealed)
    }
}

#[async_trait]
impl Lookup for Nothing {
    async fn lookup(&self, _host: &str) -> std::io::Result<Vec<std::net::IpAddr>> {
        std::future::pending().await
    }
}

fn config() -> Config {
    let platform = serde_json::json!({
        "zone": "localhost", "internal": "127.0.0.1:11080", "public": "127.0.0.1:10080",
        "trusted_hops": 0, "on_demand": false, "shared_clusters": [], "sources": {},
    });
    Config {
        platform: serde_json::from_value(platform).unwrap(),
        templates: Templates::builtin(),
        clock: Arc::new(|| 0),
        grace: Duration::ZERO,
        address_wait: Duration::from_millis(50),
        restored_from: None,
        canaries: 1,
        vault: Arc::new(Nothing),
        last_good: None,
    }
}

fn spec(port: u16) -> Spec {
    let mut spec = sample::spec("shop", &["shop.example.com"]);
    let addresses = vec![Address { host: "10.0.0.1".to_owned(), port }];
    spec.parameters.upstream = Some(Upstream { addresses, tls: false, health_check: None });
    spec
}

/// Publishes a spec as a worker would; its revision.
async fn publish(store: &Sqlite, kind: OperationKind, spec: &Spec, now: i64) -> u64 {
    let before = store.instance(&sample::instance_id("shop")).await.unwrap();
    let accept = sample::accept(kind, "shop", spec, now);
    let operation = accept.operation.clone();
    store.accept(accept, before.map(|row| row.updated_at)).await.unwrap();
    let lease = store.lease(now, PATIENCE).await.unwrap().unwrap();
    let save = sample::finish(&lease.fence, &operation, vec![Write::Publish(spec.clone())], now);
    store.save(save).await.unwrap().unwrap()
}

struct Fleet {
    plane: Arc<Plane>,
    gauges: &'static Gauges,
    _guard: metrics::LocalRecorderGuard<'static>,
    _folder: tempfile::TempDir,
}

impl Fleet {
    /// Proxies that are sent the second version of a service, and the clock is stopped.
    async fn of(proxies: u64) -> (Self, u64) {
        let gauges: &'static Gauges = Box::leak(Box::default());
        let _guard = metrics::set_default_local_recorder(gauges);
        let _folder = tempfile::tempdir().unwrap();
        let options = Options::new(Arc::new(|| 1_000_000));
        let store = Sqlite::open(_folder.path().join("store.db"), options).unwrap();
        let policy = AddressPolicy::dev(Vec::new());
        let resolver = Resolver::new(Arc::new(Nothing), policy, Arc::new(|| 0.5));
        let (feed, blobs) = (Arc::new(store.clone()), Arc::new(store.clone()));
        let plane = Plane::new(config(), feed, blobs, resolver).unwrap();
        tokio::spawn(plane.clone().run(std::future::pending()));
        let fleet = Self { plane, gauges, _guard, _folder };
        let first = publish(&store, OperationKind::Provision, &spec(80), 1).await;
        fleet.renders(first).await;
        for proxy in 1..=proxies {
            fleet.come(proxy).await;
        }
        let second = publish(&store, OperationKind::Update, &spec(81), 2).await;
        fleet.renders(second).await;
        tokio::time::pause();
        // Gauges have just been set: what happens now is told as late as it can be.
        fleet.gauges.forget();
        fleet.takes(|fleet| fleet.gauges.of("margrave_plane_quarantined") >= 0.0).await;
        (fleet, second)
    }

    fn cache(&self) -> Arc<Cache> {
        self.plane.assign(&Node::default()).unwrap()
    }

    /// Waits until this revision is rendered.
    async fn renders(&self, revision: u64) {
        let is_there = || {
            self.cache()
                .dump(Some("shop"))
                .iter()
                .any(|it| it.resource.version.revision == revision)
        };
        let waits = async {
            while !is_there() {
                sleep(LOOK).await;
            }
        };
        timeout(PATIENCE, waits).await.expect("it is rendered");
    }

    async fn come(&self, proxy: u64) {
        let (stream, seq) = (StreamId(proxy), self.cache().seq());
        let node = Arc::new(Node { id: format!("p{proxy}"), ..Node::default() });
        self.say(Event::Opened { stream, node, early: false }).await;
        self.say(Event::Synced { stream, seq }).await;
    }

    async fn say(&self, event: Event) {
        self.plane.tell_event(event).await;
    }

    async fn refuses(&self, proxy: u64) {
        self.say(Event::Rejected {
            stream: StreamId(proxy),
            owner: "shop".into(),
            seq: self.cache().seq(),
            type_url: TypeUrl::new(type_urls::ROUTE),
            name: "internal/shop".into(),
            message: "no".into(),
        })
        .await;
    }

    /// Waits until it is so; how long that takes by the clock.
    async fn takes(&self, is_so: impl Fn(&Self) -> bool) -> Duration {
        let begun = Instant::now();
        while !is_so(self) {
            assert!(begun.elapsed() < SOON * 10, "it never is");
            sleep(LOOK).await;
        }
        begun.elapsed()
    }
}

#[tokio::test]
async fn that_a_service_is_refused_is_told_within_two_seconds() {
    let (fleet, revision) = Fleet::of(1).await;
    let id: InstanceId = sample::instance_id("shop");
    let plane = fleet.plane.clone();
    let waits = tokio::spawn(async move { plane.converged(&id, revision, SOON).await });
    assert!(fleet.gauges.of("margrave_plane_quarantined") < 1.0);
    fleet.refuses(1).await;
    let told = fleet
        .takes(|fleet| {
            fleet.plane.fleet().quarantined == 1
                && fleet.gauges.of("margrave_plane_quarantined") > 0.0
        })
        .await;
    assert!(told <= SOON, "gauges and the view of the fleet after {told:?}");
    let operation = waits.await.unwrap();
    assert!(matches!(operation, Convergence::Rejected { .. }), "{operation:?}");
}

#[tokio::test]
async fn that_a_proxy_refuses_what_others_took_is_told_within_two_seconds() {
    let (fleet, _) = Fleet::of(2).await;
    let seq = fleet.cache().seq();
    fleet.say(Event::Settled { stream: StreamId(2), owner: "shop".into(), seq }).await;
    fleet.refuses(1).await;
    let told = fleet
        .takes(|fleet| {
            let view = fleet.plane.fleet();
            view.proxies.iter().any(|it| it.id == "p1" && it.state == ProxyState::Rejecting)
                && fleet.gauges.of("margrave_plane_proxies rejecting") > 0.0
        })
        .await;
    assert!(told <= SOON, "gauges and the view of the fleet after {told:?}");
}
