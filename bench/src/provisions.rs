//! How many provisions a second the broker accepts over HTTP, each durable before its 202, beside one
//! writer that commits the same rows one after the other to SQLite on the same disk; and how long an
//! accept and a poll of a last operation wait under that load.
//!
//! The whole platform runs: while wishes are accepted, those before them are carried out.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use model::{Millis, OperationKind};
use serde_json::{Value, json};
use store::contract::sample;
use store::sqlite::{Options, Sqlite};
use store::{Accepted, Store};
use tokio::task::JoinSet;

use crate::client::Client;
use crate::product::{self, PASSWORD, Product, USERNAME};
use crate::scenario::percentiles;

/// Who polls while the others provision.
const POLLERS: usize = 4;
/// Instances of one team, so that no team's quota is in the way.
const PER_TEAM: usize = 20;

/// What is sent, and where.
struct Target {
    address: SocketAddr,
    authorization: String,
    service: Value,
    plan: Value,
    /// The number of the next instance.
    next: AtomicUsize,
}

impl Target {
    async fn client(&self) -> Result<Client> {
        Client::connect(self.address, self.authorization.clone()).await
    }

    /// The path and the body of one more provision.
    fn wish(&self) -> (String, String) {
        let n = self.next.fetch_add(1, Ordering::Relaxed);
        let upstream = SocketAddr::from(([127, 0, 0, 1], 9));
        let body = json!({
            "service_id": self.service, "plan_id": self.plan, "organization_guid": "bench",
            "space_guid": format!("team-{}", n / PER_TEAM),
            "parameters": product::parameters(n, upstream, "bench"),
        });
        (format!("/v2/service_instances/t{n}?accepts_incomplete=true"), body.to_string())
    }
}

/// Runs everything.
#[expect(clippy::print_stdout, reason = "the figures are what a bench is for")]
pub(crate) async fn run(
    binary: &Path,
    present: &[usize],
    clients: &[usize],
    time: Duration,
) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (product, _) = Product::start(binary, folder.path(), &["--envoy", "none"]).await?;
    let target = Arc::new(target(&product).await?);
    println!(
        "provisions accepted, durable before each 202       per s   x writer   accept p50/p99 ms   last_operation p50/p99 ms"
    );
    for &present in present {
        seed(&target, present).await?;
        settle(&product).await?;
        for &clients in clients {
            let before = floor(folder.path(), time / 2).await?;
            let cell = load(&target, clients, time).await?;
            let after = floor(folder.path(), time / 2).await?;
            let (rate, writer) = (cell.rate(time), f64::midpoint(before, after));
            println!(
                "{present:>7} present, {clients:>3} clients (writer {writer:>6.0}/s)  {rate:>10.0}   {:>8.2}   {}   {}",
                rate / writer,
                pair(&cell.accepts),
                pair(&cell.polls),
            );
            settle(&product).await?;
        }
    }
    let mut product = product;
    product.stop().await
}

async fn target(product: &Product) -> Result<Target> {
    let url = product.endpoints["broker"].as_str().context("a broker")?;
    let address = url.strip_prefix("http://").context("an http URL")?.parse()?;
    let authorization = format!("Basic {}", STANDARD.encode(format!("{USERNAME}:{PASSWORD}")));
    let service = product.catalog["services"][0].clone();
    let (service, plan) = (service["id"].clone(), service["plans"][0]["id"].clone());
    Ok(Target { address, authorization, service, plan, next: AtomicUsize::new(0) })
}

