//! The platform of the simulation: the process that writes, and replicas that answer proxies beside it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tokio::process::{Child, Command};

use super::relay::Targets;
use crate::envoy;
use crate::product::{Product, SERVED};
use crate::templates;

/// In the state folder: what the process that writes is configured with.
const TEMPLATES: &str = "templates";
/// One group first, then all.
const STAGES: &str = "first=region-0@1s; rest=*@1s";
/// Longer than a start takes.
const PATIENCE: Duration = Duration::from_secs(300);

/// A replica of the control plane.
struct Replica {
    name: String,
    child: Option<Child>,
    answers: Option<SocketAddr>,
}

async fn serve(binary: &Path, state: &Path) -> Result<Product> {
    let folder = state.join(TEMPLATES).display().to_string();
    Product::serve(binary, state, &["--templates", &folder, "--rollout-stages", STAGES]).await
}

/// All processes.
pub(crate) struct Platform {
    pub(crate) product: Option<Arc<Product>>,
    replicas: Vec<Replica>,
    binary: PathBuf,
    state: PathBuf,
    /// Where regions are led to.
    pub(crate) targets: Targets,
}

impl Platform {
    /// The process that writes and so many replicas.
    pub(crate) async fn start(binary: &Path, state: &Path, replicas: usize) -> Result<Self> {
        templates::save(&state.join(TEMPLATES), None)?;
        let product = serve(binary, state).await?;
        let replica = |at| Replica { name: format!("r{at}"), child: None, answers: None };
        let mut this = Self {
            product: Some(Arc::new(product)),
            replicas: (0..replicas).map(replica).collect(),
            binary: binary.to_owned(),
            state: state.to_owned(),
            targets: Targets::default(),
        };
        for at in 0..replicas {
            this.start_replica(at).await?;
        }
        this.lead()?;
        Ok(this)
    }

    /// The process that writes; an error while it is down.
    pub(crate) fn product(&self) -> Result<&Arc<Product>> {
        self.product.as_ref().context("the process that writes is down")
    }

    /// Other templates are saved: they will be rolled out.
    pub(crate) fn templates(&self, mark: &str) -> Result<()> {
        templates::save(&self.state.join(TEMPLATES), Some(mark))
    }

    /// Awaits the end of a roll-out that came after this one; an error if it was halted.
    pub(crate) async fn rolled_out(&self, after: u64) -> Result<()> {
        self.product()?.rolled_out(after).await
    }

    /// How many replicas there are.
    pub(crate) fn replicas(&self) -> usize {
        self.replicas.len()
    }

    /// Processor time and memory (MB) of everything that answers proxies.
    pub(crate) fn cost(&self) -> Result<(Duration, f64)> {
        let pids = self.replicas.iter().filter_map(|replica| replica.child.as_ref()?.id());
        let (mut cpu, mut memory) = (Duration::ZERO, 0.0);
        for pid in pids {
            cpu += envoy::cpu(pid)?;
            memory += envoy::memory_mb(pid)?;
        }
        if let Some(product) = &self.product {
            cpu += product.cpu()?;
            memory += product.memory_mb()?;
        }
        Ok((cpu, memory))
    }

    /// kill -9 of a replica.
    pub(crate) async fn kill_replica(&mut self, at: usize) -> Result<()> {
        if let Some(mut child) = self.replicas[at].child.take() {
            child.kill().await?;
        }
        self.replicas[at].answers = None;
        self.lead()
    }

    /// kill -9 of the process that writes.
    pub(crate) async fn kill_writer(&mut self) -> Result<()> {
        let product = self.product.take().context("it runs")?;
        Arc::into_inner(product).context("nobody else holds it")?.kill().await?;
        self.lead()
    }

    /// Starts whatever does not run.
    pub(crate) async fn heal(&mut self) -> Result<()> {
        if self.product.is_none() {
            self.product = Some(Arc::new(serve(&self.binary, &self.state).await?));
        }
        for at in 0..self.replicas.len() {
            if self.replicas[at].child.is_none() {
                self.start_replica(at).await?;
            }
        }
        self.lead()
    }

    async fn start_replica(&mut self, at: usize) -> Result<()> {
        let name = self.replicas[at].name.clone();
        let endpoints = self.state.join("replicas").join(&name).join("endpoints.json");
        let _ = std::fs::remove_file(&endpoints);
        let log = self.state.join(format!("{name}.log"));
        let log = std::fs::OpenOptions::new().create(true).append(true).open(log)?;
        let mut command = Command::new(&self.binary);
        command.args(["serve", "--role", "plane", "--replica", &name, "--state"]).arg(&self.state);
        command.args(["--listen-metrics=0", "--listen-xds=0"]).args(SERVED);
        command.env("MARGRAVE_LOG", "warn").stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let mut child = command.kill_on_drop(true).spawn()?;
        let told = || {
            let text = std::fs::read_to_string(&endpoints).ok()?;
            serde_json::from_str::<Value>(&text).ok()?["xds"].as_str()?.parse().ok()
        };
        envoy::until("a replica tells where it answers", PATIENCE, || async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            told().is_some()
        })
        .await?;
        if let Some(status) = child.try_wait()? {
            bail!("replica {name} ended with {status}");
        }
        (self.replicas[at].child, self.replicas[at].answers) = (Some(child), told());
        Ok(())
    }

    /// Leads regions to whatever answers.
    fn lead(&self) -> Result<()> {
        let mut all: Vec<_> = self.replicas.iter().filter_map(|replica| replica.answers).collect();
        if let Some(product) = &self.product {
            all.push(product.listener("xds")?);
        }
        self.targets.set(all);
        Ok(())
    }
}
