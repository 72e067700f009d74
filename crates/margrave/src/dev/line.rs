//! The line from the store to the resources, put together from the crates that it is made of.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, anyhow};
use context::{AddressPolicy, Poller, Resolver, SystemLookup};
use model::OperationId;
use plane::{Content, Ledger, Opening, OpeningError, Plane, Rollouts};
use render::{Complaint, Platform, Sources, Templates};
use store::sqlite::{GoodFile, Options, Sqlite};
use store::{Audit, Bindings, Blobs, Feed, LastGood, Recovery, Teams};
use uuid::Uuid;
use worker::Worker;
use worker::cloud::LocalCloud;

use super::adapters::{PlaneFleet, PlaneView};
use super::agreed::{self, Agreed};
use super::good;
use super::keeper::Keeper;
use super::manner::Manner;
use super::others::Others;
use super::pages;
use super::rollouts::PlaneRollouts;
use super::templates::Configured;
use super::vault::{Documents, Vault};
use crate::config::{AccessLog, Config, Credentials, Envoy, Listen};
use crate::gate::Gate;
use crate::proof::Prover;
use crate::state::{Replica, State};
use crate::{clock, envoy};

/// The parts of the line that live behind no port of their own.
pub struct Line {
    /// What answers developers and platforms.
    pub broker: axum::Router,
    /// Pages for people.
    pub console: axum::Router,
    /// Documents that templates see.
    pub sources: Poller,
    /// The control plane.
    pub plane: Arc<Plane>,
    /// What is rendered with, as configured.
    pub configured: Configured,
    /// What decides which groups have what.
    pub rollouts: Arc<Rollouts>,
    /// What carries out operations.
    pub worker: Worker,
    /// What happened.
    pub audit: Arc<dyn Audit>,
    /// Teams and their names.
    pub teams: Arc<dyn Teams>,
    /// Who may call.
    pub bindings: Arc<dyn Bindings>,
    /// What keeps their keys.
    pub vault: Arc<Vault>,
    /// What looks for proofs of hostnames.
    pub prover: Arc<Prover>,
    /// Who may ask for configuration, where xDS speaks TLS.
    pub gate: Option<Arc<Gate>>,
    /// What other replicas tell.
    pub others: Arc<Others>,
}

/// Opens the store and builds the rest upon it.
pub async fn build(
    config: &Config,
    manner: &Manner,
    credentials: &Credentials,
    listen: &Listen,
    (state, replica): (&State, &Replica),
) -> anyhow::Result<Line> {
    let clock: store::Clock = Arc::new(clock::now);
    let store = Arc::new(open(state, &clock)?);
    manner.claim(&*store).await?;
    let blobs: Arc<dyn Blobs> = Arc::<Sqlite>::clone(&store);
    let vault = vault(state, &store).await?;
    let Rendering { plane, configured, rollouts, version } =
        rendering(config, manner, listen, (state, replica), (&store, &vault)).await?;
    let sources = super::sources::poller(config, &store, &vault)?;
    let cloud = Arc::new(LocalCloud::new(Arc::clone(&blobs)));
    let others = Others::new(replica.name());
    let (shown, told) = (Arc::clone(&plane), Arc::clone(&others));
    let local = Arc::clone(&cloud);
    let state_of = state.clone();
    let view =
        Arc::new(PlaneView { plane: shown, cloud: local, blobs, others: told, state: state_of });
    let console = pages::router(config, listen, &store, Arc::clone(&view));
    let bindings: Arc<dyn Bindings> = Arc::<Sqlite>::clone(&store);
    let gate = Gate::open(config, listen, &store, &vault).await?;
    let prover = prover(config, &store);
    let parts = broker::Parts {
        store: Arc::<Sqlite>::clone(&store),
        search: Arc::<Sqlite>::clone(&store),
        contexts: Arc::<Sqlite>::clone(&store),
        bindings: Arc::clone(&bindings),
        vault: Arc::<Vault>::clone(&vault),
        teams: Arc::<Sqlite>::clone(&store),
        proofs: Arc::<Sqlite>::clone(&store),
        audit: Arc::<Sqlite>::clone(&store),
        operators: Arc::<Sqlite>::clone(&store),
        rollouts: Arc::new(PlaneRollouts(Arc::clone(&rollouts))),
        keeper: Arc::new(keeper(&store, &plane, state)),
        prover: Arc::<Prover>::clone(&prover),
        credentials: Arc::<Sqlite>::clone(&store),
        sessions: Arc::<Sqlite>::clone(&store),
        joining: gate.as_ref().map(|gate| gate.joining()),
        login: super::login::of(config)?,
        random: Arc::new(rand::random),
        view,
        clock: Arc::clone(&clock),
        new_id: Arc::new(operation_id),
    };
    let settings = broker_config(config, credentials, listen, pages::url(config, listen), version);
    let broker = broker::router(settings, parts);
    let fleet = PlaneFleet(Arc::clone(&plane), Arc::clone(&others));
    let worker = worker(&store, cloud, fleet, clock);
    let teams: Arc<dyn Teams> = Arc::<Sqlite>::clone(&store);
    let audit: Arc<dyn Audit> = store;
    Ok(Line {
        broker,
        console,
        sources,
        plane,
        configured,
        rollouts,
        worker,
        audit,
        teams,
        bindings,
        vault,
        prover,
        gate,
        others,
    })
}

