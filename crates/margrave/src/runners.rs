//! Everything that runs in this process, as a list: each says what it reads and what it writes.
//! This is the order of starting; stopping is the reverse.

use std::sync::Arc;

use metrics_exporter_prometheus::PrometheusHandle;

use crate::dev::line::Line;
use crate::dev::ports::Ports;
use crate::dev::probes::{self, Readiness};
use crate::dev::ready::Announcement;
use crate::envoy::Supervisor;
use crate::runner::Runner;

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
}

/// The list.
pub fn list(parts: Parts) -> Vec<Runner> {
    let Parts { ports, line, envoy, metrics, readiness, announcement } = parts;
    let all = Arc::clone(&readiness);
    let Line { broker, sources, plane, worker } = line;
    let proxies = plane.service(xds::Limits::default());
    let mut list = vec![
        Runner::new("probes", "every part's metrics and readiness", "nothing", move |stop| {
            probes::serve(ports.metrics, metrics, readiness, stop)
        }),
        Runner::new("sources", "files of sources", "documents in the store", |stop| async move {
            tokio::select! {
                () = sources.run() => Ok(()),
                () = stop.cancelled() => Ok(()),
            }
        }),
        Runner::new(
            "plane",
            "the store's change feed, upstream names, events of proxies",
            "each group's resources",
            |stop| async move {
                plane.run(stop.cancelled_owned()).await;
                Ok(())
            },
        ),
    ];
    list.push(Runner::new(
        "xds",
        "each group's resources",
        "discovery responses; events of proxies",
        |stop| async move { Ok(xds::serve(ports.xds, proxies, stop.cancelled_owned()).await?) },
    ));
    if let Some(envoy) = envoy {
        let run = |stop| envoy.run(stop);
        list.push(Runner::new("envoy", "its resources, over xDS", "answers to requests", run));
    }
    list.push(Runner::new(
        "worker",
        "the queue, operations, how far proxies are",
        "operations, published instances, DNS records",
        |stop| async move {
            worker.run(stop.cancelled_owned()).await;
            Ok(())
        },
    ));
    list.push(Runner::new(
        "broker",
        "requests of platforms and developers",
        "operations, jobs and claims, in one transaction",
        |stop| async move {
            let serve = axum::serve(ports.broker, broker);
            Ok(serve.with_graceful_shutdown(stop.cancelled_owned()).await?)
        },
    ));
    list.push(Runner::new("ready", "whether all are ready", "endpoints.json", |stop| {
        announcement.run(all, stop)
    }));
    list
}
