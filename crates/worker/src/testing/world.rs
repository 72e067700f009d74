//! A world in which operations are carried out: the store's model, a cloud and a fleet that can be
//! told to fail, a clock that only tests move; and what one can see of it from outside.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt;
use model::descriptor::{Auth, HeaderRules};
use model::{
    Exposure, Hostname, Instance, InstanceId, InstanceState, Millis, Operation, OperationId,
    OperationKind, OperationState, Owner, Parameters, Plan, Requester, Spec,
};
use store::{Accept, Accepted, Lease, Queue, Store, StoreError};

use super::memory::Memory;
use crate::carry::{Left, Pipelines, Watch, carry};
use crate::{Cloud, CloudError, Convergence, Fleet, Holdings, Limits, Pipeline, Ports, Record};

pub(crate) const LEASE: Duration = Duration::from_secs(30);

/// Records as they are, and every call that was made.
#[derive(Default)]
pub(crate) struct TestCloud {
    pub(crate) records: Mutex<BTreeMap<Hostname, Record>>,
    /// What each token was used for: an effect may be repeated, a token may not be reused.
    tokens: Mutex<BTreeMap<String, String>>,
    serving: Arc<Mutex<BTreeMap<InstanceId, Spec>>>,
    /// What was done that may never be done. Kept, because a panic here would be a failed step.
    pub(crate) wrongs: Mutex<Vec<String>>,
}

impl TestCloud {
    fn effect(&self, token: &str, what: String) {
        let mut tokens = lock(&self.tokens);
        let before = tokens.entry(token.to_owned()).or_insert_with(|| what.clone());
        if *before != what {
            lock(&self.wrongs).push(format!("the token {token} was used for two effects"));
        }
    }

    /// Law 1: what proxies serve has its records, as wide as it is served.
    fn check(&self) {
        let records = lock(&self.records);
        for (id, spec) in lock(&self.serving).iter() {
            for name in &spec.hostnames {
                let record = records.get(name);
                let leads = record.is_some_and(|r| {
                    r.instance == *id && r.exposure >= crate::holdings::exposure(spec.plan)
                });
                if !leads {
                    let plan = spec.plan;
                    let wrong = format!("{id} is served at {name} as {plan:?}, DNS: {record:?}");
                    lock(&self.wrongs).push(wrong);
                }
            }
        }
    }
}

#[async_trait]
impl Cloud for TestCloud {
    async fn upsert_record(&self, token: &str, record: &Record) -> Result<(), CloudError> {
        self.effect(token, format!("{record:?}"));
        let mut records = lock(&self.records);
        match records.get(&record.hostname) {
            Some(found) if found.instance != record.instance => {
                return Err(CloudError::Permanent("the record is another's".into()));
            }
            _ => records.insert(record.hostname.clone(), record.clone()),
        };
        drop(records);
        self.check();
        Ok(())
    }

    async fn delete_record(
        &self,
        token: &str,
        hostname: &Hostname,
        instance: &InstanceId,
    ) -> Result<(), CloudError> {
        self.effect(token, format!("no {hostname} of {instance}"));
        lock(&self.records).retain(|name, record| name != hostname || record.instance != *instance);
        self.check();
        Ok(())
    }

    async fn record(&self, hostname: &Hostname) -> Result<Option<Record>, CloudError> {
        Ok(lock(&self.records).get(hostname).cloned())
    }
}

/// How the proxies take what is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    Follows,
    Rejects,
    Lags,
}

pub(crate) struct TestFleet {
    store: Arc<Memory>,
    clock: Arc<AtomicI64>,
    pub(crate) mood: Mutex<Mood>,
    /// What the proxies really serve: the last that they followed.
    pub(crate) serving: Arc<Mutex<BTreeMap<InstanceId, Spec>>>,
}

#[async_trait]
impl Fleet for TestFleet {
    async fn check(&self, _instance: &InstanceId, _spec: &Spec) -> Result<(), String> {
        Ok(())
    }

    async fn converged(&self, id: &InstanceId, revision: u64, within: Duration) -> Convergence {
        let published = self.store.state().published.get(id).cloned();
        let published = published.expect("only what was published is waited for");
        assert_eq!(published.revision, revision);
        let mood = if published.spec.is_none() { Mood::Follows } else { *lock(&self.mood) };
        match mood {
            Mood::Follows => {
                let mut serving = lock(&self.serving);
                match published.spec {
                    Some(spec) => serving.insert(id.clone(), spec),
                    None => serving.remove(id),
                };
                Convergence::Live { proxies: 1, notice: None }
            }
            Mood::Rejects => Convergence::Rejected { reason: "a proxy refused it".into() },
            Mood::Lags => {
                self.clock.fetch_add(crate::config::millis(within), Ordering::Relaxed);
                Convergence::Behind { have: 0, ready: 1, why: "proxy a is silent".into() }
            }
        }
    }
}

