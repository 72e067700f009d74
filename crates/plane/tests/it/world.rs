//! A store in a temporary folder, a plane that follows it, and hands for both.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use context::{AddressPolicy, Lookup, Resolver, Sealing, Vault};
use futures::future::join_all;
use keys::{Keyring, Place, SealError, Sealed, Secret, Seed};
use model::descriptor::{Address, Upstream};
use model::{BindingId, InstanceId, Node, OperationKind, Spec};
use plane::{Config, Plane, Validator};
use render::{Platform, Templates};
use store::contract::sample;
use store::sqlite::{Options, Sqlite};
use store::{
    Accept, Accepted, Bind, Bindings, Binds, Blobs, Changes, Cursor, Editions, Filter,
    HostnameOwner, LastGood, Page, Queue, Save, Store, StoreError, Write,
};
use tokio::sync::{Notify, oneshot};
use xds::{Cache, Directory};

/// Long enough for anything that is not stuck.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A store, what publishes into it, and how many planes have been made.
pub(crate) struct World {
    folder: tempfile::TempDir,
    pub(crate) store: Arc<Shaky>,
    /// What its planes are started with.
    pub(crate) platform: Platform,
    now: AtomicI64,
    /// Where its planes keep what is good.
    pub(crate) last_good: Option<Arc<dyn LastGood>>,
}

/// A running plane.
pub(crate) struct Running {
    pub(crate) plane: Arc<Plane>,
    stop: Option<oneshot::Sender<()>>,
    task: Option<tokio::task::JoinHandle<()>>,
}

impl World {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = Options::new(Arc::new(|| 1_000_000));
        let sqlite = Sqlite::open(folder.path().join("store.db"), options).unwrap();
        let store = Arc::new(Shaky {
            sqlite,
            is_down: AtomicBool::new(false),
            restored_without: Mutex::default(),
        });
        Self { folder, store, platform: platform(), now: AtomicI64::new(1), last_good: None }
    }

    pub(crate) fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// Editions and roll-outs of its store.
    pub(crate) fn editions(&self) -> Arc<dyn Editions> {
        Arc::new(self.store.sqlite.clone())
    }

    /// Publishes a spec, as a worker would, or takes the instance away; returns the revision.
    pub(crate) async fn publish(&self, instance: &str, spec: Option<&Spec>) -> u64 {
        self.write(instance, spec, None, true).await
    }

    /// The same of an instance that need not hold its hostnames.
    pub(crate) async fn publish_unclaimed(&self, instance: &str, spec: &Spec) -> u64 {
        self.write(instance, Some(spec), None, false).await
    }

    /// Lets a caller call an instance.
    pub(crate) async fn bind(&self, bind: Bind) -> u64 {
        match self.store.sqlite.bind(bind).await.unwrap() {
            Binds::Yes(revision) => revision,
            other => panic!("not bound: {other:?}"),
        }
    }

    /// Takes that away again.
    pub(crate) async fn unbind(&self, instance: &str, binding: &BindingId) {
        let (instance, by) = (sample::instance_id(instance), sample::requester());
        assert!(self.store.sqlite.unbind(&instance, binding, by, 2).await.unwrap());
    }

    /// Takes out of the feed what has expired by then.
    pub(crate) async fn expire(&self, now: i64) {
        assert_eq!(self.store.sqlite.expire(now).await.unwrap().expired, 1);
    }

    /// Publishes many new instances, side by side so that they share commits.
    pub(crate) async fn publish_all(&self, specs: &[(String, Spec)]) {
        let now = self.now.fetch_add(1, Ordering::Relaxed);
        let accepts: Vec<Accept> = specs
            .iter()
            .map(|(id, spec)| sample::accept(OperationKind::Provision, id, spec, now))
            .collect();
        join_all(accepts.iter().map(|accept| self.store.accept(accept.clone(), None))).await;
        let saves = accepts.iter().map(|_| async {
            let lease = self.store.sqlite.lease(now, PATIENCE).await.unwrap().unwrap();
            let operation = self.store.operation(&lease.job.operation_id).await.unwrap().unwrap();
            let publish = Write::Publish(operation.target.clone().unwrap());
            let save = sample::finish(&lease.fence, &operation, vec![publish], now);
            self.store.save(save).await.unwrap();
        });
        join_all(saves).await;
    }

    /// Publishes a spec and marks it as what the fleet has.
    pub(crate) async fn publish_good(&self, instance: &str, spec: &Spec) -> u64 {
        let revision = self.write(instance, Some(spec), None, true).await;
        self.write(instance, Some(spec), Some(revision), true).await;
        revision
    }

    async fn write(
        &self,
        instance: &str,
        spec: Option<&Spec>,
        good: Option<u64>,
        claims: bool,
    ) -> u64 {
        let now = self.now.fetch_add(1, Ordering::Relaxed);
        let row = self.store.instance(&sample::instance_id(instance)).await.unwrap();
        let kind = match (&row, spec) {
            (_, None) => OperationKind::Deprovision,
            (None, _) => OperationKind::Provision,
            (Some(_), _) => OperationKind::Update,
        };
        let old = row.as_ref().map(|row| row.spec.clone());
        let target = spec.cloned().or(old).unwrap();
        let mut accept = sample::accept(kind, instance, &target, now);
        accept.claim.retain(|_| claims);
        let operation = accept.operation.clone();
        let accepted = self.store.accept(accept, row.map(|row| row.updated_at)).await.unwrap();
        assert_eq!(accepted, Accepted::Yes);
        let lease = self.store.sqlite.lease(now, PATIENCE).await.unwrap().unwrap();
        assert_eq!(lease.job.operation_id, operation.id);
        let what = match (good, spec) {
            (Some(revision), _) => Write::MarkGood(revision),
            (None, Some(spec)) => Write::Publish(spec.clone()),
            (None, None) => Write::Unpublish,
        };
        let save = sample::finish(&lease.fence, &operation, vec![what], now);
        self.store.save(save).await.unwrap().unwrap_or(0)
    }

    /// Starts a plane with default templates and addresses that are answered at once.
    pub(crate) fn start(&self) -> Running {
        self.start_with(Templates::builtin(), Arc::<Told>::default())
    }

    pub(crate) fn start_with(&self, templates: Templates, lookup: Arc<Told>) -> Running {
        self.start_all(templates, lookup, Vec::new())
    }

    /// The same with Envoys that judge.
    pub(crate) fn start_judged(
        &self,
        templates: Templates,
        validators: Vec<Arc<dyn Validator>>,
    ) -> Running {
        self.start_all(templates, Arc::default(), validators)
    }

    fn start_all(
        &self,
        templates: Templates,
        lookup: Arc<Told>,
        validators: Vec<Arc<dyn Validator>>,
    ) -> Running {
        let resolver = Resolver::new(lookup, AddressPolicy::dev(Vec::new()), Arc::new(|| 0.5));
        let config = Config {
            platform: self.platform.clone(),
            templates,
            clock: Arc::new(|| 0),
            grace: Duration::ZERO,
            address_wait: Duration::from_millis(50),
            restored_from: None,
            canaries: 1,
            vault: Arc::<Ring>::default(),
            last_good: self.last_good.clone(),
        };
        let plane = Plane::new(config, self.store.clone(), self.store.clone(), resolver).unwrap();
        plane.validate_with(validators);
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(plane.clone().run(async {
            let _ = stopped.await;
        }));
        Running { plane, stop: Some(stop), task: Some(task) }
    }
}

