//! The broker's router on a real store, with a worker's part played by hand.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use authority::Authority;
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request};
use broker::{
    Asked, BackupFile, Config, Coverage, Edge, FleetSummary, GivenLine, Joining, Keeper, LetGo,
    Listener, Maintenance, PLAN_INTERNAL_ID, PLAN_PUBLIC_ID, Parts, Password, Prover, ProxyDetail,
    ProxyLine, RecordLine, RenderedLine, RolloutLine, RolloutPlan, RolloutRefused, RolloutStatus,
    RolloutWish, Rollouts, SERVICE_ID, SourceLine, Standing, View,
};
use http_body_util::BodyExt;
use model::{
    AuditEntry, InstanceId, InstanceState, Millis, Operation, OperationKind, OperationState, Spec,
    StepRecord,
};
use serde_json::{Value, json};
use store::sqlite::{Options, Sqlite};
use store::{Fence, Queue, Save, Store, StoreError, Write};
use tempfile::TempDir;
use tower::ServiceExt;

use crate::meddler::Meddler;
use crate::vault::Counting;

/// `user:secret`.
pub(crate) const CREDENTIALS: &str = "Basic dXNlcjpzZWNyZXQ=";

/// The time at which every test begins.
const NOW: Millis = 1_777_593_600_000;

pub(crate) struct Harness {
    pub(crate) store: Arc<Sqlite>,
    pub(crate) meddler: Arc<Meddler>,
    router: Router,
    remade: (Config, Parts),
    now: Arc<AtomicI64>,
    folder: TempDir,
}

/// An answer.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

struct NothingToSee;

#[async_trait]
impl View for NothingToSee {
    fn render(&self, _: &InstanceId, spec: &Spec) -> Result<Vec<RenderedLine>, Vec<String>> {
        let name = spec.parameters.service.to_string();
        let resource = json!({"upstream": spec.parameters.to_json()["upstream"]});
        Ok(vec![RenderedLine { type_url: "t".to_owned(), name, resource }])
    }
    async fn check(&self, _: &InstanceId, spec: &Spec) -> Result<(), String> {
        let is_meta = spec.parameters.to_json()["upstream"] == "http://169.254.169.254";
        if is_meta { Err("the metadata service is nobody's upstream".to_owned()) } else { Ok(()) }
    }
    fn steps(&self, operation: &Operation) -> Vec<StepRecord> {
        vec![StepRecord::new("dns", format!("Making records ({:?})", operation.kind))]
    }
    fn fleet(&self) -> FleetSummary {
        FleetSummary {
            revision: 0,
            instances: 0,
            quarantined: 0,
            removals_held: 0,
            ahead: Vec::new(),
            regions: Vec::new(),
            proxies: Vec::new(),
        }
    }
    async fn proxy(&self, id: &str) -> Option<ProxyDetail> {
        let line = ProxyLine {
            id: id.to_owned(),
            group: "default".to_owned(),
            region: String::new(),
            envoy_version: "1.40.0".to_owned(),
            state: "live".to_owned(),
            replica: None,
            connected_at: 0,
            canary: false,
            lacks: 0,
            refuses: Vec::new(),
            seen_at: None,
            version: None,
        };
        let (resources, differs) = (BTreeMap::new(), Vec::new());
        let detail = ProxyDetail { proxy: line, resources, differs, more: 0, unknown: None };
        (id == "here").then_some(detail)
    }
    async fn standing(&self, _: &InstanceId) -> Option<Standing> {
        Some(Standing {
            revision: 1,
            served: Some(1),
            quarantine: None,
            notices: Vec::new(),
            proxies: Some(Coverage { have: 2, ready: 3 }),
        })
    }
    async fn sources(&self) -> Result<Vec<SourceLine>, StoreError> {
        Ok(Vec::new())
    }
    async fn records(&self) -> Result<Vec<RecordLine>, String> {
        Ok(Vec::new())
    }
}

#[async_trait]
impl Keeper for NothingToSee {
    async fn backup(&self, _: Option<keys::Secret>) -> Result<BackupFile, String> {
        let content = Box::pin(std::io::Cursor::new(b"a backup"));
        Ok(BackupFile { bytes: 8, content })
    }
    async fn confirm_removals(&self, _: Millis, _: AuditEntry) -> Result<LetGo, StoreError> {
        Ok(LetGo { instances: 1, proxies: 2 })
    }
}

