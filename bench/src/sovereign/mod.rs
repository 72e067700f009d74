//! Margrave beside Sovereign, the control plane whose users it is for: the same services in the same
//! run to the same Envoy. Margrave pushes over a stream, as its bootstrap has it; Sovereign is polled,
//! which is all that it knows. So that like is compared with like, Margrave is polled, too.

mod poll;
mod rival;

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::Value;

use self::poll::Poller;
use self::rival::Rival;
use crate::asker::Asker;
use crate::product::{self, Product};
use crate::scenario::percentiles;
use crate::usage::positive;
use crate::{envoy, upstream};

/// What each is polled for by a proxy that has all that it serves.
const OURS: [&str; 4] = ["clusters", "listeners", "routes", "scoped-routes"];
const THEIRS: [&str; 3] = ["clusters", "listeners", "routes"];

/// How large.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// Services present, one comparison each.
    #[arg(long, value_delimiter = ',', default_value = "100,1000", value_parser = positive)]
    services: Vec<usize>,
    /// Changes measured of each.
    #[arg(long, default_value_t = 10, value_parser = positive)]
    rounds: usize,
    /// Seconds of polls, and of rest, that are measured of each.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
}

/// What was measured of one control plane.
struct Row {
    /// Processor time of one poll of each type that finds nothing new.
    cycle: Duration,
    /// Of a core, while one Envoy is connected and nothing changes.
    rest: f64,
    /// From a change until a request through Envoy shows it, each.
    live: Vec<Duration>,
    /// Processor time until then, each.
    used: Duration,
    memory_mb: f64,
}

impl Row {
    fn row(&self, who: &str) -> String {
        let (median, worst) = percentiles(&self.live);
        format!(
            "{who:<24}{:>12.2}{:>12.2}{median:>12.1} /{worst:>9.1}{:>12.2}{:>10.0}",
            self.cycle.as_secs_f64() * 1e3,
            self.rest * 100.0,
            self.used.as_secs_f64() * 1e3,
            self.memory_mb,
        )
    }
}

struct Bench<'a> {
    args: &'a Args,
    folder: &'a Path,
    program: &'a Path,
    upstream: SocketAddr,
    /// What an Envoy says when it polls.
    said: Value,
}

/// Runs everything.
#[expect(clippy::print_stdout, reason = "the figures are what a bench is for")]
pub(crate) async fn run(binary: &Path, args: Args) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let program = envoy::program()?;
    rival::program()?;
    let said = poll::overheard(&program, folder.path()).await?;
    let upstream = upstream::start().await?;
    let bench = Bench { args: &args, folder: folder.path(), program: &program, upstream, said };
    for &services in &args.services {
        println!(
            "{services} services (a poll of {} bytes)\n{:<24}{:>12}{:>12}{:>23}{:>12}{:>10}",
            bench.said.to_string().len(),
            "",
            "cycle, ms",
            "rest, %",
            "live, ms p50 /    p99",
            "change, ms",
            "MB"
        );
        println!("{}", bench.margrave(binary, services).await?.row("Margrave"));
        for templates in ["jinja", "python"] {
            let row = bench.sovereign(templates, services).await?;
            println!("{}", row.row(&format!("Sovereign, {templates}")));
        }
    }
    println!(
        "cycle: processor time of a poll of each type that finds nothing new\n\
         rest: of a core, one Envoy connected, nothing changes (Sovereign's polls each second)\n\
         live: from a change until a request through Envoy shows it; change: processor time until then\n\
         Sovereign 0.32.12, one worker, its source read each second; see bench/sovereign"
    );
    Ok(())
}

/// Who is measured.
enum Subject {
    Margrave(Box<Product>),
    Sovereign(Box<Rival>),
}

impl Subject {
    /// Where it is polled.
    fn polled(&self) -> Result<SocketAddr> {
        match self {
            Self::Margrave(product) => product.listener("xds"),
            Self::Sovereign(rival) => Ok(rival.address),
        }
    }

    /// Where its Envoy listens.
    fn public(&self) -> Result<SocketAddr> {
        match self {
            Self::Margrave(product) => product.listener("public"),
            Self::Sovereign(rival) => Ok(rival.public),
        }
    }

