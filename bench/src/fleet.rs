//! One tenant changes and thousands of proxies are told: how long until all have it, beside raw
//! sockets that are written as many bytes; what a stream costs that waits; and what it takes when all
//! come back at once.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::crowd::{Crowd, learn};
use crate::floor::Floor;
use crate::product::Product;
use crate::proxy::Known;
use crate::{envoy, scenario};

/// Between what was made and a look at what it costs.
const SETTLE: Duration = Duration::from_secs(3);
/// For so long the processor's use by idle streams is counted.
const IDLE: Duration = Duration::from_secs(10);
/// Longer than a crowd takes to come back.
const PATIENCE: Duration = Duration::from_secs(900);
/// Where no tenant's upstream is.
const UPSTREAM: &str = "127.0.0.1:9";

/// Runs everything.
#[expect(clippy::print_stdout, reason = "the figures are what a bench is for")]
pub(crate) async fn run(
    binary: &Path,
    tenants: usize,
    streams: &[usize],
    rounds: usize,
) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (product, _) = Product::start(binary, folder.path(), &["--envoy", "none"]).await?;
    let product = Arc::new(product);
    let empty = product.memory_mb()?;
    product.seed(0, tenants, UPSTREAM.parse()?).await?;
    tokio::time::sleep(SETTLE).await;
    let full = product.memory_mb()?;
    let (known, bytes) = learn(product.listener("xds")?).await?;
    println!(
        "{tenants} tenants: {full:.0} MB, {:.1} kB a tenant; a proxy that comes with nothing is given {} resources, {:.1} MB",
        (full - empty) * 1024.0 / tenants as f64,
        known.len(),
        bytes as f64 / 1e6,
    );
    drop(known);
    for &size in streams {
        crowd(&product, tenants, size, rounds).await?;
    }
    let mut last = Arc::into_inner(product).context("nobody else holds it")?;
    last.stop().await
}

#[expect(clippy::print_stdout, reason = "the figures are what a bench is for")]
async fn crowd(product: &Product, tenants: usize, size: usize, rounds: usize) -> Result<()> {
    let address = product.listener("xds")?;
    let before = product.memory_mb()?;
    let mut crowd = Crowd::new(address, Arc::new(learn(address).await?.0));
    let came = come(product, &mut crowd, size).await?;
    println!("{size} streams");
    println!("  all come with what they had: {came}");
    tokio::time::sleep(SETTLE).await;
    let (cpu, memory) = (product.cpu()?, product.memory_mb()?);
    tokio::time::sleep(IDLE).await;
    let idle = (product.cpu()? - cpu).as_secs_f64() / IDLE.as_secs_f64();
    println!(
        "  idle: {:.1} kB a stream, {:.2} % of a core",
        (memory - before) * 1024.0 / size as f64,
        idle * 100.0
    );
    changes(product, &mut crowd, tenants, size, rounds).await?;
    crowd.leave().await;
    let known: Known = learn(address).await?.0;
    let mut again = Crowd::new(address, Arc::new(known));
    println!("  all come back at once: {}", come(product, &mut again, size).await?);
    again.leave().await;
    gone(product).await
}

/// All connect; tells until when all were live, and what that took.
async fn come(product: &Product, crowd: &mut Crowd, size: usize) -> Result<String> {
    gone(product).await?;
    let (began, cpu) = (Instant::now(), product.cpu()?);
    crowd.join(size).await?;
    let said = began.elapsed();
    envoy::until("all are live", PATIENCE, || async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        product.live().await.is_ok_and(|live| live >= size)
    })
    .await?;
    let used = (product.cpu()? - cpu).as_secs_f64();
    Ok(format!(
        "all live after {:.1} s (said what they have after {:.1} s), {:.0} bytes sent to each, {:.1} ms of the server's processor each",
        began.elapsed().as_secs_f64(),
        said.as_secs_f64(),
        crowd.bytes() as f64 / size as f64,
        used * 1e3 / size as f64,
    ))
}

/// Until nobody is connected.
async fn gone(product: &Product) -> Result<()> {
    envoy::until("all are gone", PATIENCE, || async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        product.proxies().await.is_ok_and(|proxies| proxies.is_empty())
    })
    .await?;
    Ok(())
}

/// Changes of single tenants, in turn with the floor.
#[expect(clippy::print_stdout, reason = "the figures are what a bench is for")]
async fn changes(
    product: &Product,
    crowd: &mut Crowd,
    tenants: usize,
    size: usize,
    rounds: usize,
) -> Result<()> {
    let (mut ours, mut bytes, mut used) = (Series::default(), 0.0, 0.0);
    let mut floor: Option<Floor> = None;
    let mut raw = Series::default();
    for round in 0..=rounds {
        let (n, mark) = (round * 7 % tenants, format!("c{size}-{round}"));
        crowd.await_name(format!("public/t{n}"));
        let (_, cpu) = (crowd.bytes(), product.cpu()?);
        product.accept("PATCH", n, UPSTREAM.parse()?, &mark).await?;
        let began = Instant::now();
        let times = crowd.arrivals(began).await?;
        product.end(n).await?;
        let took = crowd.bytes() as f64 / size as f64;
        let floor = match &mut floor {
            Some(floor) => floor,
            none => none.insert(Floor::new(size, took as usize).await?),
        };
        let least = floor.round().await?;
        // The first is for warming up.
        if round > 0 {
            ours.push(&times);
            raw.push(&least);
            bytes += took;
            used += (product.cpu()? - cpu).as_secs_f64();
        }
    }
    let each = (rounds * size) as f64;
    println!("  a tenant changes, ms until p50 / p99 / last have it");
    println!("    margrave     {}", ours.row());
    println!("    raw sockets  {}    ratio of p99: {:.2}", raw.row(), ours.p99() / raw.p99());
    println!(
        "    {:.0} bytes to each, {:.0} us of the server's processor each",
        bytes / rounds as f64,
        used * 1e6 / each
    );
    Ok(())
}

/// Rounds; of each, when half, 99 of 100 and all had it. Told are the medians over the rounds.
#[derive(Default)]
struct Series([Vec<Duration>; 3]);

impl Series {
    fn push(&mut self, sorted: &[Duration]) {
        let last = sorted.len() - 1;
        for (series, at) in self.0.iter_mut().zip([last / 2, last * 99 / 100, last]) {
            series.push(sorted[at]);
        }
    }

    fn medians(&self) -> [f64; 3] {
        [0, 1, 2].map(|at| scenario::percentiles(&self.0[at]).0)
    }

    fn p99(&self) -> f64 {
        self.medians()[1]
    }

    fn row(&self) -> String {
        let [half, most, all] = self.medians();
        format!("{half:>8.1} / {most:>8.1} / {all:>8.1}")
    }
}
