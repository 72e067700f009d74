//! Keeps Envoy running: starts it again when it exits, and knows whether it is live.

use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tokio::process::Child;
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::process::{Files, terminate};
use super::{Bootstrap, Found, log};

/// Before the second start; doubles with each further one.
const BACKOFF_MIN: Duration = Duration::from_millis(200);
/// The longest wait between two starts.
const BACKOFF_MAX: Duration = Duration::from_secs(10);
/// A life of this length was a good one: the next wait begins small again.
const GOOD_LIFE: Duration = Duration::from_secs(60);
/// Starts that may fail before Envoy was ever live; then its configuration must be wrong.
const FIRST_STARTS_MAX: u32 = 3;
/// After SIGTERM, before SIGKILL.
const EXIT_MAX: Duration = Duration::from_secs(5);
/// Between two looks at `/ready` while starting, and while live.
const PROBE_STARTING: Duration = Duration::from_millis(30);
const PROBE_LIVE: Duration = Duration::from_secs(1);

/// What is known of Envoy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// Not yet live, or not any more.
    Starting,
    /// It answers, and its admin interface is here.
    Live(SocketAddr),
}

/// An Envoy to keep running.
pub struct Supervisor {
    envoy: Found,
    files: Files,
    health: watch::Sender<Health>,
    shown: log::Shown,
}

impl Supervisor {
    /// Writes the bootstrap, and ends what an earlier run has left.
    pub async fn new(
        envoy: Found,
        state: &Path,
        bootstrap: &Bootstrap,
        shown: log::Shown,
    ) -> anyhow::Result<(Self, watch::Receiver<Health>)> {
        let files = Files::new(state)?;
        files.end_stale().await?;
        let text = serde_json::to_string_pretty(&bootstrap.json())?;
        std::fs::write(files.bootstrap(), text).context("cannot write Envoy's bootstrap")?;
        let (health, watch) = watch::channel(Health::Starting);
        Ok((Self { envoy, files, health, shown }, watch))
    }

    /// Runs until `stop`, or until Envoy proves unable to start.
    ///
    /// On a thread of its own: the kernel ends Envoy when the thread that started it ends, and
    /// threads of a runtime may.
    pub async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        let (done, result) = oneshot::channel();
        std::thread::Builder::new().name("envoy".to_owned()).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let ended = match runtime {
                Ok(runtime) => runtime.block_on(self.supervise(&stop)),
                Err(error) => Err(error.into()),
            };
            // Nobody listens any more only when the process is ending.
            let _ = done.send(ended);
        })?;
        result.await.context("the thread that watches Envoy panicked")?
    }

    async fn supervise(&self, stop: &CancellationToken) -> anyhow::Result<()> {
        let mut wait = BACKOFF_MIN;
        let mut failed_starts = 0;
        let mut ever_live = false;
        loop {
            let started = Instant::now();
            let Some(end) = self.live_once(stop).await? else { return Ok(()) };
            ever_live |= end.was_live;
            failed_starts += 1;
            if !ever_live && failed_starts == FIRST_STARTS_MAX {
                bail!("Envoy does not start ({}); it said:\n{}", end.status, end.tail.join("\n"));
            }
            if started.elapsed() > GOOD_LIFE {
                wait = BACKOFF_MIN;
            }
            metrics::counter!("margrave_envoy_restarts_total").increment(1);
            tracing::error!(status = %end.status, again_in = ?wait, "Envoy ended by itself");
            tokio::select! {
                () = tokio::time::sleep(wait) => wait = (wait * 2).min(BACKOFF_MAX),
                () = stop.cancelled() => return Ok(()),
            }
        }
    }

    /// One life: `None` when it was ended because of `stop`.
    async fn live_once(&self, stop: &CancellationToken) -> anyhow::Result<Option<End>> {
        let mut child = self.files.start(&self.envoy)?;
        tracing::info!(pid = child.id(), version = %self.envoy.version, "Envoy started");
        let stderr = child.stderr.take().context("Envoy's stderr is piped")?;
        let lines = tokio::spawn(log::forward(stderr, stop.clone(), Arc::clone(&self.shown)));
        let mut was_live = false;
        let ended = tokio::select! {
            status = child.wait() => Some(status?),
            () = self.probe(&mut was_live) => None,
            () = stop.cancelled() => None,
        };
        self.health.send_replace(Health::Starting);
        match ended {
            Some(status) => {
                let tail = lines.await.unwrap_or_default();
                Ok(Some(End { status, was_live, tail }))
            }
            None => {
                self.end(&mut child).await?;
                Ok(None)
            }
        }
    }

    async fn end(&self, child: &mut Child) -> anyhow::Result<()> {
        terminate(child);
        if tokio::time::timeout(EXIT_MAX, child.wait()).await.is_err() {
            tracing::warn!("Envoy did not end within {EXIT_MAX:?}: killing it");
            child.kill().await?;
        }
        Ok(())
    }

    /// Looks at `/ready` for ever.
    async fn probe(&self, was_live: &mut bool) {
        let client = reqwest::Client::builder().timeout(Duration::from_secs(2)).build();
        let Ok(client) = client else { return std::future::pending().await };
        loop {
            let health = self.look(&client).await;
            if self.health.send_replace(health) != health {
                tracing::info!(live = health != Health::Starting, "Envoy's health changed");
            }
            *was_live |= health != Health::Starting;
            let live = health != Health::Starting;
            tokio::time::sleep(if live { PROBE_LIVE } else { PROBE_STARTING }).await;
        }
    }

    async fn look(&self, client: &reqwest::Client) -> Health {
        let address = std::fs::read_to_string(self.files.admin_address());
        let Some(admin) = address.ok().and_then(|text| text.trim().parse::<SocketAddr>().ok())
        else {
            return Health::Starting;
        };
        let answer = client.get(format!("http://{admin}/ready")).send().await;
        match answer {
            Ok(answer) if answer.status().is_success() => Health::Live(admin),
            _ => Health::Starting,
        }
    }
}

/// How a life ended.
struct End {
    status: ExitStatus,
    was_live: bool,
    tail: Vec<String>,
}