pub(crate) struct World {
    pub(crate) store: Arc<Memory>,
    pub(crate) cloud: Arc<TestCloud>,
    pub(crate) fleet: Arc<TestFleet>,
    pub(crate) clock: Arc<AtomicI64>,
    pub(crate) limits: Limits,
    operations: AtomicU32,
}

/// All that a user, an operator or a proxy can see of an instance.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Seen {
    pub(crate) state: Option<InstanceState>,
    pub(crate) claims: Vec<Hostname>,
    pub(crate) records: Vec<(Hostname, Exposure)>,
    pub(crate) published: Option<Spec>,
    pub(crate) served: Option<Spec>,
}

/// What is asked of an instance: to be so, or not to be.
pub(crate) type Wish = Option<Spec>;

impl World {
    pub(crate) fn new() -> Self {
        let (store, clock) = (Arc::new(Memory::default()), Arc::new(AtomicI64::new(1_000_000)));
        let serving = Arc::new(Mutex::new(BTreeMap::new()));
        let cloud = TestCloud { serving: serving.clone(), ..TestCloud::default() };
        let fleet = TestFleet {
            store: store.clone(),
            clock: clock.clone(),
            mood: Mutex::new(Mood::Follows),
            serving,
        };
        let (cloud, fleet, limits) = (Arc::new(cloud), Arc::new(fleet), Limits::default());
        Self { store, cloud, fleet, clock, limits, operations: AtomicU32::new(0) }
    }

    pub(crate) fn ports(&self) -> Ports {
        let clock = self.clock.clone();
        Ports {
            store: self.store.clone(),
            queue: self.store.clone(),
            cloud: self.cloud.clone(),
            fleet: self.fleet.clone(),
            clock: Arc::new(move || clock.load(Ordering::Relaxed)),
            jitter: Arc::new(|| 0.5),
        }
    }

    pub(crate) fn now(&self) -> Millis {
        self.clock.load(Ordering::Relaxed)
    }

    pub(crate) fn pass(&self, millis: Millis) {
        self.clock.fetch_add(millis, Ordering::Relaxed);
    }

    pub(crate) fn mood(&self, mood: Mood) {
        *lock(&self.fleet.mood) = mood;
    }

    /// Does what the broker does.
    pub(crate) fn accept(&self, id: &InstanceId, wish: &Wish) -> Operation {
        self.accept_over(id, wish, None)
    }

    /// The same, in place of an operation in progress.
    pub(crate) fn accept_over(
        &self,
        id: &InstanceId,
        wish: &Wish,
        older: Option<&Operation>,
    ) -> Operation {
        self.pass(1);
        let number = self.operations.fetch_add(1, Ordering::Relaxed);
        let instance = self.store.state().instances.get(id).cloned();
        let name = format!("operation-{number}");
        let mut accept = request(&name, id, instance.as_ref(), wish, self.now());
        accept.over = older.map(|older| older.id.clone());
        let operation = accept.operation.clone();
        let expected = instance.map(|instance| instance.updated_at);
        let accepted = now(self.store.accept(accept, expected)).expect("accepts");
        assert_eq!(accepted, Accepted::Yes);
        operation
    }

    /// Accepts what an operator forces.
    pub(crate) fn accept_forced(&self, id: &InstanceId) -> Operation {
        let mut operation = self.accept(id, &None);
        operation.force = true;
        let mut state = self.store.state();
        let stored = state.operations.iter_mut().find(|stored| stored.id == operation.id);
        stored.expect("it was accepted").force = true;
        operation
    }

    pub(crate) fn find(&self, id: &OperationId) -> Operation {
        now(self.store.operation(id)).expect("reads").expect("is there")
    }

    /// The latest operation of an instance.
    pub(crate) fn latest(&self, id: &InstanceId) -> Operation {
        now(self.store.operations(id, 1)).expect("reads").remove(0)
    }

    /// Gives a lease back, or tells that nothing is done under it any more.
    pub(crate) fn release(&self, lease: &Lease) {
        now(self.store.release(&lease.fence, self.now())).expect("releases");
    }

    pub(crate) fn lease(&self) -> Option<Lease> {
        now(self.store.lease(self.now(), LEASE)).expect("leases")
    }

    /// Carries out one lease. `None`: the worker broke off in the middle.
    pub(crate) fn carry(
        &self,
        lease: &Lease,
        pipelines: &Pipelines,
    ) -> Option<Result<Left, StoreError>> {
        let (ports, watch) = (self.ports(), Watch::default());
        carry(&ports, &self.limits, pipelines, lease, &watch).now_or_never()
    }