fn worker(
    store: &Arc<Sqlite>,
    cloud: Arc<LocalCloud>,
    fleet: PlaneFleet,
    clock: store::Clock,
) -> Worker {
    let (jobs, queue) = (Arc::<Sqlite>::clone(store), Arc::<Sqlite>::clone(store));
    let (fleet, jitter) = (Arc::new(fleet), Arc::new(chance));
    let ports = worker::Ports { store: jobs, queue, cloud, fleet, clock, jitter };
    Worker::new(ports, worker::Config::default())
}

/// The control plane, and what decides with what it renders.
struct Rendering {
    plane: Arc<Plane>,
    configured: Configured,
    rollouts: Arc<Rollouts>,
    version: String,
}

async fn rendering(
    config: &Config,
    manner: &Manner,
    listen: &Listen,
    (state, replica): (&State, &Replica),
    (store, vault): (&Arc<Sqlite>, &Arc<Vault>),
) -> anyhow::Result<Rendering> {
    let configured = configured(config, listen, state)?;
    let content = readable(&configured, store).await?;
    let ledger = Ledger { editions: &**store, blobs: &**store, vault: &**vault };
    let opening = Opening::read(ledger, &content, &config.rollout, clock::now()).await;
    let opening = opening.map_err(not_opened)?;
    let ground = Ground {
        feed: Arc::<Sqlite>::clone(store),
        blobs: Arc::<Sqlite>::clone(store),
        vault: Arc::<Vault>::clone(vault),
        restored_from: Recovery::restored_from(&**store).await?,
        last_good: good::open(replica),
    };
    let agreed = Agreed::of(config, listen);
    agreed.tell(&**store).await?;
    let plane = plane(opening.base(), agreed, manner, ground)?;
    judged(&plane, config, state.path())?;
    opening.give(&plane, &content);
    let (kept, policy) = (Arc::<Sqlite>::clone(store), config.rollout.clone());
    let rollouts = Rollouts::new(Arc::clone(&plane), kept, policy, Arc::new(clock::now));
    Ok(Rendering { plane, configured, rollouts, version: version(config, &content) })
}

/// What is rendered with, as configured. A folder that cannot be read is as one that does not compile: no
/// reason not to start with what groups had. It is looked at again once the plane runs, and told.
async fn readable(configured: &Configured, store: &Sqlite) -> anyhow::Result<Content> {
    let unreadable = match configured.content() {
        Ok(content) => return Ok(content),
        Err(error) => error,
    };
    let Some(kept) = agreed::given(store).await? else { return Err(unreadable) };
    tracing::error!("{unreadable:#}: what groups had last is used in their place");
    Ok(Content::new(kept.templates, configured.facts.clone()))
}

/// What is rendered with, as configured.
pub fn configured(config: &Config, listen: &Listen, state: &State) -> anyhow::Result<Configured> {
    let facts = platform(config, listen, access_log(config, state)?);
    Ok(Configured { folder: config.templates.clone(), facts })
}

/// What a control plane stands on.
pub struct Ground {
    /// What there is to serve.
    pub feed: Arc<dyn Feed>,
    /// Documents.
    pub blobs: Arc<dyn Blobs>,
    /// What opens their secrets.
    pub vault: Arc<dyn context::Vault>,
    /// See [`plane::Config::restored_from`].
    pub restored_from: Option<(u64, u64)>,
    /// What was good last.
    pub last_good: Option<GoodFile>,
}

/// The control plane upon a feed, as it is before it knows what groups are given.
pub fn plane(
    (templates, platform): (Templates, Platform),
    agreed: Agreed,
    manner: &Manner,
    ground: Ground,
) -> anyhow::Result<Arc<Plane>> {
    let Ground { feed, blobs, vault, restored_from, last_good } = ground;
    let Agreed { own, canaries, .. } = agreed;
    let policy = match manner.relaxed.loopback_upstreams {
        true => AddressPolicy::dev(own),
        false => AddressPolicy::strict(own),
    };
    let resolver = Resolver::new(Arc::new(SystemLookup), policy, Arc::new(chance));
    let settings = plane::Config {
        platform,
        templates,
        clock: Arc::new(clock::now),
        grace: plane::Config::GRACE,
        address_wait: plane::Config::ADDRESS_WAIT,
        restored_from,
        canaries,
        vault,
        last_good: last_good.map(|file| Arc::new(file) as Arc<dyn LastGood>),
    };
    let plane = Plane::new(settings, feed, blobs, resolver);
    plane.map_err(|complaints| unusable(&complaints))
}

async fn vault(state: &State, store: &Arc<Sqlite>) -> anyhow::Result<Arc<Vault>> {
    let documents =
        Documents { blobs: Arc::<Sqlite>::clone(store), leases: Arc::<Sqlite>::clone(store) };
    let (bindings, nodes) = (Arc::<Sqlite>::clone(store), Arc::<Sqlite>::clone(store));
    Ok(Arc::new(Vault::open(state.clone(), bindings, nodes, documents, clock::now()).await?))
}

