//! A fleet in regions, each behind a way of its own: regions are cut off and healed, replicas and the
//! process that writes are killed, connections and packets are lost, templates are rolled out, while
//! tenants change. Every proxy
//! ends with what it should have; none goes backwards, none is emptied.

mod net;
mod platform;
mod proxy;
mod region;
mod relay;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use futures::future::join_all;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::watch;

pub(crate) use self::region::Args as RegionArgs;
pub(crate) use self::region::run as region;

use self::net::Net;
use self::platform::Platform;
use self::region::Told;
use self::relay::Relay;
use crate::crowd::{self, Way};
use crate::descriptors;
use crate::http2::Stream;
use crate::product::Product;
use crate::proxy::introduced;
use crate::usage::positive;

/// A region that is asked has answered by then.
const ANSWER: Duration = Duration::from_secs(1);
/// Longer than a fleet takes to follow.
const PATIENCE: Duration = Duration::from_secs(120);
/// Between two looks at what should be: it may have moved.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// One way to the nearest region, and so much more to each further one.
const DELAY_FIRST: Duration = Duration::from_millis(5);
const DELAY_STEP: Duration = Duration::from_millis(10);
/// Where no tenant's upstream is.
const UPSTREAM: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(203, 0, 113, 7)), 80);
/// Tenants that come and go, beside those that stay.
const COMING_AND_GOING: usize = 20;

/// How large, and for how long.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// Regions, each a group of its own.
    #[arg(long, default_value_t = 13, value_parser = positive)]
    regions: usize,
    /// Proxies of all of them together.
    #[arg(long, default_value_t = 2_000, value_parser = positive)]
    proxies: usize,
    /// Tenants that stay.
    #[arg(long, default_value_t = 100, value_parser = positive)]
    tenants: usize,
    /// Replicas of the control plane beside the process that writes.
    #[arg(long, default_value_t = 2)]
    replicas: usize,
    /// Seconds of each round while tenants change.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Changes a second.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rate: u32,
    /// Regions are network namespaces behind links of 100 Mbit/s whose packets can be lost. Needs root,
    /// `ip`, `tc` and `nft`. Without it all is on loopback.
    #[arg(long)]
    namespaces: bool,
    /// Of what is drawn by lot.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// What happens in a round, beside the changes of tenants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Round {
    Calm,
    OneRegionCut,
    HalfOfTheRegionsCut,
    ConnectionsLost,
    RolledOut,
    TakenBack,
    PacketsLost,
    ReplicaKilled,
    AllReplicasKilled,
    EverythingKilled,
}

const ROUNDS: [(Round, &str); 10] = [
    (Round::Calm, "nothing happens"),
    (Round::OneRegionCut, "a region is cut off"),
    (Round::HalfOfTheRegionsCut, "half of the regions are cut off"),
    (Round::ConnectionsLost, "all connections are lost, twice"),
    (Round::RolledOut, "other templates are rolled out"),
    (Round::TakenBack, "they are taken back"),
    (Round::PacketsLost, "of a hundred packets three are lost"),
    (Round::ReplicaKilled, "a replica is killed"),
    (Round::AllReplicasKilled, "all replicas are killed"),
    (Round::EverythingKilled, "everything is killed"),
];

/// A region, as it is seen from outside.
struct Region {
    name: String,
    size: usize,
    relay: Relay,
    told: watch::Receiver<(Instant, Told)>,
    ask: ChildStdin,
    _child: Child,
}

struct Sim {
    args: Args,
    net: Option<Net>,
    platform: Platform,
    regions: Vec<Region>,
    dice: u64,
    /// Which of those that come and go are there.
    there: [bool; COMING_AND_GOING],
    mark: usize,
}

/// Runs all rounds; an error if anything happened that never must.
#[expect(clippy::print_stdout, reason = "the figures are what it is for")]
pub(crate) async fn run(binary: &Path, args: Args) -> Result<()> {
    descriptors::suffice(2 * args.proxies)?;
    let folder = tempfile::tempdir()?;
    let mut sim = Sim::new(binary, folder.path(), args).await?;
    let Args { proxies, regions, tenants, replicas, .. } = sim.args;
    println!(
        "{proxies} proxies in {regions} regions, {tenants} tenants, {replicas} replicas beside the \
         process that writes\n{:<40}{:>8}{:>10}{:>10}{:>10}{:>10}{:>8}",
        "", "changes", "half, s", "last, s", "kB each", "streams", "cpu, s"
    );
    let came = sim.measured(0, Instant::now(), Totals::default()).await?;
    println!("{}", came.row("all come with nothing"));
    for (round, says) in ROUNDS {
        if !sim.can(round) {
            continue;
        }
        println!("{}", sim.round(round).await.context(says)?.row(says));
    }
    let (_, memory) = sim.platform.cost()?;
    println!("no proxy went backwards, none was emptied; memory of all processes: {memory:.0} MB");
    Ok(())
}