impl Running {
    /// The cache of a group.
    pub(crate) fn cache(&self, group: &str) -> Arc<Cache> {
        let node = Node { cluster: group.to_owned(), ..Node::default() };
        self.plane.assign(&node).unwrap()
    }

    /// What the default group has of an instance, as `name version`.
    pub(crate) fn held(&self, instance: &str) -> Vec<String> {
        let entries = self.cache("").dump(Some(instance)).into_iter();
        entries.map(|e| format!("{} {}", e.resource.name, e.resource.version)).collect()
    }

    /// Waits until the plane has read and rendered all that was published before.
    pub(crate) async fn caught_up(&self, instance: &str, revision: u64) {
        let id: InstanceId = instance.parse().unwrap();
        let convergence = self.plane.converged(&id, revision, PATIENCE).await;
        assert!(!matches!(convergence, plane::Convergence::Behind { .. }), "{convergence:?}");
    }

    /// Returns when the plane has stopped.
    pub(crate) async fn end(&mut self) {
        self.stop.take();
        if let Some(task) = self.task.take() {
            task.await.unwrap();
        }
    }
}

/// Waits for what no event tells.
pub(crate) async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let waited = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waited).await.unwrap_or_else(|_| panic!("never: {what}"));
}

/// A spec with one upstream and its hostname.
pub(crate) fn spec(service: &str, upstream: &str) -> Spec {
    let mut spec = sample::spec(service, &[&format!("{service}.example.com")]);
    let (host, port) = upstream.rsplit_once(':').unwrap();
    let address = Address { host: host.to_owned(), port: port.parse().unwrap() };
    spec.parameters.upstream =
        Some(Upstream { addresses: vec![address], tls: false, health_check: None });
    spec
}

fn platform() -> Platform {
    let facts = serde_json::json!({
        "zone": "localhost", "internal": "127.0.0.1:11080", "public": "127.0.0.1:10080",
        "trusted_hops": 0, "on_demand": false, "shared_clusters": [], "sources": {},
    });
    serde_json::from_value(facts).unwrap()
}