    fn processes(&self) -> Result<Vec<u32>> {
        match self {
            Self::Margrave(product) => Ok(vec![product.process()?]),
            Self::Sovereign(rival) => rival.processes(),
        }
    }

    fn cpu(&self) -> Result<Duration> {
        self.processes()?.into_iter().map(envoy::cpu).sum()
    }

    /// What no two of its processes share, and its part of what they do.
    fn memory_mb(&self) -> Result<f64> {
        self.processes()?.into_iter().map(envoy::proportional_mb).sum()
    }

    /// A service changes where its changes come in.
    async fn change(&mut self, n: usize, upstream: SocketAddr, mark: &str) -> Result<()> {
        match self {
            Self::Margrave(product) => product.accept("PATCH", n, upstream, mark).await,
            Self::Sovereign(rival) => rival.change(n, upstream, mark),
        }
    }

    /// Until it may be changed again.
    async fn settled(&self, n: usize) -> Result<()> {
        match self {
            Self::Margrave(product) => product.end(n).await,
            Self::Sovereign(_) => Ok(()),
        }
    }

    async fn stop(self) -> Result<()> {
        match self {
            Self::Margrave(mut product) => product.stop().await,
            Self::Sovereign(rival) => rival.stop().await,
        }
    }
}

impl Bench<'_> {
    async fn margrave(&self, binary: &Path, services: usize) -> Result<Row> {
        let state = self.folder.join(format!("margrave-{services}"));
        std::fs::create_dir_all(&state)?;
        let (product, _) = Product::start(binary, &state, &[]).await?;
        product.fill(0, services, self.upstream).await?;
        let bootstrap = std::fs::read_to_string(state.join("envoy/bootstrap.json"))?;
        let bootstrap: Value = serde_json::from_str(&bootstrap)?;
        let mut said = self.said.clone();
        // Of the same group as its Envoy, and another proxy.
        said["node"]["cluster"] = bootstrap["node"]["cluster"].clone();
        self.row(Subject::Margrave(Box::new(product)), services, &OURS, &said).await
    }

    async fn sovereign(&self, templates: &str, services: usize) -> Result<Row> {
        let mut rival = Rival::start(self.folder, templates, services, self.upstream).await?;
        rival.connect(self.program, self.folder).await?;
        self.row(Subject::Sovereign(Box::new(rival)), services, &THEIRS, &self.said).await
    }

    async fn row(
        &self,
        mut subject: Subject,
        services: usize,
        types: &[&str],
        said: &Value,
    ) -> Result<Row> {
        let mut asker = Asker::new(subject.public()?);
        asker.until(&product::host(services - 1), " 200 ").await?;
        let time = Duration::from_secs(self.args.seconds);
        let cpu = subject.cpu()?;
        tokio::time::sleep(time).await;
        let rest = (subject.cpu()? - cpu).as_secs_f64() / time.as_secs_f64();
        let (mut live, mut used) = (Vec::new(), Duration::ZERO);
        for round in 0..=self.args.rounds {
            let (n, mark) = (round * 7 % services, format!("m{round}"));
            let cpu = subject.cpu()?;
            subject.change(n, self.upstream, &mark).await?;
            let took = asker.until(&product::host(n), &format!("x-mark: {mark}\r")).await?;
            subject.settled(n).await?;
            // The first is for warming up.
            if round > 0 {
                live.push(took);
                used += subject.cpu()? - cpu;
            }
        }
        let used = used / u32::try_from(self.args.rounds)?;
        let memory_mb = subject.memory_mb()?;
        let cycle = self.cycle(&mut subject, types, said).await?;
        subject.stop().await?;
        Ok(Row { cycle, rest, live, used, memory_mb })
    }

    /// Processor time of a cycle of polls, while no Envoy polls.
    async fn cycle(&self, subject: &mut Subject, types: &[&str], said: &Value) -> Result<Duration> {
        if let Subject::Sovereign(rival) = subject {
            rival.disconnect();
        }
        let poller = Poller::start(subject.polled()?, types, said).await?;
        let (began, cpu) = (Instant::now(), subject.cpu()?);
        let mut cycles = 0;
        while began.elapsed() < Duration::from_secs(self.args.seconds) {
            poller.cycle().await?;
            cycles += 1;
        }
        Ok((subject.cpu()? - cpu) / cycles)
    }
}