/// What is counted over all regions.
#[derive(Debug, Clone, Copy, Default)]
struct Totals {
    bytes: u64,
    opened: u64,
    cpu: Duration,
}

/// What a round took.
struct Row {
    changes: usize,
    half: Duration,
    last: Duration,
    kilobytes: f64,
    opened: u64,
    cpu: Duration,
}

impl Row {
    fn row(&self, says: &str) -> String {
        let Self { changes, half, last, kilobytes, opened, cpu } = self;
        let (half, last, cpu) = (half.as_secs_f64(), last.as_secs_f64(), cpu.as_secs_f64());
        format!(
            "{says:<40}{changes:>8}{half:>10.1}{last:>10.1}{kilobytes:>10.1}{opened:>10}{cpu:>8.1}"
        )
    }
}

impl Sim {
    async fn new(binary: &Path, state: &Path, args: Args) -> Result<Self> {
        let net = args.namespaces.then(|| Net::make(args.regions)).transpose()?;
        let platform = Platform::start(binary, state, args.replicas).await?;
        platform.product()?.seed(0, args.tenants, UPSTREAM).await?;
        let mut this = Self {
            dice: args.seed,
            net,
            platform,
            regions: Vec::new(),
            there: [false; COMING_AND_GOING],
            mark: 0,
            args,
        };
        for at in 0..this.args.regions {
            let region = this.region(at).await?;
            this.regions.push(region);
        }
        Ok(this)
    }

    async fn region(&self, at: usize) -> Result<Region> {
        let Args { regions, proxies, tenants, .. } = self.args;
        let size = proxies / regions + usize::from(at < proxies % regions);
        let ip = self.net.as_ref().map_or(Ipv4Addr::LOCALHOST.into(), Net::hub);
        let delay = DELAY_FIRST + DELAY_STEP * u32::try_from(at)?;
        let relay = Relay::start((ip, 0).into(), self.platform.targets.clone(), delay).await?;
        let name = format!("region-{at}");
        let mut line = if self.net.is_some() { Net::inside(at) } else { Vec::new() };
        line.push(std::env::current_exe()?.display().to_string());
        line.extend(["sim-region", "--name", &name].map(str::to_owned));
        for (flag, value) in [("--size", size), ("--floor", tenants)] {
            line.extend([flag.to_owned(), value.to_string()]);
        }
        line.extend(["--address".to_owned(), relay.address.to_string()]);
        let mut command = Command::new(&line[0]);
        command.args(&line[1..]).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn()?;
        let mut said = BufReader::new(child.stdout.take().context("piped")?).lines();
        let (tell, told) = watch::channel((Instant::now(), Told::default()));
        tokio::spawn(async move {
            while let Ok(Some(line)) = said.next_line().await {
                if let Ok(news) = serde_json::from_str(&line) {
                    tell.send_replace((Instant::now(), news));
                }
            }
        });
        let ask = child.stdin.take().context("piped")?;
        Ok(Region { name, size, relay, told, ask, _child: child })
    }

    /// Whether there is anything for it to happen to.
    fn can(&self, round: Round) -> bool {
        match round {
            Round::PacketsLost => self.net.is_some(),
            Round::ReplicaKilled | Round::AllReplicasKilled => self.platform.replicas() > 0,
            _ => true,
        }
    }

    fn totals(&self) -> Result<Totals> {
        let mut totals = Totals { cpu: self.platform.cost()?.0, ..Totals::default() };
        for region in &self.regions {
            let told = region.told.borrow();
            totals.bytes += told.1.bytes;
            totals.opened += told.1.opened;
        }
        Ok(totals)
    }

