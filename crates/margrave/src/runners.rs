//! Everything that runs in this process, as a list: each says what it reads and what it writes.
//! This is the order of starting; stopping is the reverse.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::serve::ListenerExt;
use context::Poller;
use futures::FutureExt;
use metrics_exporter_prometheus::PrometheusHandle;
use plane::{Plane, Rollouts};
use store::{Bindings, SummaryFolder, Teams};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::dev::line::Line;
use crate::dev::others::Others;
use crate::dev::ports::Ports;
use crate::dev::probes::{self, Measured, Readiness};
use crate::dev::ready::Announcement;
use crate::dev::templates::Configured;
use crate::dev::vault::Vault;
use crate::dev::{counts, expiry, heads};
use crate::envoy::Supervisor;
use crate::gate::door::Door;
use crate::gate::own::Own;
use crate::proof::Prover;
use crate::runner::Runner;

/// How long requests that are being answered are waited for; a client that waits for news of an
/// operation asks again.
const BROKER_DRAIN_MAX: Duration = Duration::from_secs(1);

/// The same of pages; one that waits for news asks again.
const CONSOLE_DRAIN_MAX: Duration = Duration::from_millis(200);

/// What the runners are made of.
pub struct Parts {
    /// Sockets.
    pub ports: Ports,
    /// Store, plane, worker, broker.
    pub line: Line,
    /// Envoy, if one is to run.
    pub envoy: Option<Supervisor>,
    /// What was measured.
    pub metrics: PrometheusHandle,
    /// Whether all are there.
    pub readiness: Arc<Readiness>,
    /// What is said once they are.
    pub announcement: Announcement,
    /// How proxies poll.
    pub polling: plane::Polling,
    /// The identity of our own Envoy, where xDS speaks TLS.
    pub own: Option<Own>,
}

/// Answers are a few packets each: none waits for the next.
fn no_delay(connection: &mut TcpStream) {
    if let Err(error) = connection.set_nodelay(true) {
        tracing::debug!(%error, "a connection keeps its delay");
    }
}

/// Who may call, and the keys of their keys; names that nobody may take.
fn kept(
    bindings: Arc<dyn Bindings>,
    vault: Arc<Vault>,
    teams: Arc<dyn Teams>,
    prover: Arc<Prover>,
) -> [Runner; 4] {
    let (reads, writes) = ("secrets sealed with an old key", "the same, sealed with the newest");
    let vault = Runner::new("vault", reads, writes, |stop| vault.run(stop));
    let (reads, writes) = ("how many names are reserved and callers bound", "metrics");
    let counted = Arc::clone(&bindings);
    let counts = Runner::new("counts", reads, writes, |stop| counts::run(teams, counted, stop));
    let (reads, writes) = ("bindings that have expired", "the feed without them");
    let expiry = Runner::new("expiry", reads, writes, |stop| expiry::run(bindings, stop));
    let (reads, writes) = ("proofs that are due, TXT records", "the feed with what is proven");
    let proofs = Runner::new("proofs", reads, writes, |stop| prover.run(stop));
    [vault, expiry, counts, proofs]
}

/// How the proxies of other replicas stand.
fn followed(others: Arc<Others>, plane: Arc<Plane>, summaries: SummaryFolder) -> Runner {
    let (reads, writes) = ("what other replicas tell of their proxies", "nothing");
    let summaries = Arc::new(summaries);
    Runner::new("replicas", reads, writes, |stop| others.follow(plane, summaries, stop))
}

/// Tells how this process is.
pub fn probing(listener: TcpListener, metrics: Measured, readiness: Arc<Readiness>) -> Runner {
    Runner::new("probes", "every part's metrics and readiness", "nothing", |stop| {
        probes::serve(listener, metrics, readiness, stop)
    })
}

/// What a control plane does.
pub fn planning(plane: Arc<Plane>) -> Runner {
    let (reads, writes) =
        ("the store's change feed, upstream names, events of proxies", "each group's resources");
    Runner::new("plane", reads, writes, |stop| async move {
        plane.run(stop.cancelled_owned()).await;
        Ok(())
    })
}

/// What answers proxies, also those that poll.
pub fn discovery(plane: &Arc<Plane>, polling: plane::Polling) -> xds::Ads {
    let proxies = plane.service(xds::Limits::default());
    proxies.speak_json(Arc::new(polling));
    proxies
}

/// Answers proxies; with a door, those alone who have joined.
pub fn xds(
    listener: TcpListener,
    plane: &Arc<Plane>,
    polling: plane::Polling,
    door: Option<Arc<Door>>,
) -> Vec<Runner> {
    let proxies = discovery(plane, polling);
    let (tls, known) = (door.as_ref().map(|door| door.tls()), proxies.clone());
    let (reads, writes) = ("each group's resources", "discovery responses; events of proxies");
    let guard = door.clone();
    let answers = Runner::new("xds", reads, writes, |stop| async move {
        if let Some(door) = guard {
            door.recall(&proxies).await;
        }
        Ok(xds::serve(listener, tls, proxies, stop.cancelled_owned()).await?)
    });
    let gate = door.map(|door| {
        let (reads, writes) = ("certificates of the listener, revocations", "who may come in");
        Runner::new("gate", reads, writes, |stop| door.run(known, stop))
    });
    std::iter::once(answers).chain(gate).collect()
}