    /// Lets workers come and go until the operation has ended.
    pub(crate) fn finish(&self, operation: &Operation, pipelines: &Pipelines) -> Operation {
        for _ in 0..1000 {
            let state = now(self.store.operation(&operation.id)).expect("reads").expect("is there");
            if state.state != OperationState::InProgress {
                assert!(self.store.state().jobs.is_empty(), "an ended operation has no job");
                assert_eq!(*lock(&self.cloud.wrongs), Vec::<String>::new());
                return state;
            }
            let Some(lease) = self.lease() else {
                self.pass(10_000);
                continue;
            };
            if let Some(Ok(Left::Until(at))) = self.carry(&lease, pipelines) {
                now(self.store.release(&lease.fence, at)).expect("releases");
            }
        }
        panic!("{} does not end", operation.id);
    }

    /// Accepts and carries out, with nothing in the way.
    pub(crate) fn wish(&self, id: &InstanceId, wish: &Wish) -> Operation {
        let operation = self.accept(id, wish);
        self.finish(&operation, &plain)
    }

    pub(crate) fn see(&self, id: &InstanceId) -> Seen {
        let state = self.store.state();
        let records = lock(&self.cloud.records);
        let mine = |(name, r): (&Hostname, &Record)| {
            (r.instance == *id).then(|| (name.clone(), r.exposure))
        };
        Seen {
            state: state.instances.get(id).map(|instance| instance.state),
            claims: state.claims.iter().filter(|(_, c)| c.0 == *id).map(|c| c.0.clone()).collect(),
            records: records.iter().filter_map(mine).collect(),
            published: state.published.get(id).and_then(|published| published.spec.clone()),
            served: lock(&self.fleet.serving).get(id).cloned(),
        }
    }
}

impl Seen {
    /// What one should see of an instance for which this was asked.
    pub(crate) fn asked(wish: &Wish) -> Self {
        let Some(spec) = wish else {
            let state = Some(InstanceState::Deleted);
            return Self { state, claims: vec![], records: vec![], published: None, served: None };
        };
        let exposure = crate::holdings::exposure(spec.plan);
        Self {
            state: Some(InstanceState::Ready),
            claims: spec.hostnames.clone(),
            records: spec.hostnames.iter().map(|name| (name.clone(), exposure)).collect(),
            published: Some(spec.clone()),
            served: Some(spec.clone()),
        }
    }
}

/// The pipelines as they are.
pub(crate) fn plain(operation: &Operation, held: Holdings, limits: Limits) -> Pipeline {
    Pipeline::of(operation.kind, held, limits)
}

/// What is ready at once, as everything in this world is.
pub(crate) fn now<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("nothing here waits")
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn id(text: &str) -> InstanceId {
    text.parse().expect("an id")
}

pub(crate) fn spec(plan: Plan, hostnames: &[&str]) -> Spec {
    let hostnames: Vec<Hostname> =
        hostnames.iter().map(|name| name.parse().expect("a hostname")).collect();
    let parameters = Parameters {
        service: "shop".parse().expect("a name"),
        upstream: None,
        hostnames: hostnames.clone(),
        routes: vec![],
        upstreams: BTreeMap::new(),
        request_headers: HeaderRules::default(),
        response_headers: HeaderRules::default(),
        auth: Auth::None,
    };
    Spec { plan, parameters, hostnames }
}

/// What a broker asks the store to accept.
pub(crate) fn request(
    name: &str,
    id: &InstanceId,
    instance: Option<&Instance>,
    wish: &Wish,
    now: Millis,
) -> Accept {
    let spec = wish.clone().or(instance.map(|instance| instance.spec.clone()));
    Accept::new(
        operation(name, id, instance, wish, now),
        fresh(id, spec.expect("only what was is deleted"), now),
        wish.as_ref().map_or(vec![], |spec| spec.hostnames.clone()),
    )
}

fn fresh(id: &InstanceId, spec: Spec, now: Millis) -> Instance {
    Instance {
        id: id.clone(),
        owner: Owner { organization: "o".into(), space: "s".into() },
        platform_context: serde_json::json!({}),
        state: InstanceState::Provisioning,
        spec,
        revision: None,
        created_at: now,
        updated_at: now,
    }
}

fn operation(
    name: &str,
    id: &InstanceId,
    instance: Option<&Instance>,
    wish: &Wish,
    now: Millis,
) -> Operation {
    let gone = |i: &&Instance| matches!(i.state, InstanceState::Deleted | InstanceState::Failed);
    let kind = match (instance, wish) {
        (_, None) => OperationKind::Deprovision,
        (Some(i), Some(_)) if !gone(&i) => OperationKind::Update,
        _ => OperationKind::Provision,
    };
    let previous = instance.filter(|_| kind != OperationKind::Provision).map(|i| i.spec.clone());
    let by =
        Requester { credential: "c".into(), originating_identity: None, request_identity: None };
    let fresh = Operation::new(name.parse().expect("an id"), id.clone(), kind, by, now);
    Operation { target: wish.clone(), previous, ..fresh }
}
