//! One tenant changes and thousands of proxies are told: how long until all have it, beside raw
//! sockets and a bare tonic server that write as many bytes; what a stream costs that waits; and what
//! it takes when all come back at once.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::beside::{Beside, Row};
use crate::change::{Change, UPSTREAM};
use crate::crowd::{Load, Way};
use crate::descriptors;
use crate::product::{self, Product};
use crate::proxy::REFUSED;
use crate::scenario::percentiles;
use crate::series::Series;
use crate::usage::positive;

/// How large.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// Tenants present.
    #[arg(long, default_value_t = 20_000, value_parser = positive)]
    tenants: usize,
    /// Proxies, one measurement each.
    #[arg(long, value_delimiter = ',', default_value = "2000", value_parser = positive)]
    streams: Vec<usize>,
    /// Changes of each kind measured with each number of proxies.
    #[arg(long, default_value_t = 20, value_parser = positive)]
    rounds: usize,
    /// The proxies speak state-of-the-world in place of delta: a set that changes is sent whole.
    #[arg(long)]
    sotw: bool,
    /// Proxies that come with nothing, all at once, when all else is measured.
    #[arg(long, default_value_t = 100, value_parser = positive)]
    newcomers: usize,
    /// For so many seconds the processor's use by idle streams is counted.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    idle: u64,
}

struct Bench {
    args: Args,
    product: Product,
}

/// Runs everything.
#[expect(clippy::print_stdout, reason = "the figures are what a bench is for")]
pub(crate) async fn run(binary: &Path, args: Args) -> Result<()> {
    descriptors::suffice(args.streams.iter().copied().max().unwrap_or_default())?;
    let folder = tempfile::tempdir()?;
    let (product, _) = Product::start(binary, folder.path(), &["--envoy", "none"]).await?;
    let mut bench = Bench { args, product };
    let Args { tenants, ref streams, .. } = bench.args;
    let empty = bench.product.memory_mb()?;
    let took = bench.product.fill(0, tenants, UPSTREAM.parse()?).await?;
    bench.rest().await;
    let full = bench.product.memory_mb()?;
    println!(
        "{tenants} tenants, made in {:.1} s: {full:.0} MB, {:.1} kB a tenant",
        took.as_secs_f64(),
        (full - empty) * 1024.0 / tenants as f64,
    );
    for size in streams.clone() {
        bench.crowd(size).await?;
    }
    bench.product.stop().await
}

impl Bench {
    fn way(&self) -> Way {
        if self.args.sotw { Way::Sotw } else { Way::Delta }
    }

    /// Until what was begun has ended.
    async fn rest(&self) {
        tokio::time::sleep(Duration::from_secs(self.args.idle) / 3).await;
    }

    async fn load(&self) -> Result<Load> {
        let (load, learned) = Load::start(self.product.listener("xds")?, self.way()).await?;
        self.says(&format!(
            "  a proxy that comes with nothing is given {} resources, {:.1} MB",
            learned.resources,
            learned.bytes as f64 / 1e6
        ));
        Ok(load)
    }

    #[expect(clippy::print_stdout, reason = "the figures are what a bench is for")]
    fn says(&self, line: &str) {
        println!("{line}");
    }

    async fn crowd(&self, size: usize) -> Result<()> {
        let product = &self.product;
        self.says(&format!("{size} streams, {:?}", self.way()));
        let mut load = self.load().await?;
        self.product.lives(0).await?;
        let before = product.memory_mb()?;
        self.says(&format!("  all come with what they had: {}", self.come(&mut load, size).await?));
        self.rest().await;
        let (cpu, memory) = (product.cpu()?, product.memory_mb()?);
        let idle = Duration::from_secs(self.args.idle);
        tokio::time::sleep(idle).await;
        let idle = (product.cpu()? - cpu).as_secs_f64() / idle.as_secs_f64();
        self.says(&format!(
            "  idle: {:.1} kB a stream, {:.2} % of a core",
            (memory - before) * 1024.0 / size as f64,
            idle * 100.0
        ));
        let mut beside = Beside::start(size).await?;
        for change in [Change::Route, Change::Hostname] {
            self.says(&format!(
                "  {change}: ms until p50 / p99 / last have it, processor of who sends and who receives for each"
            ));
            self.changes(&mut load, &mut beside, change, size).await?;
        }
        drop(beside);
        if self.way() == Way::Delta {
            self.refused(&mut load).await?;
        }
        load.leave().await?;
        drop(load);
        product.lives(0).await?;
        let mut again = self.load().await?;
        product.lives(0).await?;
        self.says(&format!("  all come back at once: {}", self.come(&mut again, size).await?));
        again.leave().await?;
        product.lives(0).await?;
        self.rest().await;
        let newcomers = self.args.newcomers;
        again.forget().await?;
        let came = self.come(&mut again, newcomers).await?;
        self.says(&format!("  {newcomers} come with nothing at once: {came}"));
        again.leave().await?;
        product.lives(0).await
    }