/// Lets Envoys judge what a plane gives to proxies; what they are asked lies in this process's own
/// folder meanwhile.
pub fn judged(plane: &Plane, config: &Config, own: &Path) -> anyhow::Result<()> {
    let (judges, folder) = (&config.validators, own.join("validate"));
    let judges = envoy::validators(judges, &config.envoy, &folder, &crate::command::env)?;
    plane.validate_with(judges);
    Ok(())
}

fn open(state: &State, clock: &store::Clock) -> anyhow::Result<Sqlite> {
    let database = state.database();
    Sqlite::open(&database, Options::new(Arc::clone(clock)))
        .with_context(|| format!("cannot open the store {}", database.display()))
}

fn prover(config: &Config, store: &Arc<Sqlite>) -> Arc<Prover> {
    let (proofs, teams) = (Arc::<Sqlite>::clone(store), Arc::<Sqlite>::clone(store));
    Prover::new(proofs, teams, Arc::clone(&config.zones), config.servers.clone())
}

fn keeper(store: &Arc<Sqlite>, plane: &Arc<Plane>, state: &State) -> Keeper {
    Keeper {
        recovery: Arc::<Sqlite>::clone(store),
        plane: Arc::clone(plane),
        state: state.path().to_owned(),
        scratch: state.path().join("backup.tmp"),
        database: state.database(),
    }
}

fn broker_config(
    config: &Config,
    credentials: &Credentials,
    listen: &Listen,
    console_url: String,
    version: String,
) -> broker::Config {
    let limits = worker::Config::default().limits;
    broker::Config {
        username: credentials.username.clone(),
        password: broker::Password::new(credentials.password.clone()),
        zone: config.zone.clone(),
        edge: edge(config, listen),
        quota: config.quota,
        zones: Arc::clone(&config.zones),
        console: Some(console_url),
        maintenance: broker::Maintenance {
            description: "This release of Margrave with its templates".to_owned(),
            version,
        },
        polling: limits.deadline.max(limits.deadline_deprovision) + limits.converge,
    }
}

/// What everything is rendered with: the release, and templates in place of its own.
fn version(config: &Config, content: &Content) -> String {
    let release = env!("CARGO_PKG_VERSION");
    if config.templates.is_none() {
        return release.to_owned();
    }
    let hash = model::Version::hash_of(format!("{:?}", content.templates).as_bytes());
    format!("{release}+templates.{hash:016x}")
}

/// What clients call: the proxies, or the balancer in front of them, which ends TLS.
fn edge(config: &Config, listen: &Listen) -> broker::Edge {
    if config.trusted_hops > 0 {
        return broker::Edge { is_tls: true, internal_port: 443, public_port: 443 };
    }
    let (internal_port, public_port) = (listen.internal.port(), listen.public.port());
    broker::Edge { is_tls: false, internal_port, public_port }
}

/// UUIDs of version 7: they rise with time.
fn operation_id() -> OperationId {
    Uuid::now_v7().to_string().parse().expect("a UUID is an id")
}

/// In `0.0..1.0`, to spread what would otherwise happen at once.
fn chance() -> f64 {
    rand::random()
}

fn platform(config: &Config, listen: &Listen, access_log: Option<String>) -> Platform {
    Platform {
        zone: config.zone.clone(),
        internal: listen.internal,
        public: listen.public,
        trusted_hops: config.trusted_hops,
        on_demand: config.on_demand,
        shared_clusters: Vec::new(),
        shared_extensions: Vec::new(),
        sources: Sources::default(),
        // Behind a balancer clients know other ports than ours.
        direct: config.trusted_hops == 0,
        trusted_ca: config.trusted_ca.clone(),
        access_log,
    }
}

/// A path that Envoy understands whatever its working directory is.
fn access_log(config: &Config, state: &State) -> anyhow::Result<Option<String>> {
    let path = match &config.access_log {
        AccessLog::None => return Ok(None),
        // Proxies that start themselves may live where this path is nothing.
        AccessLog::State if config.envoy == Envoy::None => return Ok(None),
        AccessLog::State => envoy::access_log(state.path()),
        AccessLog::At(path) => path.clone(),
    };
    let path = std::path::absolute(path).context("the access log has no absolute path")?;
    let text = path.into_os_string().into_string();
    text.map(Some).map_err(|path| anyhow!("the access log's path is not UTF-8: {path:?}"))
}

fn not_opened(error: OpeningError) -> anyhow::Error {
    match error {
        OpeningError::Unusable(complaints) => unusable(&complaints),
        OpeningError::Store(error) => error.into(),
    }
}

/// Why templates cannot be used.
pub fn unusable(complaints: &[Complaint]) -> anyhow::Error {
    let lines = complaints.iter().map(|complaint| {
        let line = complaint.line.map_or(String::new(), |line| format!(":{line}"));
        format!("{}{line}: {}", complaint.template, complaint.message)
    });
    anyhow!("the templates cannot be used:\n{}", lines.collect::<Vec<_>>().join("\n"))
}