#[async_trait]
impl Prover for NothingToSee {
    async fn look(&self, _: &store::Proof) -> Result<bool, StoreError> {
        Ok(true)
    }
}

fn rollout(by: String) -> RolloutLine {
    RolloutLine {
        id: 1,
        from: 3,
        to: 4,
        by,
        state: "proving".to_owned(),
        paused: false,
        stages: Vec::new(),
        stage: 0,
        reason: None,
        notes: Vec::new(),
        started_at: 0,
        ended_at: None,
    }
}

#[async_trait]
impl Rollouts for NothingToSee {
    async fn plan(&self, wish: RolloutWish) -> Result<RolloutPlan, RolloutRefused> {
        let to = wish.edition.ok_or_else(|| RolloutRefused::Refused("no template".to_owned()))?;
        Ok(RolloutPlan {
            from: 3,
            to,
            groups: 1,
            judges: Vec::new(),
            unheard: Vec::new(),
            instances: 0,
            refused: Vec::new(),
            refused_count: 0,
            refused_already: 0,
            unjudged: 0,
            changed: Vec::new(),
            changed_count: 0,
            resources: Vec::new(),
            samples: Vec::new(),
        })
    }
    async fn start(&self, wish: RolloutWish, asked: Asked) -> Result<RolloutLine, RolloutRefused> {
        match wish.edition {
            Some(999) => Err(RolloutRefused::Unknown("there is no edition 999".to_owned())),
            _ => Ok(rollout(format!("{} {}", asked.by, asked.entry.action))),
        }
    }
    async fn pause(&self, is_paused: bool, asked: Asked) -> Result<RolloutLine, RolloutRefused> {
        match is_paused {
            true => Ok(rollout(asked.entry.action)),
            false => Err(RolloutRefused::Conflict("no roll-out is under way".to_owned())),
        }
    }
    async fn revert(&self, to: Option<u64>, asked: Asked) -> Result<RolloutLine, RolloutRefused> {
        Ok(RolloutLine { to: to.unwrap_or(3), ..rollout(asked.entry.action) })
    }
    async fn status(&self) -> Result<RolloutStatus, RolloutRefused> {
        let given = vec![GivenLine { groups: "*".to_owned(), edition: 3 }];
        Ok(RolloutStatus {
            given,
            offered: None,
            sources: Vec::new(),
            trouble: None,
            rollout: None,
            editions: Vec::new(),
        })
    }
    async fn list(&self) -> Result<Vec<RolloutLine>, RolloutRefused> {
        Ok(vec![rollout("ann".to_owned())])
    }
}

/// An authority of these tests.
fn joining(store: &Arc<Sqlite>) -> Joining {
    let domain = "edge.example".parse().expect("a domain");
    let (certificate, key) = Authority::make(&domain, [7; 16], NOW).expect("an authority");
    let authority = Authority::load(certificate, &key).expect("it is loaded");
    let listener = Listener {
        address: "127.0.0.1:18000".to_owned(),
        authority: authority.pem().to_owned(),
        server_name: domain.server(),
    };
    let authority = Arc::new(authority);
    let listener: broker::Told = Arc::new(move || listener.clone());
    Joining { nodes: Arc::<Sqlite>::clone(store), authority, life: 24 * 60 * 60 * 1000, listener }
}

impl Harness {
    pub(crate) fn new() -> Self {
        Self::with_pages(None)
    }