fn carried_out(worker: worker::Worker) -> Runner {
    let reads = "the queue, operations, how far proxies are";
    let writes = "operations, published instances, DNS records";
    Runner::new("worker", reads, writes, |stop| worker.run(stop.cancelled_owned()).map(Ok))
}

/// Our own Envoy, and what keeps its certificate good.
fn proxy(envoy: Option<Supervisor>, own: Option<Own>) -> impl Iterator<Item = Runner> {
    let own = own.map(|own| {
        let (reads, writes) = ("when our Envoy's certificate ends", "another");
        Runner::new("identity", reads, writes, |stop| own.run(stop))
    });
    let envoy = envoy.map(|envoy| {
        let (reads, writes) = ("its resources, over xDS", "answers to requests");
        Runner::new("envoy", reads, writes, |stop| envoy.run(stop))
    });
    own.into_iter().chain(envoy)
}

fn pages(listener: TcpListener, console: axum::Router) -> Runner {
    let reads = "instances, operations and sessions; requests of browsers";
    Runner::new("console", reads, "sessions", |stop| {
        drained(CONSOLE_DRAIN_MAX, stop, |end| {
            axum::serve(listener, console).with_graceful_shutdown(end).into_future()
        })
    })
}

/// What is rendered with.
fn rendered_with(
    plane: &Arc<Plane>,
    configured: Configured,
    rollouts: Arc<Rollouts>,
) -> [Runner; 2] {
    let (plane, offered) = (Arc::clone(plane), Arc::clone(&rollouts));
    let (reads, writes) = ("the folder of templates", "editions, and what the configuration is");
    let templates =
        Runner::new("templates", reads, writes, |stop| configured.watch(plane, offered, stop));
    let reads = "editions, what proxies have and what they answer";
    let writes = "which groups have which edition";
    let rollouts = Runner::new("rollouts", reads, writes, |stop| async move {
        stop.run_until_cancelled(rollouts.run()).await;
        Ok(())
    });
    [templates, rollouts]
}

fn polled(sources: Poller) -> Runner {
    let (reads, writes) = ("files, URLs, programs", "documents in the store");
    Runner::new("sources", reads, writes, |stop| sources.run(stop.cancelled_owned()).map(Ok))
}

/// The list.
pub fn list(parts: Parts) -> Vec<Runner> {
    let Parts { ports, line, envoy, metrics, readiness, announcement, own, polling } = parts;
    let all = Arc::clone(&readiness);
    let Line {
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
    } = line;
    let (proxies, door) = (Arc::clone(&plane), gate.map(|gate| gate.door()));
    let rendered = rendered_with(&plane, configured, rollouts);
    let metrics = Measured { recorded: metrics, others: Some(Arc::clone(&others)) };
    let replicas = followed(others, Arc::clone(&plane), announcement.state.summaries());
    let mut list = vec![
        probing(ports.metrics, metrics, readiness),
        Runner::new("audit heads", "the head of the audit log", "a line of the log", |stop| {
            heads::tell(audit, stop)
        }),
        polled(sources),
        planning(plane),
    ];
    list.extend(rendered);
    list.extend(kept(bindings, vault, teams, prover));
    list.push(replicas);
    list.extend(
        ports
            .xds
            .into_iter()
            .flat_map(|listener| xds(listener, &proxies, polling.clone(), door.clone())),
    );
    list.extend(proxy(envoy, own));
    list.push(carried_out(worker));
    list.push(Runner::new(
        "broker",
        "requests of platforms and developers",
        "operations, jobs and claims, in one transaction",
        |stop| {
            drained(BROKER_DRAIN_MAX, stop, |end| {
                let listener = ports.broker.tap_io(no_delay);
                // Failed attempts to come in are counted by address.
                let broker = broker.into_make_service_with_connect_info::<SocketAddr>();
                axum::serve(listener, broker).with_graceful_shutdown(end).into_future()
            })
        },
    ));
    list.extend(ports.console.map(|listener| pages(listener, console)));
    list.push(Runner::new("ready", "whether all are ready", "endpoints.json", |stop| {
        announcement.run(all, stop)
    }));
    list
}

/// Serves until told to stop, and then for so long what is being answered.
async fn drained<S>(
    most: Duration,
    stop: CancellationToken,
    serve: impl FnOnce(WaitForCancellationFutureOwned) -> S,
) -> anyhow::Result<()>
where
    S: Future<Output = std::io::Result<()>>,
{
    let over = async {
        stop.cancelled().await;
        tokio::time::sleep(most).await;
    };
    tokio::select! {
        result = serve(stop.clone().cancelled_owned()) => Ok(result?),
        () = over => Ok(()),
    }
}
