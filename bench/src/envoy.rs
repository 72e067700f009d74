//! An Envoy of the bench's own, and what it costs.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tokio::process::{Child, Command};

use crate::usage;

/// A running Envoy.
pub(crate) struct Envoy {
    child: Child,
    folder: tempfile::TempDir,
}

/// Where it writes what its admin port is.
const ADMIN: &str = "admin";

impl Envoy {
    /// Starts one with this bootstrap (JSON), with an admin port of its own.
    pub(crate) async fn start(envoy: &Path, folder: &Path, mut bootstrap: Value) -> Result<Self> {
        bootstrap["admin"]["address"]["socket_address"]["port_value"] = 0.into();
        let folder = tempfile::Builder::new().prefix("envoy-").tempdir_in(folder)?;
        let path = folder.path().join("bootstrap.json");
        std::fs::write(&path, bootstrap.to_string())?;
        let log = std::fs::File::create(folder.path().join("log"))?;
        let child = Command::new(envoy)
            .arg("--config-path")
            .arg(&path)
            .arg("--admin-address-path")
            .arg(folder.path().join(ADMIN))
            .args(["--use-dynamic-base-id", "--disable-hot-restart", "--concurrency", "1"])
            .args(["--log-level", "warning"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .context("Envoy starts")?;
        Ok(Self { child, folder })
    }

    /// A page of its admin port, once it has one.
    fn page(&self, path: &str) -> Option<String> {
        let admin = std::fs::read_to_string(self.folder.path().join(ADMIN)).ok()?;
        let admin: SocketAddr = admin.trim().parse().ok()?;
        Some(format!("http://{admin}{path}"))
    }

    /// Whether it has loaded everything and listens.
    pub(crate) fn is_live(&self) -> impl Future<Output = bool> + use<> {
        let url = self.page("/ready");
        async move {
            let Some(url) = url else { return false };
            reqwest::get(url).await.is_ok_and(|answer| answer.status().is_success())
        }
    }

    /// Resident memory, in MB.
    pub(crate) fn memory_mb(&self) -> Result<f64> {
        memory_mb(self.child.id().context("running")?)
    }

    /// The size of the page that a Prometheus would fetch, in bytes.
    pub(crate) async fn statistics_bytes(&self) -> Result<usize> {
        let url = self.page("/stats/prometheus").context("it listens")?;
        Ok(reqwest::get(url).await?.bytes().await?.len())
    }
}

/// Resident memory of a process, in MB.
pub(crate) fn memory_mb(pid: u32) -> Result<f64> {
    status_mb(pid, "VmRSS")
}

/// The most resident memory that a process had since it was last forgotten, in MB.
pub(crate) fn peak_mb(pid: u32) -> Result<f64> {
    status_mb(pid, "VmHWM")
}

/// From now on the most is what it has now, or comes to have.
pub(crate) fn forget_peak(pid: u32) -> Result<()> {
    const PEAK: &str = "5";
    Ok(std::fs::write(format!("/proc/{pid}/clear_refs"), PEAK)?)
}

/// Resident memory of a process, shared pages by its part of them, in MB.
pub(crate) fn proportional_mb(pid: u32) -> Result<f64> {
    field_mb(&format!("/proc/{pid}/smaps_rollup"), "Pss:")
}

fn status_mb(pid: u32, what: &str) -> Result<f64> {
    field_mb(&format!("/proc/{pid}/status"), what)
}

fn field_mb(path: &str, what: &str) -> Result<f64> {
    let text = std::fs::read_to_string(path)?;
    let line = text.lines().find(|line| line.starts_with(what)).with_context(|| what.to_owned())?;
    let kilobytes: f64 = line.split_whitespace().nth(1).context("a number")?.parse()?;
    Ok(kilobytes / 1024.0)
}

/// Processor time that a process has used.
pub(crate) fn cpu(pid: u32) -> Result<Duration> {
    /// Of a second: what Linux tells user space, whatever it counts in.
    const TICK_MILLIS: u64 = 10;
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // After the name, which may hold anything.
    let fields = stat.rsplit_once(')').context("a name")?.1.split_whitespace();
    let ticks: Vec<u64> = fields.skip(11).take(2).filter_map(|field| field.parse().ok()).collect();
    Ok(Duration::from_millis(ticks.iter().sum::<u64>() * TICK_MILLIS))
}

/// Where Envoy is.
pub(crate) fn program() -> Result<PathBuf> {
    usage::program(None, "MARGRAVE_ENVOY", "an Envoy")
}

/// Awaits that something is so, and says how long it took.
pub(crate) async fn until<F>(
    what: &str,
    within: Duration,
    mut is_so: impl FnMut() -> F,
) -> Result<Duration>
where
    F: Future<Output = bool>,
{
    let began = Instant::now();
    loop {
        if is_so().await {
            return Ok(began.elapsed());
        }
        if began.elapsed() > within {
            bail!("{what} did not happen within {within:?}");
        }
        tokio::task::yield_now().await;
    }
}