    /// On a disk of so many pages of 4 KiB.
    pub(crate) fn with_pages(pages_max: Option<u32>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let now = Arc::new(AtomicI64::new(NOW));
        let ticking = Arc::clone(&now);
        let clock: Arc<dyn Fn() -> Millis + Send + Sync> =
            Arc::new(move || ticking.fetch_add(1, Ordering::Relaxed));
        let options = Options { pages_max, ..Options::new(Arc::clone(&clock)) };
        let store = Arc::new(Sqlite::open(folder.path().join("store.db"), options).expect("opens"));
        let ids = AtomicU64::new(0);
        let drawn = AtomicU64::new(0);
        let random = move || {
            let mut bytes = [7; 32];
            let number = drawn.fetch_add(1, Ordering::Relaxed);
            bytes[..8].copy_from_slice(&number.to_be_bytes());
            bytes
        };
        let new_id = move || {
            let number = ids.fetch_add(1, Ordering::Relaxed);
            format!("op-{number:06}").parse().expect("an id")
        };
        let meddler = Arc::new(Meddler::new(Arc::clone(&store)));
        let parts = Parts {
            store: Arc::<Meddler>::clone(&meddler),
            search: Arc::<Sqlite>::clone(&store),
            contexts: Arc::<Sqlite>::clone(&store),
            teams: Arc::<Sqlite>::clone(&store),
            proofs: Arc::<Sqlite>::clone(&store),
            prover: Arc::new(NothingToSee),
            audit: Arc::<Sqlite>::clone(&store),
            operators: Arc::<Sqlite>::clone(&store),
            bindings: Arc::<Sqlite>::clone(&store),
            vault: Arc::new(Counting::new()),
            rollouts: Arc::new(NothingToSee),
            keeper: Arc::new(NothingToSee),
            credentials: Arc::<Sqlite>::clone(&store),
            sessions: Arc::<Sqlite>::clone(&store),
            login: None,
            joining: Some(joining(&store)),
            random: Arc::new(random),
            view: Arc::new(NothingToSee),
            clock,
            new_id: Arc::new(new_id),
        };
        let config = Config {
            username: "user".to_owned(),
            password: Password::new("secret".to_owned()),
            zone: "edge.example".to_owned(),
            edge: Edge { is_tls: false, internal_port: 11080, public_port: 10080 },
            quota: model::Quota::default(),
            zones: Arc::default(),
            console: Some("https://console.example".to_owned()),
            maintenance: maintenance("1.2.3"),
            polling: Duration::from_secs(3600),
        };
        let remade = (config.clone(), parts.clone());
        let router = broker::router(config, parts);
        Self { store, meddler, router, remade, now, folder }
    }

    /// The same platform, started again at another version.
    pub(crate) fn at_version(mut self, version: &str) -> Self {
        self.remade.0.maintenance = maintenance(version);
        self.router = broker::router(self.remade.0.clone(), self.remade.1.clone());
        self
    }

    /// The same platform, started again with these limits of a team.
    pub(crate) fn with_quota(mut self, quota: model::Quota) -> Self {
        self.remade.0.quota = quota;
        self.router = broker::router(self.remade.0.clone(), self.remade.1.clone());
        self
    }

    /// The same platform, started again with these zones that everybody may be public below.
    pub(crate) fn with_zones(mut self, zones: &[&str]) -> Self {
        self.remade.0.zones = zones.iter().map(|zone| zone.parse().expect("a zone")).collect();
        self.router = broker::router(self.remade.0.clone(), self.remade.1.clone());
        self
    }

    /// All that is on the disk, byte for byte: the store and its log.
    pub(crate) fn files(&self) -> [Vec<u8>; 2] {
        ["store.db", "store.db-wal"]
            .map(|name| std::fs::read(self.folder.path().join(name)).expect("a file"))
    }