/// Until so many instances are there.
async fn seed(target: &Arc<Target>, present: usize) -> Result<()> {
    let mut running = JoinSet::new();
    for _ in 0..64 {
        let target = Arc::clone(target);
        running.spawn(async move {
            let mut client = target.client().await?;
            while target.next.load(Ordering::Relaxed) < present {
                provision(&mut client, &target).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(ended) = running.join_next().await {
        ended??;
    }
    Ok(())
}

/// Until the queue is empty: what was accepted has been carried out.
async fn settle(product: &Product) -> Result<()> {
    loop {
        let page = product.metrics().await?;
        let depth = page.lines().find_map(|line| line.strip_prefix("margrave_worker_queue_depth "));
        if depth.is_some_and(|depth| depth.trim() == "0") {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

async fn provision(client: &mut Client, target: &Target) -> Result<Duration> {
    let (path, body) = target.wish();
    let began = Instant::now();
    let (status, answer) = client.ask("PUT", &path, &body).await?;
    if status != 202 {
        bail!("{path} was answered with {status}: {answer}");
    }
    Ok(began.elapsed())
}

/// What was measured with one number of clients.
struct Cell {
    accepts: Vec<Duration>,
    polls: Vec<Duration>,
}

impl Cell {
    fn rate(&self, time: Duration) -> f64 {
        self.accepts.len() as f64 / time.as_secs_f64()
    }
}

async fn load(target: &Arc<Target>, clients: usize, time: Duration) -> Result<Cell> {
    let until = Instant::now() + time;
    let (mut provisioning, mut polling) = (JoinSet::new(), JoinSet::new());
    for _ in 0..clients {
        provisioning.spawn(provisions(Arc::clone(target), until));
    }
    for _ in 0..POLLERS {
        polling.spawn(polls(Arc::clone(target), until));
    }
    let (accepts, polls) = (all(provisioning).await?, all(polling).await?);
    Ok(Cell { accepts, polls })
}

async fn all(mut running: JoinSet<Result<Vec<Duration>>>) -> Result<Vec<Duration>> {
    let mut took = Vec::new();
    while let Some(each) = running.join_next().await {
        took.extend(each??);
    }
    took.sort();
    Ok(took)
}

async fn provisions(target: Arc<Target>, until: Instant) -> Result<Vec<Duration>> {
    let (mut client, mut took) = (target.client().await?, Vec::new());
    while Instant::now() < until {
        took.push(provision(&mut client, &target).await?);
    }
    Ok(took)
}

/// Polls the operations that were accepted lately, as their platforms do.
async fn polls(target: Arc<Target>, until: Instant) -> Result<Vec<Duration>> {
    let (mut client, mut took) = (target.client().await?, Vec::new());
    while Instant::now() < until {
        let n = target.next.load(Ordering::Relaxed).saturating_sub(200 + took.len() % 100);
        let began = Instant::now();
        let (status, answer) =
            client.ask("GET", &format!("/v2/service_instances/t{n}/last_operation"), "").await?;
        took.push(began.elapsed());
        if status != 200 {
            bail!("last_operation of t{n} was answered with {status}: {answer}");
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(took)
}

/// One writer, each commit durable before the next: its rate.
async fn floor(folder: &Path, time: Duration) -> Result<f64> {
    let path = tempfile::Builder::new().prefix("floor").tempdir_in(folder)?;
    let store = Sqlite::open(path.path().join("floor.db"), Options::new(Arc::new(now)))?;
    let (began, mut count) = (Instant::now(), 0_u32);
    while began.elapsed() < time {
        let id = format!("i{count}");
        let spec = sample::spec("shop", &[&format!("{id}.example.com")]);
        let wish = sample::accept(OperationKind::Provision, &id, &spec, now());
        if store.accept(wish, None).await? != Accepted::Yes {
            bail!("the store refuses");
        }
        count += 1;
    }
    Ok(f64::from(count) / began.elapsed().as_secs_f64())
}

fn pair(sorted: &[Duration]) -> String {
    let (median, worst) = percentiles(sorted);
    format!("{median:>8.2} / {worst:<8.2}")
}

#[expect(clippy::disallowed_methods, reason = "here is where time is handed in")]
fn now() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    Millis::try_from(since.as_millis()).unwrap_or(Millis::MAX)
}
