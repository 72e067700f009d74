//! A replica of the control plane: it answers proxies, follows a store that another process writes,
//! and writes nothing there.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use metrics_exporter_prometheus::PrometheusHandle;
use plane::{Content, Plane};
use render::{Platform, Templates};
use store::sqlite::{Follower, OwnBlobs};
use store::{Blobs, Feed, SummaryFolder};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::agreed::{self, Agreed};
use super::good;
use super::line::{self, Ground};
use super::manner::Manner;
use super::opener::Opener;
use super::probes::{self, Check, Measured, Readiness};
use super::{others, placement, ports, questions};
use crate::config::{Config, Listen};
use crate::failure::Failure;
use crate::gate::entrance::Entrance;
use crate::runner::{self, Runner};
use crate::signals::Signals;
use crate::state::{Replica, ReplicaEndpoints, State};
use crate::{output, runners};

/// The name of a replica that was given none.
pub const NAME: &str = "plane";

/// What the runners of a replica are made of.
struct Parts {
    metrics: TcpListener,
    xds: TcpListener,
    listen: Listen,
    plane: Arc<Plane>,
    polling: plane::Polling,
    entrance: Option<Arc<Entrance>>,
    replica: Replica,
    summaries: Arc<SummaryFolder>,
    handle: PrometheusHandle,
    readiness: Arc<Readiness>,
}

/// Runs a replica until a signal.
pub async fn run(config: Config, manner: Manner) -> Result<(), Failure> {
    let signals = Signals::listen()?;
    let handle = probes::install_metrics()?;
    let state = State::at(&config.state);
    placement::check(state.path(), config.store.as_deref())?;
    let replica = state.replica(config.replica.as_deref().unwrap_or(NAME))?;
    let (metrics, xds, listen) = ports::take_replica(&config.listen)?;
    let store = Arc::new(Follower::new(config.store.clone().unwrap_or_else(|| state.database())));
    manner.may_read(&*store).await?;
    let last_good = good::open(&replica);
    let mut blobs: Arc<dyn Blobs> = Arc::<Follower>::clone(&store);
    if let Some(own) = last_good.clone() {
        blobs = Arc::new(OwnBlobs { store: blobs, own });
    }
    let vault: Arc<dyn context::Vault> = Arc::new(Opener::new(state.clone()));
    let entrance = Entrance::new(&config.xds_tls, &store, Arc::clone(&vault), &blobs);
    let feed: Arc<dyn Feed> = Arc::<Follower>::clone(&store);
    let ground = Ground { feed, blobs, vault, restored_from: None, last_good };
    let mine = Agreed::of(&config, &listen);
    let agreed = Agreed::at_replica(mine, &*store, &*ground.blobs).await?;
    let base = base(&config, &listen, &state, (&store, &ground.blobs)).await?;
    let plane = line::plane(base, agreed, &manner, ground)?;
    line::judged(&plane, &config, replica.path())?;
    plane.follow_editions(store);
    let readiness = readiness(&plane, entrance.as_ref());
    let polling = config.polling;
    let summaries = Arc::new(state.summaries());
    let parts = Parts {
        metrics,
        xds,
        listen,
        plane,
        polling,
        entrance,
        replica,
        summaries,
        handle,
        readiness,
    };
    Ok(runner::run(list(parts), signals.first()).await?)
}

/// What is rendered with at first: what the store says; where that never said anything, what is
/// configured.
async fn base(
    config: &Config,
    listen: &Listen,
    state: &State,
    (store, memory): (&Arc<Follower>, &Arc<dyn Blobs>),
) -> anyhow::Result<(Templates, Platform)> {
    let compiled = |content: Content| {
        Templates::compile(&content.templates).map(|templates| (templates, content.facts))
    };
    // What a newer release has kept may be nothing to this one.
    let kept = agreed::base(&**store, &**memory).await.and_then(|kept| compiled(kept).ok());
    match kept {
        Some(kept) => Ok(kept),
        None => compiled(line::configured(config, listen, state)?.content()?)
            .map_err(|complaints| line::unusable(&complaints)),
    }
}