    /// Any request with these headers, and one that every answer must echo.
    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        request = request.header("x-broker-api-request-identity", "r-1");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body.into()).expect("a request");
        let response = self.router.clone().oneshot(request).await.expect("answers");
        let (parts, body) = response.into_parts();
        let echo = parts.headers.get("x-broker-api-request-identity");
        assert_eq!(echo.expect("an echo"), "r-1", "{method} {path}");
        assert!(parts.headers.contains_key("x-request-id"), "{method} {path}");
        let bytes = body.collect().await.expect("a body").to_bytes();
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Answer { status: parts.status.as_u16(), headers: parts.headers, body }
    }

    /// Now.
    pub(crate) fn now(&self) -> Millis {
        self.now.load(Ordering::Relaxed)
    }

    /// Lets so much time pass.
    pub(crate) fn pass(&self, millis: i64) {
        self.now.fetch_add(millis, Ordering::Relaxed);
    }

    /// A request with this `Authorization`; empty: without.
    pub(crate) async fn call_as(
        &self,
        authorization: &str,
        method: &str,
        path: &str,
        body: Option<Value>,
    ) -> Answer {
        let mut headers =
            vec![("x-broker-api-version", "2.17"), ("content-type", "application/json")];
        if !authorization.is_empty() {
            headers.push(("authorization", authorization));
        }
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        self.send(method, path, &headers, body).await
    }

    /// A request as a platform sends it.
    pub(crate) async fn call(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        let headers = [
            ("authorization", CREDENTIALS),
            ("x-broker-api-version", "2.17"),
            ("content-type", "application/json"),
        ];
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        self.send(method, path, &headers, body).await
    }

    /// What a worker would do: carries the waiting operation out, or makes it fail.
    pub(crate) async fn work(&self, succeeds: bool) {
        let held = self.begin().await;
        let writes = match (held.operation.kind, succeeds) {
            (OperationKind::Provision | OperationKind::Update, true) => vec![held.publish()],
            (OperationKind::Provision, false) => {
                vec![Write::ReleaseAll, Write::State(InstanceState::Failed)]
            }
            (OperationKind::Deprovision, true) => {
                vec![Write::Unpublish, Write::ReleaseAll, Write::State(InstanceState::Deleted)]
            }
            (_, false) => vec![],
        };
        self.end(held, succeeds, writes).await;
    }

    /// Takes the waiting operation.
    pub(crate) async fn begin(&self) -> Held {
        let now = self.now.load(Ordering::Relaxed);
        let lease = self.store.lease(now, Duration::from_secs(30)).await.expect("leases");
        let lease = lease.expect("a job waits");
        let operation = self.store.operation(&lease.job.operation_id).await.expect("reads");
        Held { operation: operation.expect("exists"), fence: lease.fence }
    }

    /// Commits `writes` with the operation still in progress.
    pub(crate) async fn step(&self, held: &mut Held, writes: Vec<Write>) {
        held.operation.revision = self.try_step(held, writes).await.expect("saves");
    }

    /// The same, for one who may have lost the operation.
    pub(crate) async fn try_step(
        &self,
        held: &Held,
        writes: Vec<Write>,
    ) -> Result<Option<u64>, StoreError> {
        let (fence, now) = (held.fence.clone(), self.now.load(Ordering::Relaxed));
        self.store.save(Save { fence, operation: held.operation.clone(), writes, now }).await
    }

    /// Gives back an operation that was taken, or says that what was done under it has ended.
    pub(crate) async fn give_back(&self, held: Held) {
        let now = self.now.load(Ordering::Relaxed);
        self.store.release(&held.fence, now).await.expect("releases");
    }

    /// Ends an operation.
    pub(crate) async fn end(&self, mut held: Held, succeeds: bool, writes: Vec<Write>) {
        let now = self.now.load(Ordering::Relaxed);
        let state = if succeeds { OperationState::Succeeded } else { OperationState::Failed };
        held.operation.state = state;
        held.operation.error = (!succeeds).then(|| "the cloud said no".to_owned());
        held.operation.finished_at = Some(now);
        let save = Save { fence: held.fence, operation: held.operation, writes, now };
        self.store.save(save).await.expect("saves");
    }
}

/// What everything is rendered with.
pub(crate) fn maintenance(version: &str) -> Maintenance {
    Maintenance { version: version.to_owned(), description: "as it is now".to_owned() }
}

/// An operation that a worker has taken.
pub(crate) struct Held {
    pub(crate) operation: Operation,
    fence: Fence,
}

impl Held {
    /// Its commit.
    pub(crate) fn publish(&self) -> Write {
        Write::Publish(self.operation.target.clone().expect("a target"))
    }
}

/// An envelope for a service with one hostname.
pub(crate) fn envelope(plan: &str, service: &str, hostname: &str) -> Value {
    let plan = if plan == "public" { PLAN_PUBLIC_ID } else { PLAN_INTERNAL_ID };
    json!({
        "service_id": SERVICE_ID, "plan_id": plan,
        "organization_guid": "org", "space_guid": "team-x",
        "parameters": {
            "service": service, "upstream": "http://web.internal:8080", "hostnames": [hostname],
        },
    })
}

/// The path of an instance's change.
pub(crate) fn path(id: &str) -> String {
    format!("/v2/service_instances/{id}?accepts_incomplete=true")
}

/// The path of an instance's deprovision.
pub(crate) fn delete_path(id: &str) -> String {
    format!("{}&service_id={SERVICE_ID}&plan_id={PLAN_INTERNAL_ID}", path(id))
}
