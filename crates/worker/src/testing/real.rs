//! The worker over the real store and the real local cloud, killed again and again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use model::{Exposure, InstanceId, InstanceState, OperationState, Plan, Spec};
use store::sqlite::{Options, Sqlite};
use store::{Accepted, Blobs, Store};

use super::dice::Dice;
use super::world::{Wish, id, request, spec};
use crate::cloud::LocalCloud;
use crate::{Clock, CloudError, Config, Convergence, Fleet, Ports, Record, Worker};

/// A fleet that has whatever is published.
struct Willing;

#[async_trait]
impl Fleet for Willing {
    async fn check(&self, _instance: &InstanceId, _spec: &Spec) -> Result<(), String> {
        Ok(())
    }

    async fn converged(&self, _: &InstanceId, _: u64, _: Duration) -> Convergence {
        Convergence::Live { proxies: 1, notice: None }
    }
}

/// A folder that outlives the platforms in it.
struct Site {
    folder: tempfile::TempDir,
    clock: Clock,
}

impl Site {
    fn new() -> Self {
        let began = Instant::now();
        let passed = move || i64::try_from(began.elapsed().as_millis()).expect("a short test");
        let folder = tempfile::tempdir().expect("a folder");
        Self { folder, clock: Arc::new(move || 1_000_000 + passed()) }
    }

    fn open(&self) -> (Sqlite, Ports) {
        let path = self.folder.path().join("store.db");
        let store = Sqlite::open(path, Options::new(self.clock.clone())).expect("opens");
        let ports = Ports {
            store: Arc::new(store.clone()),
            queue: Arc::new(store.clone()),
            cloud: Arc::new(LocalCloud::new(Arc::new(store.clone()))),
            fleet: Arc::new(Willing),
            clock: self.clock.clone(),
            jitter: Arc::new(|| 0.5),
        };
        (store, ports)
    }
}

const INSTANCES: u64 = 8;

/// Short leases: the tests wait for dead workers' to run out.
fn config() -> Config {
    let (lease, beat) = (Duration::from_millis(300), Duration::from_millis(100));
    Config { lease, beat, idle: Duration::from_millis(50), ..Config::default() }
}

async fn accept(store: &Sqlite, clock: &Clock, number: u64, id: &InstanceId, wish: &Wish) -> bool {
    let instance = store.instance(id).await.expect("reads");
    if instance.is_none() && wish.is_none() {
        return false;
    }
    let accept = request(&format!("operation-{number}"), id, instance.as_ref(), wish, clock());
    let expected = instance.map(|instance| instance.updated_at);
    store.accept(accept, expected).await.expect("answers") == Accepted::Yes
}

fn wish(dice: &mut Dice, n: u64) -> Wish {
    let plan = if dice.percent(50) { Plan::Public } else { Plan::Internal };
    let (a, b) = (format!("a{n}.test"), format!("b{n}.test"));
    match dice.below(4) {
        0 => None,
        1 => Some(spec(plan, &[&a])),
        2 => Some(spec(plan, &[&b])),
        _ => Some(spec(plan, &[&a, &b])),
    }
}

/// As good as a process of its own: when it is dropped, whatever was running has stopped.
fn process() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(2).enable_all().build().expect("a runtime")
}

/// Accepts a few wishes, and is killed after a short while.
async fn life(site: &Site, round: u64, dice: &mut Dice) {
    let (store, ports) = site.open();
    tokio::spawn(Worker::new(ports, config()).run(std::future::pending()));
    for n in 0..INSTANCES {
        let (number, id, wish) = (round * INSTANCES + n, id(&format!("i{n}")), wish(dice, n));
        accept(&store, &site.clock, number, &id, &wish).await;
        tokio::time::sleep(Duration::from_millis(dice.below(5))).await;
    }
}

#[test]
fn whatever_is_accepted_ends_although_the_worker_is_killed() {
    let (site, mut dice) = (Site::new(), Dice::new(7));
    for round in 0..12 {
        process().block_on(life(&site, round, &mut dice));
    }
    process().block_on(async {
        let (store, ports) = site.open();
        tokio::spawn(Worker::new(ports, config()).run(std::future::pending()));
        let cloud = LocalCloud::new(Arc::new(store.clone()));
        for n in 0..INSTANCES {
            as_asked(&store, &cloud, &id(&format!("i{n}"))).await;
        }
    });
}

/// Waits until the last operation of an instance has ended, and looks at what there is.
async fn as_asked(store: &Sqlite, cloud: &LocalCloud, id: &InstanceId) {
    let last = loop {
        let last = store.operations(id, 1).await.expect("reads");
        match last.into_iter().next() {
            None => return,
            Some(last) if last.state != OperationState::InProgress => break last,
            Some(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    };
    assert_eq!(last.state, OperationState::Succeeded, "{last:#?}");
    let claims = store.claims(id).await.expect("reads");
    let claims: Vec<_> = claims.into_iter().map(|claim| claim.hostname).collect();
    let records = cloud.records().await.expect("reads");
    let records: Vec<_> = records.into_iter().filter(|record| record.instance == *id).collect();
    let changes = store.changes(None, 100).await.expect("reads").changes;
    let published = changes.into_iter().find(|change| change.instance == *id).and_then(|c| c.spec);
    let hostnames = last.target.as_ref().map_or(vec![], |spec| spec.hostnames.clone());
    let exposure = last.target.as_ref().map(|spec| crate::holdings::exposure(spec.plan));
    assert_eq!(published, last.target);
    assert_eq!(claims, hostnames);
    assert!(records.iter().map(|record| &record.hostname).eq(&hostnames), "{records:?}");
    assert!(records.iter().all(|record| Some(record.exposure) == exposure), "{records:?}");
    let state = store.instance(id).await.expect("reads").expect("is there").state;
    assert_eq!(state == InstanceState::Deleted, last.target.is_none());
}

#[tokio::test]
async fn a_local_record_is_written_once_read_back_and_never_taken_from_another() {
    let site = Site::new();
    let (store, ports) = site.open();
    let cloud = ports.cloud;
    let name = || "shop.localhost".parse().expect("a hostname");
    let record = |owner: &str, exposure| Record { hostname: name(), instance: id(owner), exposure };
    let ours = record("i", Exposure::Internal);
    for _ in 0..2 {
        cloud.upsert_record("1", &ours).await.expect("is made");
        assert_eq!(cloud.record(&name()).await, Ok(Some(ours.clone())));
    }
    let wider = record("i", Exposure::Public);
    cloud.upsert_record("2", &wider).await.expect("is widened");

    let taken = cloud.upsert_record("3", &record("j", Exposure::Public)).await;
    let refused = "the DNS record of shop.localhost belongs to another service";
    assert_eq!(taken, Err(CloudError::Permanent(refused.into())));
    cloud.delete_record("4", &name(), &id("j")).await.expect("is none of theirs");
    let local = LocalCloud::new(Arc::new(store.clone()));
    assert_eq!(local.records().await, Ok(vec![wider]));

    for _ in 0..2 {
        cloud.delete_record("5", &name(), &id("i")).await.expect("is removed");
        assert_eq!(cloud.record(&name()).await, Ok(None));
    }
    store.put("cloud/dns/shop.localhost", b"{").await.expect("is put");
    let damaged = cloud.upsert_record("6", &ours).await;
    assert!(matches!(damaged, Err(CloudError::Permanent(_))), "{damaged:?}");
}
