//! Other templates: all tenants change at once. What it takes until proxies that are there have
//! everything, and what it takes when they come back after they missed it.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::change::UPSTREAM;
use crate::crowd::{Load, Way};
use crate::descriptors;
use crate::fleet::come;
use crate::product::Product;
use crate::templates;
use crate::usage::positive;

/// All proxies at once, and longer than they take.
const ARGUMENTS: [&str; 6] =
    ["--envoy", "none", "--rollout-stages", "all=*@1s", "--rollout-ack-seconds", "1800"];
/// What was begun has ended by then.
const REST: Duration = Duration::from_secs(3);

/// How large.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// Tenants present.
    #[arg(long, default_value_t = 20_000, value_parser = positive)]
    tenants: usize,
    /// Proxies.
    #[arg(long, default_value_t = 200, value_parser = positive)]
    streams: usize,
}

/// Runs everything.
#[expect(clippy::print_stdout, reason = "the figures are what a bench is for")]
pub(crate) async fn run(binary: &Path, args: Args) -> Result<()> {
    let Args { tenants, streams } = args;
    descriptors::suffice(streams)?;
    let folder = tempfile::tempdir()?;
    let saved = folder.path().join("templates");
    templates::save(&saved, None)?;
    let path = saved.to_string_lossy();
    let arguments = [&ARGUMENTS[..], &["--templates", &path]].concat();
    let (mut product, _) = Product::start(binary, folder.path(), &arguments).await?;
    product.fill(0, tenants, UPSTREAM.parse()?).await?;
    let (mut load, learned) = Load::start(product.listener("xds")?, Way::Delta).await?;
    product.lives(0).await?;
    println!("{tenants} tenants, {streams} streams, {} resources", learned.resources);
    println!("  all come, and had them already: {}", come(&product, &mut load, streams).await?);
    tokio::time::sleep(REST).await;
    load.heard().await?;
    product.forget_peak()?;
    let (before, began, cpu) = (product.memory_mb()?, Instant::now(), product.cpu()?);
    templates::save(&saved, Some("one"))?;
    product.rolled_out(0).await?;
    product.lives(streams).await?;
    let (took, used) = (began.elapsed(), product.cpu()?.saturating_sub(cpu));
    println!(
        "  all tenants change: all have it after {:.1} s, {:.0} bytes sent to each, {:.1} ms of the server's processor each, its memory {before:.0} MB before, at most {:.0} MB",
        took.as_secs_f64(),
        load.heard().await?.bytes as f64 / streams as f64,
        used.as_secs_f64() * 1e3 / streams as f64,
        product.peak_mb()?,
    );
    load.leave().await?;
    product.lives(0).await?;
    tokio::time::sleep(REST).await;
    println!("  all come back, and had missed it: {}", come(&product, &mut load, streams).await?);
    load.leave().await?;
    product.stop().await
}
