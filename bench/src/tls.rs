//! What it costs that proxies show certificates: who joins, who connects when all come at once, and a
//! change that goes to all; beside the same in clear, in the same run, in turn.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use authority::Applicant;
use futures::{StreamExt, TryStreamExt, stream};

use crate::change::{Change, UPSTREAM};
use crate::crowd::{self, Identities, Identity, Load, Way};
use crate::descriptors;
use crate::product::Product;
use crate::series::Series;
use crate::usage::positive;

/// Hosts that join at the same time.
const JOINING_PARALLEL: usize = 16;
/// Until what was begun has ended.
const SETTLE: Duration = Duration::from_secs(2);

/// How large.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// Tenants present.
    #[arg(long, default_value_t = 1_000, value_parser = positive)]
    tenants: usize,
    /// Proxies.
    #[arg(long, default_value_t = 1_000, value_parser = positive)]
    streams: usize,
    /// Changes measured, and times that all come.
    #[arg(long, default_value_t = 20, value_parser = positive)]
    rounds: usize,
}

/// One of the two.
struct Side {
    says: &'static str,
    product: Product,
    load: Load,
    /// Times that all came, and the processor time of the server and of the proxies for that.
    came: Duration,
    used: [Duration; 2],
    changes: Series,
}

/// Runs everything.
#[expect(clippy::print_stdout, reason = "the figures are what a bench is for")]
pub(crate) async fn run(binary: &Path, args: Args) -> Result<()> {
    descriptors::suffice(args.streams)?;
    let folder = tempfile::tempdir()?;
    let mut sides = Vec::new();
    for (says, mode) in [("in clear", "off"), ("mutual TLS", "platform")] {
        let state = folder.path().join(mode);
        std::fs::create_dir(&state)?;
        sides.push(Side::start(binary, &state, says, mode, &args).await?);
    }
    for _ in 0..args.rounds {
        for side in &mut sides {
            side.knock(args.streams).await?;
        }
    }
    for side in &sides {
        println!("{}", side.connections(&args));
    }
    for side in &mut sides {
        println!("{}", side.come(args.streams).await?);
    }
    for round in 0..=args.rounds {
        for side in &mut sides {
            side.change(args.tenants, round).await?;
        }
    }
    println!(
        "a tenant's route changes: ms until p50 / p99 / last have it, processor of who sends and who receives for each"
    );
    for side in sides {
        println!("  {:<12}{}", side.says, side.changes.row());
        let Side { mut product, mut load, .. } = side;
        load.leave().await?;
        product.stop().await?;
    }
    Ok(())
}

impl Side {
    /// With all its tenants; whoever needs a certificate has one.
    async fn start(
        binary: &Path,
        state: &Path,
        says: &'static str,
        mode: &str,
        args: &Args,
    ) -> Result<Self> {
        let mode_is = format!("--xds-tls-mode={mode}");
        let (product, _) = Product::start(binary, state, &["--envoy", "none", &mode_is]).await?;
        product.fill(0, args.tenants, UPSTREAM.parse()?).await?;
        let file = state.join("bench-identities.json");
        let identities = (mode != "off").then_some(&*file);
        if identities.is_some() {
            join(&product, args.streams, &file).await?;
        }
        let (load, _) = Load::with(product.listener("xds")?, Way::Delta, identities).await?;
        product.lives(0).await?;
        let (came, used, changes) = Default::default();
        Ok(Self { says, product, load, came, used, changes })
    }

    fn cpu(&self) -> Result<[Duration; 2]> {
        Ok([self.product.cpu()?, self.load.cpu()?])
    }

    /// All open a stream at once, and go.
    async fn knock(&mut self, size: usize) -> Result<()> {
        let (began, before) = (Instant::now(), self.cpu()?);
        self.load.knock(size).await?;
        self.came += began.elapsed();
        // What follows of it belongs to it.
        self.product.lives(0).await?;
        let after = self.cpu()?;
        for at in [0, 1] {
            self.used[at] += after[at].saturating_sub(before[at]);
        }
        Ok(())
    }

    fn connections(&self, args: &Args) -> String {
        let all = (args.streams * args.rounds) as f64;
        let [server, proxies] = self.used.map(|it| it.as_secs_f64() * 1e6 / all);
        format!(
            "  {:<12}{:>6.0} connections a second, {server:.0} us of the server's processor for each, {proxies:.0} of the proxies'",
            self.says,
            all / self.came.as_secs_f64(),
        )
    }

    /// All come with what they had, and stay.
    async fn come(&mut self, size: usize) -> Result<String> {
        let (before, memory) = (self.product.cpu()?, self.product.memory_mb()?);
        let began = Instant::now();
        self.load.join(size).await?;
        self.product.lives(size).await?;
        let (took, used) = (began.elapsed(), self.product.cpu()? - before);
        tokio::time::sleep(SETTLE).await;
        let memory = (self.product.memory_mb()? - memory) * 1024.0 / size as f64;
        Ok(format!(
            "  {:<12}all {size} come with what they had: live after {:.1} s, {:.2} ms of the server's processor and {memory:.0} kB for each",
            self.says,
            took.as_secs_f64(),
            used.as_secs_f64() * 1e3 / size as f64,
        ))
    }

    /// The first is for warming up.
    async fn change(&mut self, tenants: usize, round: usize) -> Result<()> {
        let before = self.cpu()?;
        let times = Change::Route.make(&self.product, &mut self.load, tenants, round).await?;
        let after = self.cpu()?;
        if round > 0 {
            self.changes.push(&times, [0, 1].map(|at| after[at].saturating_sub(before[at])));
        }
        Ok(())
    }
}

/// All proxies join, and what they show is written to a file.
#[expect(clippy::print_stdout, reason = "the figures are what a bench is for")]
async fn join(product: &Product, size: usize, file: &Path) -> Result<()> {
    let (began, before) = (Instant::now(), product.cpu()?);
    let ids = (0..size).map(crowd::name).chain([crowd::LEARNER.to_owned()]);
    let joined: BTreeMap<String, (Identity, [String; 2])> = stream::iter(ids)
        .map(|id| async move { anyhow::Ok((id.clone(), admitted(product, &id).await?)) })
        .buffer_unordered(JOINING_PARALLEL)
        .try_collect()
        .await?;
    let (took, used) = (began.elapsed().as_secs_f64(), product.cpu()? - before);
    let all = joined.len() as f64;
    println!(
        "  {size} proxies join: {:.0} a second, {:.2} ms of the server's processor for each",
        all / took,
        used.as_secs_f64() * 1e3 / all
    );
    let (_, (_, [authority, server_name])) = joined.first_key_value().context("somebody")?;
    let (authority, server_name) = (authority.clone(), server_name.clone());
    let proxies = joined.into_iter().map(|(id, (identity, _))| (id, identity)).collect();
    let identities = Identities { authority, server_name, proxies };
    Ok(std::fs::write(file, serde_json::to_vec(&identities)?)?)
}

/// What a proxy shows; whom it trusts, and the name that it looks for.
async fn admitted(product: &Product, id: &str) -> Result<(Identity, [String; 2])> {
    let token = product.invite(id).await?;
    let applicant = Applicant::new()?;
    let told = product.join(&token, applicant.request()).await?;
    let text = |key: &str| told[key].as_str().map(str::to_owned).context(key.to_owned());
    let key = applicant.key().expose_str().context("PEM")?.to_owned();
    let identity = Identity { certificate: text("certificate")?, key };
    Ok((identity, [text("authority")?, text("serverName")?]))
}
