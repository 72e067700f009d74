//! What rendering costs: one change among many tenants, and all of them after a start; beside the
//! renderer alone, in this process, on one core.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use render::Templates;

use crate::crowd::{Load, Way};
use crate::envoy;
use crate::moment::Moment;
use crate::product::{self, Product};
use crate::scenario::{self, percentiles};
use crate::usage::positive;

/// Where no tenant's upstream is.
const UPSTREAM: &str = "127.0.0.1:9";
/// What tells how long the plane had a change.
const APPLY: &str = "margrave_plane_apply_seconds";
/// What counts the instances that were rendered.
const RENDERED: &str = "margrave_plane_renders_total";
/// What a plane keeps of what it has served, so that it can do so again before it has rendered.
const SERVED_BEFORE: &str = "last-good.db";
/// Between two looks at what is rendered.
const LOOK: Duration = Duration::from_millis(20);
/// Longer than all takes.
const PATIENCE: Duration = Duration::from_secs(300);
/// Until what was begun has ended.
const SETTLE: Duration = Duration::from_secs(2);

/// How large.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// Tenants present.
    #[arg(long, default_value_t = 20_000, value_parser = positive)]
    tenants: usize,
    /// Changes measured.
    #[arg(long, default_value_t = 200, value_parser = positive)]
    rounds: usize,
}

/// Runs everything.
#[expect(clippy::print_stdout, reason = "the figures are what a bench is for")]
pub(crate) async fn run(binary: &Path, args: Args) -> Result<()> {
    let Args { tenants, .. } = args;
    let (alone, bytes) = alone(tenants)?;
    println!(
        "the renderer alone: {tenants} tenants in {:.2} s of processor time, {:.0} us and {:.1} kB of resources each",
        alone.as_secs_f64(),
        alone.as_secs_f64() * 1e6 / tenants as f64,
        bytes as f64 / 1e3 / tenants as f64
    );
    let folder = tempfile::tempdir()?;
    let (product, _) = Product::start(binary, folder.path(), &["--envoy", "none"]).await?;
    product.fill(0, tenants, UPSTREAM.parse()?).await?;
    println!("one change among {tenants} tenants: {}", changes(&product, &args).await?);
    let (product, took) = product.restart(&["--envoy", "none"]).await?;
    println!("a start with {tenants} tenants: {}", started(&product, took, tenants).await?);
    let mut product = product;
    product.stop().await?;
    forget(folder.path())?;
    let (mut product, took) = Product::start(binary, folder.path(), &["--envoy", "none"]).await?;
    let cold = started(&product, took, tenants).await?;
    println!("a start that knows nothing of what was served: {cold}");
    product.stop().await
}

/// When it was ready, and when it had rendered everything.
async fn started(product: &Product, took: Duration, tenants: usize) -> Result<String> {
    let (began, used) = (Instant::now(), product.cpu()?);
    while figure(product, RENDERED).await? < tenants as f64 {
        if began.elapsed() > PATIENCE {
            bail!("not all is rendered within {PATIENCE:?}");
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(format!(
        "ready after {:.2} s and {:.2} s of processor time, all rendered after {:.2} s and {:.2} s, {:.0} MB",
        took.as_secs_f64(),
        used.as_secs_f64(),
        (took + began.elapsed()).as_secs_f64(),
        product.cpu()?.as_secs_f64(),
        product.memory_mb()?
    ))
}

/// What was served before goes.
fn forget(state: &Path) -> Result<()> {
    for replica in std::fs::read_dir(state.join("replicas"))? {
        for file in std::fs::read_dir(replica?.path())? {
            let file = file?;
            if file.file_name().to_string_lossy().starts_with(SERVED_BEFORE) {
                std::fs::remove_file(file.path())?;
            }
        }
    }
    Ok(())
}

/// All tenants rendered and checked, one after the other; in what processor time, and how many bytes.
fn alone(tenants: usize) -> Result<(Duration, usize)> {
    let facts = scenario::facts(([127, 0, 0, 1], 11080).into(), ([127, 0, 0, 1], 10080).into());
    let templates = Templates::builtin();
    let (before, mut bytes) = (envoy::cpu(std::process::id())?, 0);
    for n in 0..tenants {
        let drafts = scenario::tenant(&templates, &facts, n, UPSTREAM.parse()?, "seed")?;
        bytes += drafts.iter().map(|draft| draft.body.len()).sum::<usize>();
    }
    Ok((envoy::cpu(std::process::id())? - before, bytes))
}

/// Changes, one after the other, to one proxy.
async fn changes(product: &Product, args: &Args) -> Result<String> {
    let (mut load, _) = Load::start(product.listener("xds")?, Way::Delta).await?;
    load.join(1).await?;
    tokio::time::sleep(SETTLE).await;
    let (cpu, before) = (product.cpu()?, applied(product).await?);
    let mut took = Vec::with_capacity(args.rounds);
    for round in 0..args.rounds {
        let n = round * 7 % args.tenants;
        load.await_name(format!("public/t{n}")).await?;
        let wish = product::parameters(n, UPSTREAM.parse()?, &format!("m{round}"));
        product.change(n, &wish).await?;
        let began = Moment::now();
        took.extend(load.arrivals().await?.first().map(|at| at.since(began)));
        product.end(n).await?;
    }
    let (cpu, after) = (product.cpu()? - cpu, applied(product).await?);
    let (median, worst) = percentiles(&took);
    Ok(format!(
        "acknowledged after {median:.1} / {worst:.1} ms (median / p99), of which the plane had it {:.2} ms; {:.2} ms of processor time, broker, store and worker with it",
        (after.0 - before.0) * 1e3 / (after.1 - before.1).max(1.0),
        cpu.as_secs_f64() * 1e3 / args.rounds as f64,
    ))
}

/// How long the plane had changes, in all, and how many.
async fn applied(product: &Product) -> Result<(f64, f64)> {
    let [sum, count] = ["sum", "count"].map(|what| format!("{APPLY}_{what}"));
    Ok((figure(product, &sum).await?, figure(product, &count).await?))
}

/// The sum of what the metrics page says of a name.
async fn figure(product: &Product, name: &str) -> Result<f64> {
    let page = product.metrics().await?;
    let lines = page.lines().filter(|line| line.starts_with(name));
    let all = lines.map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
    all.sum::<Option<f64>>().with_context(|| format!("{name} is not a number"))
}
