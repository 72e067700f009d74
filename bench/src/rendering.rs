//! What rendering costs: one change among many tenants, and all of them after a start; beside the
//! renderer alone, in this process, on one core.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use render::Templates;

use crate::crowd::{Load, Way};
use crate::moment::Moment;
use crate::product::{self, Product};
use crate::scenario::{self, percentiles};
use crate::usage::positive;

/// Where no tenant's upstream is.
const UPSTREAM: &str = "127.0.0.1:9";
/// What tells how long the plane had a change.
const APPLY: &str = "margrave_plane_apply_seconds";
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
        "the renderer alone, one core: {tenants} tenants in {:.2} s, {:.0} us and {:.1} kB of resources each",
        alone.as_secs_f64(),
        alone.as_secs_f64() * 1e6 / tenants as f64,
        bytes as f64 / 1e3 / tenants as f64
    );
    let folder = tempfile::tempdir()?;
    let (product, _) = Product::start(binary, folder.path(), &["--envoy", "none"]).await?;
    product.fill(0, tenants, UPSTREAM.parse()?).await?;
    println!("one change among {tenants} tenants: {}", changes(&product, &args).await?);
    let (mut again, took) = product.restart(&["--envoy", "none"]).await?;
    println!(
        "a start with {tenants} tenants: ready after {:.2} s, {:.2} s of processor time, {:.0} MB",
        took.as_secs_f64(),
        again.cpu()?.as_secs_f64(),
        again.memory_mb()?
    );
    again.stop().await
}

/// All tenants rendered and checked, one after the other; how long, and how many bytes.
fn alone(tenants: usize) -> Result<(Duration, usize)> {
    let facts = scenario::facts(([127, 0, 0, 1], 11080).into(), ([127, 0, 0, 1], 10080).into());
    let templates = Templates::builtin();
    let (began, mut bytes) = (Instant::now(), 0);
    for n in 0..tenants {
        let drafts = scenario::tenant(&templates, &facts, n, UPSTREAM.parse()?, "seed")?;
        bytes += drafts.iter().map(|draft| draft.body.len()).sum::<usize>();
    }
    Ok((began.elapsed(), bytes))
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
    let page = product.metrics().await?;
    let figure = |what: &str| {
        let name = format!("{APPLY}_{what}");
        let lines = page.lines().filter(|line| line.starts_with(&name));
        let all = lines.map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        all.sum::<Option<f64>>().with_context(|| format!("{name} is not a number"))
    };
    Ok((figure("sum")?, figure("count")?))
}