    /// Something happens while tenants change; then all is healed, and every proxy must follow.
    async fn round(&mut self, round: Round) -> Result<Row> {
        let before = self.totals()?;
        let rollout = self.platform.product()?.rollout().await?.0;
        self.strikes(round).await?;
        let changes = self.changes(round).await?;
        self.heals(round, rollout).await?;
        let mut row = self.measured(changes, Instant::now(), before).await?;
        if round == Round::EverythingKilled {
            // The processes that had used it are gone.
            row.cpu = Duration::ZERO;
        }
        Ok(row)
    }

    /// Awaits that all have what they should have, and tells what it took since `before`.
    async fn measured(&mut self, changes: usize, healed: Instant, before: Totals) -> Result<Row> {
        let mut took = self.converged(healed).await?;
        took.sort_unstable();
        let after = self.totals()?;
        let kilobytes = (after.bytes - before.bytes) as f64 / 1e3 / self.args.proxies as f64;
        Ok(Row {
            changes,
            half: took[took.len() / 2],
            last: took[took.len() - 1],
            kilobytes,
            opened: after.opened - before.opened,
            cpu: after.cpu.saturating_sub(before.cpu),
        })
    }

    async fn strikes(&mut self, round: Round) -> Result<()> {
        match round {
            Round::Calm => {}
            Round::OneRegionCut => self.cut(self.regions.len() - 1.., true)?,
            Round::HalfOfTheRegionsCut => self.cut(self.regions.len() / 2.., true)?,
            Round::ConnectionsLost => self.regions.iter().for_each(|region| region.relay.reset()),
            Round::RolledOut => self.platform.templates("two")?,
            Round::TakenBack => self.platform.product()?.revert().await?,
            Round::PacketsLost => self.lose(3)?,
            Round::ReplicaKilled => self.platform.kill_replica(0).await?,
            Round::AllReplicasKilled => self.kill_replicas().await?,
            Round::EverythingKilled => {
                self.kill_replicas().await?;
                self.platform.kill_writer().await?;
            }
        }
        Ok(())
    }

    /// `rollout`: the latest before.
    async fn heals(&mut self, round: Round, rollout: u64) -> Result<()> {
        match round {
            Round::OneRegionCut | Round::HalfOfTheRegionsCut => self.cut(0.., false)?,
            Round::ConnectionsLost => self.regions.iter().for_each(|region| region.relay.reset()),
            Round::PacketsLost => self.lose(0)?,
            Round::RolledOut | Round::TakenBack => self.platform.rolled_out(rollout).await?,
            _ => {}
        }
        self.platform.heal().await
    }

    async fn kill_replicas(&mut self) -> Result<()> {
        for at in 0..self.platform.replicas() {
            self.platform.kill_replica(at).await?;
        }
        Ok(())
    }

    fn cut(&self, which: std::ops::RangeFrom<usize>, cut: bool) -> Result<()> {
        for at in which.start..self.regions.len() {
            match &self.net {
                Some(net) => net.lose(at, if cut { 100 } else { 0 })?,
                None => self.regions[at].relay.cut(cut),
            }
        }
        Ok(())
    }

    fn lose(&self, of_a_hundred: u32) -> Result<()> {
        let net = self.net.as_ref().context("only in namespaces")?;
        (0..self.regions.len()).try_for_each(|at| net.lose(at, of_a_hundred))
    }

