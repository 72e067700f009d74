//! Requests share commits, and the metrics say so.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::sync::Arc;

use common::OnDisk;
use metrics_exporter_prometheus::PrometheusBuilder;
use model::OperationKind;
use store::contract::{State, sample};
use store::{Accepted, Refusal};

const WRITERS: usize = 64;
const ROUNDS: usize = 20;

async fn provision(store: Arc<dyn State>, writer: usize) {
    for round in 0..ROUNDS {
        let id = format!("i{writer}-{round}");
        let spec = sample::spec("shop", &[&format!("{id}.example.com")]);
        let wish = sample::accept(OperationKind::Provision, &id, &spec, 1_000);
        assert_eq!(store.accept(wish, None).await, Ok(Accepted::Yes));
    }
}

/// The value of a line of the metrics page, which may carry labels.
fn value(page: &str, name: &str) -> f64 {
    let line = page.lines().find(|line| line.starts_with(name) && !line.starts_with('#'));
    let line = line.unwrap_or_else(|| panic!("{name} is not in\n{page}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_writers_share_few_commits() {
    let page = PrometheusBuilder::new().install_recorder().unwrap();
    store::metrics::describe();
    let disk = OnDisk::fresh();
    let store: Arc<dyn State> = Arc::new(disk.sqlite());
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        writers.spawn(provision(Arc::clone(&store), writer));
    }
    writers.join_all().await;
    let writes = (WRITERS * ROUNDS) as f64;
    assert_eq!(store.depth(2_000).await, Ok((WRITERS * ROUNDS, 1_000)));

    let spec = sample::spec("shop", &["i0-0.example.com"]);
    let taken = sample::accept(OperationKind::Provision, "thief", &spec, 1_000);
    let answer = store.accept(taken, None).await;
    assert!(matches!(answer, Ok(Accepted::No(Refusal::Taken(_)))), "{answer:?}");

    let page = page.render();
    let commits = value(&page, "margrave_store_commits_total{outcome=\"synced\"}");
    assert!(commits >= writes / 256.0 && commits < writes / 4.0, "{commits} for {writes} writes");
    assert_eq!(value(&page, "margrave_store_batch_requests_sum"), writes + 1.0);
    assert_eq!(value(&page, "margrave_store_commit_seconds_count"), commits);
    assert_eq!(value(&page, "margrave_store_jobs"), writes);
    assert_eq!(value(&page, "margrave_store_oldest_job_seconds"), 1.0);
    assert_eq!(value(&page, "margrave_store_refused_total{reason=\"taken\"}"), 1.0);
    assert!(value(&page, "margrave_store_waiting_requests") <= 1_024.0);
    assert!(!page.contains("shop") && !page.contains("i0-0"), "no label comes from a tenant");
}