/// The default templates, one of them replaced.
pub(crate) fn with_template(name: &str, text: &str) -> Templates {
    let builtin = Templates::builtin_files().iter().filter(|(file, _)| *file != name);
    let builtin = builtin.map(|(file, text)| ((*file).to_owned(), (*text).to_owned()));
    let files: Vec<_> = builtin.chain([(name.to_owned(), text.to_owned())]).collect();
    Templates::compile(&files).unwrap()
}

/// A keyring of one key.
pub(crate) struct Ring(Keyring);

impl Default for Ring {
    fn default() -> Self {
        Self(Keyring::new(&Seed::default(), 0))
    }
}

#[async_trait]
impl Vault for Ring {
    async fn seal(&self, place: Place<'_>, secret: &Secret) -> Result<Sealing, SealError> {
        Ok(Sealing { sealed: self.0.seal(place, &[7; 24], secret)?, held: Box::new(()) })
    }
    fn open(&self, place: Place<'_>, sealed: &Sealed) -> Result<Secret, SealError> {
        self.0.open(place, sealed)
    }
}

/// Answers what it was told; other names never answer.
#[derive(Default)]
pub(crate) struct Told {
    answers: Mutex<BTreeMap<String, Vec<IpAddr>>>,
    news: Notify,
}

impl Told {
    pub(crate) fn tell(&self, host: &str, ip: &str) {
        self.answers.lock().unwrap().insert(host.to_owned(), vec![ip.parse().unwrap()]);
        self.news.notify_waiters();
    }
}

#[async_trait]
impl Lookup for Told {
    async fn lookup(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        loop {
            let news = self.news.notified();
            if let Some(ips) = self.answers.lock().unwrap().get(host) {
                return Ok(ips.clone());
            }
            news.await;
        }
    }
}

/// SQLite that can be told to fail, or to have lost instances.
pub(crate) struct Shaky {
    sqlite: Sqlite,
    pub(crate) is_down: AtomicBool,
    restored_without: Mutex<Option<usize>>,
}

impl Shaky {
    /// The feed begins anew at its next reading, without the first instances by name.
    pub(crate) fn restore_without(&self, instances: usize) {
        *self.restored_without.lock().unwrap() = Some(instances);
    }

    fn up(&self) -> Result<&Sqlite, StoreError> {
        if self.is_down.load(Ordering::Relaxed) {
            return Err(StoreError::Unavailable("told to".to_owned()));
        }
        Ok(&self.sqlite)
    }
}

#[async_trait]
impl Blobs for Shaky {
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.up()?.get(key).await
    }
    async fn put(&self, key: &str, value: &[u8]) -> Result<(), StoreError> {
        self.up()?.put(key, value).await
    }
    async fn delete(&self, key: &str) -> Result<(), StoreError> {
        self.up()?.delete(key).await
    }
    async fn list(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        self.up()?.list(prefix).await
    }
}

#[async_trait]
impl Store for Shaky {
    async fn epoch(&self) -> Result<u64, StoreError> {
        self.up()?.epoch().await
    }
    async fn accept(&self, accept: Accept, at: Option<i64>) -> Result<Accepted, StoreError> {
        self.up()?.accept(accept, at).await
    }
    async fn instance(&self, id: &InstanceId) -> Result<Option<model::Instance>, StoreError> {
        self.up()?.instance(id).await
    }
    async fn instances(&self, filter: Filter) -> Result<Page<model::Instance>, StoreError> {
        self.up()?.instances(filter).await
    }
    async fn operation(
        &self,
        id: &model::OperationId,
    ) -> Result<Option<model::Operation>, StoreError> {
        self.up()?.operation(id).await
    }
    async fn operations(
        &self,
        instance: &InstanceId,
        limit: usize,
    ) -> Result<Vec<model::Operation>, StoreError> {
        self.up()?.operations(instance, limit).await
    }
    async fn hostname(&self, name: &model::Hostname) -> Result<Option<HostnameOwner>, StoreError> {
        self.up()?.hostname(name).await
    }
    async fn claims(&self, instance: &InstanceId) -> Result<Vec<HostnameOwner>, StoreError> {
        self.up()?.claims(instance).await
    }
    async fn save(&self, save: Save) -> Result<Option<u64>, StoreError> {
        self.up()?.save(save).await
    }
    async fn changes(&self, cursor: Option<Cursor>, limit: usize) -> Result<Changes, StoreError> {
        let store = self.up()?;
        let hidden = self.restored_without.lock().unwrap().take();
        let Some(hidden) = hidden else { return store.changes(cursor, limit).await };
        let mut page = store.changes(None, limit).await?;
        page.changes.retain(|change| change.instance.as_str() >= format!("i{hidden:02}").as_str());
        Ok(page)
    }
    async fn changed(&self, cursor: &Cursor, timeout: Duration) {
        self.sqlite.changed(cursor, timeout).await;
    }
    async fn forget(&self, before: i64) -> Result<usize, StoreError> {
        self.up()?.forget(before).await
    }
}
