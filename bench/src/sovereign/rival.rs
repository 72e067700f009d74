//! Sovereign as `bench/sovereign` configures it, with an Envoy of its own that polls it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tokio::process::{Child, Command};

use crate::envoy::{self, Envoy};
use crate::ports::{self, Held};
use crate::{product, usage};

/// Longer than it takes to render everything for the first time.
const PATIENCE: Duration = Duration::from_secs(120);
/// What is committed of it.
const FILES: [(&str, &str); 8] = [
    ("jinja.yaml", include_str!("../../sovereign/jinja.yaml")),
    ("python.yaml", include_str!("../../sovereign/python.yaml")),
    ("listeners.yaml.j2", include_str!("../../sovereign/listeners.yaml.j2")),
    ("clusters.yaml.j2", include_str!("../../sovereign/clusters.yaml.j2")),
    ("routes.yaml.j2", include_str!("../../sovereign/routes.yaml.j2")),
    ("listeners.py", include_str!("../../sovereign/listeners.py")),
    ("clusters.py", include_str!("../../sovereign/clusters.py")),
    ("routes.py", include_str!("../../sovereign/routes.py")),
];
/// The group of its proxies.
pub(super) const GROUP: &str = "edge";

/// A running Sovereign.
pub(super) struct Rival {
    child: Child,
    pub(super) address: SocketAddr,
    /// Where its Envoy listens.
    pub(super) public: SocketAddr,
    envoy: Option<Envoy>,
    instances: PathBuf,
    services: Vec<Value>,
    _ports: [Held; 2],
}

impl Rival {
    /// Starts it with so many services, with templates of this kind.
    pub(super) async fn start(
        folder: &Path,
        templates: &str,
        services: usize,
        upstream: SocketAddr,
    ) -> Result<Self> {
        let folder = folder.join(format!("sovereign-{templates}-{services}"));
        std::fs::create_dir_all(&folder)?;
        let instances = folder.join("instances.json");
        for (name, text) in FILES {
            let text = text.replace("FOLDER", &folder.display().to_string());
            let text = text.replace("INSTANCES", &instances.display().to_string());
            std::fs::write(folder.join(name), text)?;
        }
        let ports = [ports::hold()?, ports::hold()?];
        let [address, public] = [ports[0].address, ports[1].address];
        let configuration = folder.join(format!("{templates}.yaml"));
        let log = std::fs::File::create(folder.join("sovereign.log"))?;
        let services: Vec<_> = (0..services).map(|n| service(n, upstream, "seed")).collect();
        let mut command = Command::new(program()?);
        command
            .env("SOVEREIGN_CONFIG", format!("file+yaml://{}", configuration.display()))
            .env("SOVEREIGN_HOST", address.ip().to_string())
            .env("SOVEREIGN_PORT", address.port().to_string())
            .env("SOVEREIGN_WORKERS", "1")
            .env("BENCH_PORT", public.port().to_string())
            .current_dir(&folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true);
        write(&instances, &services)?;
        let child = command.spawn().context("Sovereign starts")?;
        let this = Self { child, address, public, envoy: None, instances, services, _ports: ports };
        let health = format!("http://{address}/healthcheck");
        envoy::until("Sovereign is ready", PATIENCE, || async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            reqwest::get(&health).await.is_ok_and(|answer| answer.status().is_success())
        })
        .await?;
        Ok(this)
    }

    /// An Envoy polls it from now on.
    pub(super) async fn connect(&mut self, program: &Path, folder: &Path) -> Result<()> {
        self.envoy = Some(Envoy::start(program, folder, bootstrap(self.address)).await?);
        Ok(())
    }

    /// Nobody polls it any more.
    pub(super) fn disconnect(&mut self) {
        self.envoy = None;
    }

    /// A service changes, as whatever feeds Sovereign would change it: in its source.
    pub(super) fn change(&mut self, n: usize, upstream: SocketAddr, mark: &str) -> Result<()> {
        self.services[n] = service(n, upstream, mark);
        write(&self.instances, &self.services)
    }

    /// Its processes: a master and its workers.
    pub(super) fn processes(&self) -> Result<Vec<u32>> {
        let master = self.child.id().context("running")?;
        let children = std::fs::read_to_string(format!("/proc/{master}/task/{master}/children"))?;
        let workers = children.split_whitespace().filter_map(|pid| pid.parse().ok());
        Ok(std::iter::once(master).chain(workers).collect())
    }

    /// Ends it, workers and all.
    pub(super) async fn stop(mut self) -> Result<()> {
        drop(self.envoy.take());
        let pid = self.child.id().context("running")?.to_string();
        Command::new("kill").args(["-TERM", &pid]).status().await?;
        self.child.wait().await?;
        Ok(())
    }
}

/// Where it is.
pub(super) fn program() -> Result<PathBuf> {
    usage::program(None, "MARGRAVE_SOVEREIGN", "Sovereign's program")
}

/// What the templates see of a service: the same as Margrave's parameters say.
fn service(n: usize, upstream: SocketAddr, mark: &str) -> Value {
    json!({
        "name": format!("t{n}"), "service_clusters": [GROUP], "hostname": product::host(n),
        "address": upstream.ip(), "port": upstream.port(), "mark": mark,
    })
}

/// Whole or not at all: it may be read at any moment.
fn write(path: &Path, services: &[Value]) -> Result<()> {
    let new = path.with_extension("new");
    std::fs::write(&new, serde_json::to_vec(services)?)?;
    Ok(std::fs::rename(new, path)?)
}

/// An Envoy that polls this address each second: the shortest that is usual.
pub(super) fn bootstrap(address: SocketAddr) -> Value {
    let source = json!({"resource_api_version": "V3", "api_config_source": {
        "api_type": "REST", "transport_api_version": "V3", "cluster_names": ["sovereign"],
        // By default it is 1 s, and large sets are then never loaded.
        "refresh_delay": "1s", "request_timeout": "60s",
    }});
    let socket = json!({"socket_address": {"address": address.ip(), "port_value": address.port()}});
    json!({
        "node": {"id": "bench", "cluster": GROUP},
        "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}},
        "dynamic_resources": {"cds_config": source, "lds_config": source},
        "static_resources": {"clusters": [{
            "name": "sovereign", "type": "STATIC", "connect_timeout": "5s",
            "load_assignment": {"cluster_name": "sovereign", "endpoints": [{"lb_endpoints": [
                {"endpoint": {"address": socket}}
            ]}]},
        }]},
    })
}