    fn below(&mut self, n: usize) -> usize {
        self.dice = self
            .dice
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.dice >> 33) as usize % n
    }

    /// Tenants change for as long as a round lasts; how often.
    async fn changes(&mut self, round: Round) -> Result<usize> {
        let end = Instant::now() + Duration::from_secs(self.args.seconds);
        let mut changes = 0;
        while Instant::now() < end {
            if round != Round::EverythingKilled {
                changes += usize::from(self.change().await?);
            }
            tokio::time::sleep(Duration::from_secs(1) / self.args.rate.max(1)).await;
        }
        Ok(changes)
    }

    /// One tenant changes, comes or goes; `false`: it is still busy with its last change.
    async fn change(&mut self) -> Result<bool> {
        self.mark += 1;
        let mark = format!("m{}", self.mark);
        let (n, method) = match self.below(4) {
            0 => {
                let at = self.below(COMING_AND_GOING);
                let there = self.there[at];
                self.there[at] = !there;
                (self.args.tenants + at, if there { "DELETE" } else { "PUT" })
            }
            _ => (self.below(self.args.tenants), "PATCH"),
        };
        let accepted = self.platform.product()?.wish(method, n, UPSTREAM, &mark).await?;
        if !accepted && n >= self.args.tenants {
            let at = n - self.args.tenants;
            self.there[at] = !self.there[at];
        }
        Ok(accepted)
    }

    /// Awaits that each region has what it should have; how long each took since `healed`.
    async fn converged(&mut self, healed: Instant) -> Result<Vec<Duration>> {
        let end = Instant::now() + PATIENCE;
        loop {
            let product = self.platform.product()?;
            product.settled().await?;
            let truth = self.truth(product).await?;
            let again = Instant::now() + LOOK_AGAIN;
            while Instant::now() < again {
                self.nothing_wrong()?;
                if let Some(took) = self.all_have(&truth, healed) {
                    return Ok(took);
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            if Instant::now() > end {
                let lacks = self.who_lacks(&truth);
                bail!("not all follow: {lacks}{}{}", self.differ().await?, self.odd().await?);
            }
        }
    }

    fn nothing_wrong(&self) -> Result<()> {
        for region in &self.regions {
            let told = &region.told.borrow().1;
            if let Some(first) = told.wrong.first() {
                bail!("{} things that never must be; the first: {first}", told.wrong.len());
            }
        }
        Ok(())
    }

    fn all_have(&self, truth: &[u64], healed: Instant) -> Option<Vec<Duration>> {
        let each = self.regions.iter().zip(truth).map(|(region, truth)| {
            let (at, told) = &*region.told.borrow();
            let all =
                told.digests.get(truth) == Some(&region.size) && told.connected == region.size;
            all.then(|| at.saturating_duration_since(healed))
        });
        each.collect()
    }

    fn who_lacks(&self, truth: &[u64]) -> String {
        let each = self.regions.iter().zip(truth).filter_map(|(region, truth)| {
            let told = &region.told.borrow().1;
            let have = told.digests.get(truth).copied().unwrap_or(0);
            let Region { name, size, .. } = region;
            let connected = told.connected;
            (have < *size).then(|| format!("{name} {have} of {size} ({connected} connected)"))
        });
        each.collect::<Vec<_>>().join(", ")
    }

    /// Where proxies of a region do not agree.
    async fn odd(&mut self) -> Result<String> {
        let mut said = String::new();
        for region in &mut self.regions {
            region.ask.write_all(b"?").await?;
            let told =
                region.told.wait_for(|(_, told)| told.digests.len() == 1 || !told.odd.is_empty());
            let told = tokio::time::timeout(ANSWER, told).await;
            let odd = told.map(|told| told.map(|told| told.1.odd.clone()));
            for odd in odd.into_iter().flatten().flatten() {
                said.push_str(&format!("\n  {} {odd}", region.name));
            }
        }
        Ok(said)
    }

    /// What a proxy that comes with nothing is given, in each region.
    async fn truth(&self, product: &Product) -> Result<Vec<u64>> {
        let address = product.listener("xds")?;
        let each = self.regions.iter().map(|region| learn(address, &region.name));
        join_all(each).await.into_iter().map(|it| Ok(it?.digest())).collect()
    }

    /// Where processes do not agree about what a proxy shall have.
    async fn differ(&self) -> Result<String> {
        let mut said = String::new();
        let group = &self.regions[0].name;
        let all = self.platform.targets.all();
        let all = all.iter().map(|address| learn(*address, group));
        let all: Vec<_> = join_all(all).await.into_iter().collect::<Result<_>>()?;
        for other in &all[1..] {
            let (one, other) = (all[0].here(), other.here());
            let differs = one.symmetric_difference(&other).take(4);
            said.extend(differs.map(|what| format!("\n  not in all processes: {what}")));
        }
        Ok(said)
    }
}

async fn learn(address: SocketAddr, group: &str) -> Result<proxy::Proxy> {
    let mut stream = Stream::connect(address, Way::Delta.method()).await?;
    let mut proxy = proxy::Proxy::new(proxy::Words::default(), 0);
    let words = introduced(&format!("{group}-learner"), group, &proxy.comes_back());
    words.into_iter().for_each(|word| stream.say(word));
    crowd::until_quiet(&mut stream, |bytes, out| {
        let mut rest = bytes;
        while let Some((says, _)) = proxy.take(std::mem::take(&mut rest))? {
            says.into_iter().for_each(|word| out.say(word));
        }
        Ok(())
    })
    .await?;
    Ok(proxy)
}
