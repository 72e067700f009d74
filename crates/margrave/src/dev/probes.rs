//! What operators and probes ask without credentials: `/metrics`, `/healthz`, `/readyz`.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::others::Others;
use super::regions;

/// Between two looks while things start; a few dozen comparisons each.
const LOOK: Duration = Duration::from_millis(20);
/// How often histograms are folded, so that memory does not grow between two scrapes.
const UPKEEP: Duration = Duration::from_secs(5);

/// Buckets of durations: from a change in memory to a name that does not resolve.
const SECONDS: [f64; 12] = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0];
/// Buckets of sizes.
const BYTES: [f64; 6] = [100.0, 1e3, 1e4, 1e5, 1e6, 1e7];
/// Buckets of how many.
const COUNT: [f64; 9] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];

/// Says `Ok`, or what is being waited for.
pub type Check = Box<dyn Fn() -> Result<(), String> + Send + Sync>;

/// Whether everything that was started is there.
pub struct Readiness(Vec<(&'static str, Check)>);

impl Readiness {
    /// From named checks; each is quick and waits for nothing.
    pub fn new(checks: Vec<(&'static str, Check)>) -> Arc<Self> {
        Arc::new(Self(checks))
    }

    /// Waits until everything is there.
    pub async fn await_all(&self) {
        while !self.waiting().is_empty() {
            tokio::time::sleep(LOOK).await;
        }
    }

    /// What is not ready, with the reason.
    pub fn waiting(&self) -> Vec<(&'static str, String)> {
        let failed = |(name, check): &(&'static str, Check)| Some((*name, check().err()?));
        self.0.iter().filter_map(failed).collect()
    }
}

/// The metrics of this process, from now on.
pub fn install_metrics() -> anyhow::Result<PrometheusHandle> {
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)?
        .set_buckets_for_metric(Matcher::Suffix("_bytes".to_owned()), &BYTES)?
        .set_buckets_for_metric(Matcher::Suffix("_requests".to_owned()), &COUNT)?
        .install_recorder()
        .context("cannot install the metrics recorder")?;
    describe();
    Ok(handle)
}

/// Tells the recorder what every metric means.
pub fn describe() {
    broker::metrics::describe();
    console::metrics::describe();
    login::metrics::describe();
    store::metrics::describe();
    context::metrics::describe();
    worker::metrics::describe();
    plane::metrics::describe();
    xds::metrics::describe();
    crate::proof::metrics::describe();
    metrics::describe_gauge!(
        "margrave_replicas",
        "Other replicas of the control plane that tell of their proxies"
    );
    metrics::describe_gauge!(
        "margrave_replicas_staleness_seconds",
        "How long the most silent of the other replicas has told nothing"
    );
    metrics::describe_gauge!(regions::STALENESS, regions::STALENESS_HELP);
    metrics::describe_counter!(
        "margrave_envoy_restarts_total",
        "How often the Envoy of this process ended by itself and was started again"
    );
}

/// What is measured in this process.
#[derive(Clone)]
pub struct Measured {
    /// What the recorder was told.
    pub recorded: PrometheusHandle,
    /// What is worked out when it is asked for; a replica does not know of others.
    pub others: Option<Arc<Others>>,
}

impl Measured {
    fn exposition(&self) -> String {
        let others = self.others.as_ref().map(|others| others.exposition());
        self.recorded.render() + &others.unwrap_or_default()
    }
}

#[derive(Clone)]
struct Probes {
    metrics: Measured,
    readiness: Arc<Readiness>,
}

fn router(probes: Probes) -> Router {
    Router::new()
        .route("/metrics", get(render))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .with_state(probes)
}

/// Serves until `stop`.
pub async fn serve(
    listener: TcpListener,
    metrics: Measured,
    readiness: Arc<Readiness>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let app = router(Probes { metrics: metrics.clone(), readiness });
    let upkeep = async {
        loop {
            tokio::time::sleep(UPKEEP).await;
            metrics.recorded.run_upkeep();
        }
    };
    let server = axum::serve(listener, app).with_graceful_shutdown(stop.cancelled_owned());
    tokio::select! {
        result = server.into_future() => Ok(result?),
        () = upkeep => Ok(()),
    }
}

async fn render(State(probes): State<Probes>) -> Response {
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4")];
    (kind, probes.metrics.exposition()).into_response()
}

async fn ready(State(probes): State<Probes>) -> Response {
    let waiting = probes.readiness.waiting();
    let status = if waiting.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let reasons: serde_json::Map<_, _> =
        waiting.iter().map(|(name, why)| ((*name).to_owned(), json!(why))).collect();
    let body = json!({"ready": waiting.is_empty(), "waiting": reasons});
    (status, axum::Json(body)).into_response()
}
