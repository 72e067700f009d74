//! The measurements, in the order in which they are printed.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use model::{InstanceId, Node, Parameters, Plan, Spec, type_urls};
use render::{Draft, Endpoints, Input, Platform, Sources, Templates};
use serde_json::Value;

use crate::asker::Asker;
use crate::bare::Bare;
use crate::envoy::{self, Envoy};
use crate::ports::{self, Held};
use crate::product::{self, Product};
use crate::upstream;

/// Longer than an Envoy takes to load everything.
const PATIENCE: Duration = Duration::from_secs(300);

/// Runs everything.
#[expect(clippy::print_stdout, reason = "the figures are what a bench is for")]
pub(crate) async fn run(binary: &Path, tenants: &[usize], rounds: usize) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let program = envoy::program()?;
    let upstream = upstream::start().await?;
    let (product, started) = Product::start(binary, folder.path(), &[]).await?;
    let mut product = Arc::new(product);
    println!("start with no tenant: {}", seconds(started));
    println!();
    println!(
        "change → live, median / p99 in ms          margrave            bare server      ratio of medians"
    );
    let mut present = 0;
    for &wanted in tenants {
        let took = product.seed(present, wanted, upstream).await?;
        let rate = (wanted - present) as f64 / took.as_secs_f64();
        present = wanted;
        let bench = Rival::start(&program, folder.path(), present, upstream).await?;
        let pair = compare(&product, &bench, rounds, present, upstream).await?;
        // The new tenants of the comparison stay.
        present += rounds;
        println!("{wanted:>6} tenants, a changed one          {}", pair.changed.row());
        println!("{wanted:>6} tenants, a new one              {}", pair.new.row());
        println!(
            "        (provisioned at {rate:.0}/s, each awaited until live; margrave's memory {:.0} MB)",
            product.memory_mb()?
        );
    }
    println!();
    for (way, arguments) in [
        ("eager", vec!["--envoy", "none"]),
        ("on demand", vec!["--envoy", "none", "--on-demand", "true"]),
    ] {
        let owned = Arc::into_inner(product).context("nobody else holds it")?;
        let (again, cold) = owned.restart(&arguments).await?;
        println!(
            "{way}: margrave starts cold with {present} tenants in {}, {:.0} MB",
            seconds(cold),
            again.memory_mb()?
        );
        proxy(&program, folder.path(), &again, way, present).await?;
        product = Arc::new(again);
    }
    let mut last = Arc::into_inner(product).context("nobody else holds it")?;
    last.stop().await
}

/// A fresh Envoy joins a full platform: how long to its first answer, and what it then costs.
#[expect(clippy::print_stdout, reason = "the figures are what a bench is for")]
async fn proxy(
    program: &Path,
    folder: &Path,
    product: &Product,
    way: &str,
    tenants: usize,
) -> Result<()> {
    let mut bootstrap = product_bootstrap(folder)?;
    point_at(&mut bootstrap, product.listener("xds")?);
    let began = std::time::Instant::now();
    let proxy = Envoy::start(program, folder, bootstrap).await?;
    let ready = envoy::until("the proxy is live", PATIENCE, || proxy.is_live()).await?;
    let mut asker = Asker::new(product.listener("public")?);
    asker.until(&product::host(tenants / 2), " 200 ").await?;
    let answered = began.elapsed();
    let asked = (tenants / 100).max(1);
    for n in (0..tenants).step_by(tenants.div_ceil(asked)) {
        asker.until(&product::host(n), " 200 ").await?;
    }
    println!(
        "{way}: a proxy that joins listens after {}, answers after {}; after 1 % of the tenants were asked for: {:.0} MB, statistics {:.2} MB",
        seconds(ready),
        seconds(answered),
        proxy.memory_mb()?,
        proxy.statistics_bytes().await? as f64 / 1e6,
    );
    Ok(())
}

fn product_bootstrap(folder: &Path) -> Result<Value> {
    let path = folder.join("envoy/bootstrap.json");
    let text = std::fs::read_to_string(&path).with_context(|| format!("{}", path.display()))?;
    Ok(serde_json::from_str(&text)?)
}

fn seconds(duration: Duration) -> String {
    format!("{:.2} s", duration.as_secs_f64())
}

/// The bare server with its Envoy, loaded with the same resources.
struct Rival {
    bare: Bare,
    facts: Platform,
    templates: Templates,
    _envoy: Envoy,
    _ports: [Held; 2],
}

impl Rival {
    async fn start(
        program: &Path,
        folder: &Path,
        tenants: usize,
        upstream: SocketAddr,
    ) -> Result<Self> {
        let bare = Bare::start().await?;
        let templates = Templates::builtin();
        let ports = [ports::hold()?, ports::hold()?];
        let facts = facts(ports[0].address, ports[1].address);
        let node = Node::default();
        let group = templates.group(&facts, &node).map_err(|c| anyhow::anyhow!("{c:?}"))?;
        bare.load(group.into_iter().map(triple).collect());
        for n in 0..tenants {
            let drafts = tenant(&templates, &facts, n, upstream, "seed")?;
            bare.load(drafts.into_iter().map(triple).collect());
        }
        let mut bootstrap = product_bootstrap(folder)?;
        point_at(&mut bootstrap, bare.address);
        // Only now: an Envoy is told everything when it connects.
        let envoy = Envoy::start(program, folder, bootstrap).await?;
        let this = Self { bare, facts, templates, _envoy: envoy, _ports: ports };
        let mut asker = Asker::new(this.facts.public);
        asker.until(&product::host(tenants.saturating_sub(1)), " 200 ").await?;
        Ok(this)
    }