    async fn come(&self, load: &mut Load, size: usize) -> Result<String> {
        come(&self.product, load, size).await
    }

    /// Changes that every proxy that is told of them refuses: who is, and when whoever asked for one
    /// knows. What it had before is served again by then.
    async fn refused(&self, load: &mut Load) -> Result<()> {
        let (mut took, mut refused) = (Vec::new(), 0);
        load.refuse(true).await?;
        load.heard().await?;
        for round in 0..self.args.rounds {
            let n = round * 7 % self.args.tenants;
            let wish = product::parameters(n, UPSTREAM.parse()?, REFUSED);
            self.product.change(n, &wish).await?;
            let began = Instant::now();
            self.product.fails(n).await?;
            took.push(began.elapsed());
            refused += load.heard().await?.refused;
        }
        load.refuse(false).await?;
        let (median, worst) = percentiles(&took);
        self.says(&format!(
            "  a route that proxies refuse: its operation has failed after {median:.1} / {worst:.1} ms (median / p99), {:.1} refusals heard",
            refused as f64 / self.args.rounds as f64
        ));
        Ok(())
    }

    /// Changes of single tenants, in turn with what the same bytes take at least.
    async fn changes(
        &self,
        load: &mut Load,
        beside: &mut Beside,
        change: Change,
        size: usize,
    ) -> Result<()> {
        let Args { rounds, .. } = self.args;
        let (mut ours, mut rows) = (Series::default(), Vec::new());
        let (mut bytes, mut said, mut responses) = (0.0, 0.0, 0.0);
        for round in 0..=rounds {
            let before = [self.product.cpu()?, load.cpu()?];
            load.heard().await?;
            let times = change.make(&self.product, load, self.args.tenants, round).await?;
            let after = [self.product.cpu()?, load.cpu()?];
            let heard = load.heard().await?;
            // The first is for warming up.
            if round > 0 {
                bytes += heard.bytes as f64 / (size * rounds) as f64;
                said += heard.said as f64 / (size * rounds) as f64;
                responses += heard.responses as f64 / (size * rounds) as f64;
                ours.push(&times, [0, 1].map(|at| after[at].saturating_sub(before[at])));
            } else {
                let [bytes, said, came] = [heard.bytes, heard.said, heard.responses];
                let each = |all| usize::try_from(all).map(|all| all / size);
                rows = Row::all(each(bytes)?, each(said)?, each(came)?);
            }
            for row in &mut rows {
                row.round(beside, round > 0).await?;
            }
        }
        self.says(&format!("    margrave     {}", ours.row()));
        for row in Row::tell(&rows, &ours) {
            self.says(&row);
        }
        self.says(&format!(
            "    {bytes:.0} bytes in {responses:.1} responses to each, {said:.0} bytes of each"
        ));
        Ok(())
    }
}

/// All connect; tells until when all were live, and what that took.
pub(crate) async fn come(product: &Product, load: &mut Load, size: usize) -> Result<String> {
    product.forget_peak()?;
    let (before, began, cpu) = (product.memory_mb()?, Instant::now(), product.cpu()?);
    load.join(size).await?;
    product.lives(size).await?;
    let took = began.elapsed().as_secs_f64();
    let (used, peak) = ((product.cpu()? - cpu).as_secs_f64(), product.peak_mb()?);
    Ok(format!(
        "all live after {took:.1} s, {:.0} bytes sent to each, {:.1} ms of the server's processor each, its memory {before:.0} MB before, at most {peak:.0} MB",
        load.heard().await?.bytes as f64 / size as f64,
        used * 1e3 / size as f64,
    ))
}