/// Whether its proxies are answered.
fn readiness(plane: &Arc<Plane>, entrance: Option<&Arc<Entrance>>) -> Arc<Readiness> {
    let mut checks: Vec<(&'static str, Check)> = vec![("plane", check(plane))];
    checks.extend(entrance.map(|entrance| {
        let entrance = Arc::clone(entrance);
        let check: Check = Box::new(move || entrance.check());
        ("xds", check)
    }));
    Readiness::new(checks)
}

/// Says whether a plane has read the store.
pub fn check(plane: &Arc<Plane>) -> Check {
    let plane = Arc::clone(plane);
    Box::new(move || plane.ready().then_some(()).ok_or_else(|| "reading the store".to_owned()))
}

/// The list.
fn list(parts: Parts) -> Vec<Runner> {
    let Parts { metrics, listen, replica, summaries, handle, readiness, .. } = parts;
    let Parts { xds, plane, polling, entrance, .. } = parts;
    let (told, name) = (Arc::clone(&plane), replica.name().to_owned());
    let answering = match entrance {
        None => runners::xds(xds, &plane, polling, None),
        Some(entrance) => guarded(xds, &plane, polling, entrance),
    };
    let ready = Arc::clone(&readiness);
    let measured = Measured { recorded: handle, others: None };
    let mut list = vec![runners::probing(metrics, measured, readiness), runners::planning(plane)];
    list.extend(answering);
    let (reads, writes) = ("questions about its proxies", "answers");
    let (asked, socket) = (Arc::clone(&told), replica.questions());
    list.push(Runner::new("questions", reads, writes, |stop| {
        questions::answer(asked, socket, stop)
    }));
    list.push(Runner::new("summary", "how the proxies here stand", "its summary", |stop| {
        others::tell(told, summaries, name, stop)
    }));
    list.push(Runner::new("ready", "whether all are ready", "endpoints.json", |stop| {
        announce(replica, listen, ready, stop)
    }));
    list
}

/// Answers proxies that have joined.
fn guarded(
    listener: TcpListener,
    plane: &Arc<Plane>,
    polling: plane::Polling,
    entrance: Arc<Entrance>,
) -> Vec<Runner> {
    let proxies = runners::discovery(plane, polling);
    let kept = Arc::clone(&entrance);
    let (reads, writes) = ("the platform's authority", "the certificate of the listener here");
    let gate = Runner::new("gate", reads, writes, |stop| kept.keep(stop));
    let (reads, writes) = ("each group's resources", "discovery responses; events of proxies");
    let serve = Runner::new("xds", reads, writes, |stop| entrance.serve(listener, proxies, stop));
    vec![gate, serve]
}

/// Tells where the replica answers, from the start: it is ready when the store was read.
async fn announce(
    replica: Replica,
    listen: Listen,
    readiness: Arc<Readiness>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let Listen { metrics, xds, .. } = listen;
    replica.write_endpoints(&endpoints(metrics, xds)).context("cannot tell where it answers")?;
    let told = async {
        readiness.await_all().await;
        tracing::info!(replica = replica.name(), %xds, "ready");
        output::line(&format!(
            "The replica `{}` is ready. Ctrl-C stops it.\n\n  xds       {xds}\n  metrics   http://{metrics}/metrics",
            replica.name()
        ))
    };
    stop.run_until_cancelled(told).await.transpose()?;
    stop.cancelled().await;
    replica.remove_endpoints();
    Ok(())
}

fn endpoints(metrics: SocketAddr, xds: SocketAddr) -> ReplicaEndpoints {
    ReplicaEndpoints { pid: std::process::id(), metrics: format!("http://{metrics}"), xds }
}