    fn tenant(&self, n: usize, upstream: SocketAddr, mark: &str) -> Result<Vec<Draft>> {
        tenant(&self.templates, &self.facts, n, upstream, mark)
    }

    /// A changed tenant: its route configurations. A new one: everything, in the order that works.
    fn push(&self, drafts: Vec<Draft>, new: bool) {
        let mut by_type: BTreeMap<String, Vec<(String, bytes::Bytes)>> = BTreeMap::new();
        for draft in drafts {
            let (type_url, name, body) = triple(draft);
            by_type.entry(type_url).or_default().push((name, body));
        }
        let order: &[&str] = if new {
            &[type_urls::CLUSTER, type_urls::ENDPOINT, type_urls::SCOPED_ROUTE, type_urls::ROUTE]
        } else {
            &[type_urls::ROUTE]
        };
        for type_url in order {
            if let Some(resources) = by_type.remove(*type_url) {
                self.bare.push(type_url, resources);
            }
        }
    }
}

/// What templates see of a platform that listens there.
pub(crate) fn facts(internal: SocketAddr, public: SocketAddr) -> Platform {
    Platform {
        zone: "example.com".to_owned(),
        internal,
        public,
        trusted_hops: 0,
        on_demand: false,
        shared_clusters: Vec::new(),
        shared_extensions: Vec::new(),
        sources: Sources::default(),
        direct: true,
        trusted_ca: render::TRUSTED_CA.to_owned(),
        access_log: None,
    }
}

/// One tenant's resources, by the same templates.
pub(crate) fn tenant(
    templates: &Templates,
    facts: &Platform,
    n: usize,
    upstream: SocketAddr,
    mark: &str,
) -> Result<Vec<Draft>> {
    let parameters = Parameters::from_json(&product::parameters(n, upstream, mark).to_string())
        .map_err(|refusals| anyhow::anyhow!("{refusals:?}"))?;
    let spec = Spec { plan: Plan::Public, hostnames: parameters.hostnames.clone(), parameters };
    let id: InstanceId = format!("t{n}").parse()?;
    let endpoints: Endpoints = BTreeMap::from([("default".to_owned(), vec![upstream])]);
    let input = Input { id: &id, spec: &spec, endpoints: &endpoints, callers: &[], withheld: &[] };
    templates.instance(facts, &Node::default(), input).map_err(|c| anyhow::anyhow!("{c:?}"))
}

fn triple(draft: Draft) -> (String, String, bytes::Bytes) {
    (draft.type_url.as_str().to_owned(), draft.name.to_string(), draft.body)
}

/// Replaces the address of the bootstrap's xDS cluster.
fn point_at(bootstrap: &mut Value, address: SocketAddr) {
    let cluster = &mut bootstrap["static_resources"]["clusters"][0]["load_assignment"];
    let socket =
        &mut cluster["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"]["socket_address"];
    socket["address"] = address.ip().to_string().into();
    socket["port_value"] = address.port().into();
}

/// Two series of the same length, measured in turn.
#[derive(Default)]
struct Series {
    margrave: Vec<Duration>,
    bare: Vec<Duration>,
}

impl Series {
    fn row(&self) -> String {
        let (ours, floor) = (percentiles(&self.margrave), percentiles(&self.bare));
        format!(
            "{:>7.1} / {:>6.1}   {:>9.1} / {:>6.1}   {:>8.2}",
            ours.0,
            ours.1,
            floor.0,
            floor.1,
            ours.0 / floor.0
        )
    }
}

/// Median and 99th of a hundred, in milliseconds.
pub(crate) fn percentiles(series: &[Duration]) -> (f64, f64) {
    let mut sorted: Vec<f64> = series.iter().map(|d| d.as_secs_f64() * 1e3).collect();
    sorted.sort_by(f64::total_cmp);
    let at = |part: f64| {
        sorted
            .get(((sorted.len() as f64 - 1.0) * part).round() as usize)
            .copied()
            .unwrap_or(f64::NAN)
    };
    (at(0.5), at(0.99))
}

struct Pair {
    changed: Series,
    new: Series,
}

/// Margrave and the bare server in turn, round by round, so that the machine's moods are shared.
async fn compare(
    product: &Product,
    rival: &Rival,
    rounds: usize,
    present: usize,
    upstream: SocketAddr,
) -> Result<Pair> {
    let mut pair = Pair { changed: Series::default(), new: Series::default() };
    let mut ours = Asker::new(product.listener("public")?);
    let mut floor = Asker::new(rival.facts.public);
    for round in 0..rounds {
        let (n, mark) = (round * 7 % present, format!("m{present}-{round}"));
        let wanted = format!("x-mark: {mark}");
        product.accept("PATCH", n, upstream, &mark).await?;
        pair.changed.margrave.push(ours.until(&product::host(n), &wanted).await?);
        product.end(n).await?;
        let drafts = rival.tenant(n, upstream, &mark)?;
        rival.push(drafts, false);
        pair.changed.bare.push(floor.until(&product::host(n), &wanted).await?);

        let n = present + round;
        product.accept("PUT", n, upstream, "seed").await?;
        pair.new.margrave.push(ours.until(&product::host(n), " 200 ").await?);
        product.end(n).await?;
        let drafts = rival.tenant(n, upstream, "seed")?;
        rival.push(drafts, true);
        pair.new.bare.push(floor.until(&product::host(n), " 200 ").await?);
    }
    Ok(pair)
}
