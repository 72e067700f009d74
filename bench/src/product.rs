//! Margrave itself, the release binary, filled with tenants through its front door.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use futures::{StreamExt, TryStreamExt, stream};
use serde_json::{Value, json};
use tokio::process::{Child, Command};

use crate::envoy;
use crate::usage::Usage;

pub(crate) const USERNAME: &str = "bench";
pub(crate) const PASSWORD: &str = "only-for-the-bench";
/// Where the fleet's listeners are: every process must say the same.
pub(crate) const SERVED: [&str; 2] = ["--listen-public=10080", "--listen-internal=11080"];
/// Requests in flight while tenants are made.
const SEEDING_PARALLEL: usize = 64;
/// The same when nobody waits for each.
const FILLING_PARALLEL: usize = 128;
/// Tenants of one team, so that no team's share of the workers is in the way.
const PER_TEAM: usize = 20;
/// The group of proxies that name none.
pub(crate) const GROUP: &str = "default";
/// Between two looks at who is there.
const LOOK: Duration = Duration::from_millis(50);
/// Longer than a crowd takes to come back.
const RETURN: Duration = Duration::from_secs(1800);
/// Longer than any start or operation takes.
const PATIENCE: Duration = Duration::from_secs(600);

/// A running `margrave dev` with its own Envoy.
pub(crate) struct Product {
    child: Child,
    binary: PathBuf,
    state: PathBuf,
    client: reqwest::Client,
    pub(crate) endpoints: Value,
    pub(crate) catalog: Value,
}

impl Product {
    /// Starts it on this state folder, with these further arguments; returns how long it took.
    pub(crate) async fn start(
        binary: &Path,
        state: &Path,
        arguments: &[&str],
    ) -> Result<(Self, Duration)> {
        Self::spawn(binary, state, "dev", arguments).await
    }

    /// Starts `margrave serve` on this state folder: everything, or again what was killed.
    pub(crate) async fn serve(binary: &Path, state: &Path, arguments: &[&str]) -> Result<Self> {
        let arguments: Vec<&str> = SERVED.iter().chain(arguments).copied().collect();
        Ok(Self::spawn(binary, state, "serve", &arguments).await?.0)
    }

    async fn spawn(
        binary: &Path,
        state: &Path,
        kind: &str,
        arguments: &[&str],
    ) -> Result<(Self, Duration)> {
        let _ = std::fs::remove_file(state.join("endpoints.json"));
        let log =
            std::fs::OpenOptions::new().create(true).append(true).open(state.join("bench.log"))?;
        let mut command = Command::new(binary);
        command.arg(kind).arg("--state").arg(state);
        for port in ["broker", "console", "metrics", "xds", "public", "internal", "envoy-admin"] {
            let flag = format!("--listen-{port}");
            if !arguments.iter().any(|argument| argument.starts_with(&flag)) {
                command.arg(flag).arg("0");
            }
        }
        command.args(arguments).env("MARGRAVE_LOG", "warn");
        command.env("MARGRAVE_BROKER_USERNAME", USERNAME).env("MARGRAVE_BROKER_PASSWORD", PASSWORD);
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| Usage(format!("{} cannot be started: {error}", binary.display())))?;
        let mut this = Self {
            child,
            binary: binary.to_owned(),
            state: state.to_owned(),
            client: reqwest::Client::new(),
            endpoints: Value::Null,
            catalog: Value::Null,
        };
        let took = this.ready().await?;
        this.endpoints = this.read_endpoints().context("endpoints.json")?;
        this.catalog = this.call("GET", "/v2/catalog", None).await?.1;
        Ok((this, took))
    }

    /// Awaits that it is ready; how long it took.
    async fn ready(&mut self) -> Result<Duration> {
        let began = Instant::now();
        while !self.probe().await {
            if let Some(status) = self.child.try_wait()? {
                let log = std::fs::read_to_string(self.state.join("bench.log")).unwrap_or_default();
                let (binary, last) =
                    (self.binary.display(), log.lines().last().unwrap_or("nothing"));
                bail!("{binary} has ended with {status} and said: {last}");
            }
            if began.elapsed() > PATIENCE {
                bail!("margrave is not ready within {PATIENCE:?}");
            }
        }
        Ok(began.elapsed())
    }

    fn probe(&self) -> impl Future<Output = bool> + use<> {
        let (endpoints, client) = (self.read_endpoints(), self.client.clone());
        async move {
            tokio::time::sleep(Duration::from_millis(2)).await;
            let Some(endpoints) = endpoints else { return false };
            let url = format!("{}/readyz", endpoints["metrics"].as_str().unwrap_or_default());
            client.get(url).send().await.is_ok_and(|answer| answer.status().is_success())
        }
    }

    fn read_endpoints(&self) -> Option<Value> {
        let text = std::fs::read_to_string(self.state.join("endpoints.json")).ok()?;
        serde_json::from_str(&text).ok()
    }

    /// Stops it as a user does, and starts it again on the same state.
    pub(crate) async fn restart(mut self, arguments: &[&str]) -> Result<(Self, Duration)> {
        self.stop().await?;
        let (binary, state) = (self.binary.clone(), self.state.clone());
        Self::start(&binary, &state, arguments).await
    }

    /// Stops it and awaits its end.
    pub(crate) async fn stop(&mut self) -> Result<()> {
        let pid = self.child.id().context("running")?.to_string();
        Command::new("kill").args(["-TERM", &pid]).status().await?;
        self.child.wait().await?;
        Ok(())
    }

    /// kill -9.
    pub(crate) async fn kill(mut self) -> Result<()> {
        Ok(self.child.kill().await?)
    }

    /// Where a listener of its Envoy is.
    pub(crate) fn listener(&self, exposure: &str) -> Result<SocketAddr> {
        Ok(self.endpoints[exposure].as_str().context("a listener")?.parse()?)
    }

    /// Its process.
    pub(crate) fn process(&self) -> Result<u32> {
        self.child.id().context("running")
    }

    /// Resident memory of the process, in MB.
    pub(crate) fn memory_mb(&self) -> Result<f64> {
        envoy::memory_mb(self.process()?)
    }

    /// From now on the most is what it has now, or comes to have.
    pub(crate) fn forget_peak(&self) -> Result<()> {
        envoy::forget_peak(self.process()?)
    }

    /// The most that it had since that was last forgotten.
    pub(crate) fn peak_mb(&self) -> Result<f64> {
        envoy::peak_mb(self.process()?)
    }

    /// Processor time that it has used.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        envoy::cpu(self.process()?)
    }

    /// The metrics page.
    pub(crate) async fn metrics(&self) -> Result<String> {
        let url = format!("{}/metrics", self.endpoints["metrics"].as_str().context("metrics")?);
        Ok(self.client.get(url).send().await?.text().await?)
    }

    async fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Result<(u16, Value)> {
        let url = format!("{}{path}", self.endpoints["broker"].as_str().context("a broker")?);
        let mut request = self
            .client
            .request(method.parse()?, url)
            .basic_auth(USERNAME, Some(PASSWORD))
            .header("x-broker-api-version", "2.17");
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await?;
        let status = answer.status().as_u16();
        Ok((status, answer.json().await.unwrap_or(Value::Null)))
    }

    /// Sends one tenant's wish; returns once the broker has accepted it.
    pub(crate) async fn accept(
        &self,
        method: &str,
        n: usize,
        upstream: SocketAddr,
        mark: &str,
    ) -> Result<()> {
        self.wished(method, n, &parameters(n, upstream, mark)).await
    }

    /// Sends an update of a tenant; returns once the broker has accepted it.
    pub(crate) async fn change(&self, n: usize, parameters: &Value) -> Result<()> {
        self.wished("PATCH", n, parameters).await
    }

    async fn wished(&self, method: &str, n: usize, parameters: &Value) -> Result<()> {
        match self.ask(method, n, parameters).await? {
            (202, _) => Ok(()),
            (status, body) => bail!("{method} t{n} was answered with {status}: {body}"),
        }
    }

    /// The same; whether it is accepted, or the tenant is busy, or is not as the wish supposes.
    pub(crate) async fn wish(
        &self,
        method: &str,
        n: usize,
        upstream: SocketAddr,
        mark: &str,
    ) -> Result<bool> {
        match self.ask(method, n, &parameters(n, upstream, mark)).await? {
            (202, _) => Ok(true),
            (200 | 404 | 409 | 410 | 422, _) => Ok(false),
            (status, body) => bail!("{method} t{n} was answered with {status}: {body}"),
        }
    }

    async fn ask(&self, method: &str, n: usize, parameters: &Value) -> Result<(u16, Value)> {
        let service = &self.catalog["services"][0];
        let plans = service["plans"].as_array().context("plans")?;
        let public = plans.iter().find(|plan| plan["name"] == "public").context("public")?;
        let body = json!({
            "service_id": service["id"], "plan_id": public["id"],
            "organization_guid": "bench", "space_guid": format!("team-{}", n / PER_TEAM),
            "parameters": parameters,
        });
        let mut path = format!("/v2/service_instances/t{n}?accepts_incomplete=true");
        if method == "DELETE" {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            path.push_str(&format!(
                "&service_id={}&plan_id={}",
                text(&service["id"]),
                text(&public["id"])
            ));
            return self.call(method, &path, None).await;
        }
        self.call(method, &path, Some(&body)).await
    }

    /// Awaits that no operation is in progress.
    pub(crate) async fn settled(&self) -> Result<()> {
        let began = Instant::now();
        loop {
            let (_, page) =
                self.call("GET", "/v1/operations?state=in%20progress&limit=1", None).await?;
            match page["operations"].as_array() {
                Some(operations) if operations.is_empty() => return Ok(()),
                Some(_) if began.elapsed() < PATIENCE => {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                _ => bail!("operations: {page}"),
            }
        }
    }

    /// The number of the latest roll-out, 0 if there was none; and how it ended, if it has.
    pub(crate) async fn rollout(&self) -> Result<(u64, Option<String>)> {
        let (_, status) = self.call("GET", "/v1/rollouts/status", None).await?;
        let rollout = &status["rollout"];
        let ended = rollout["endedAt"].is_i64().then(|| {
            let text = |key: &str| rollout[key].as_str().unwrap_or_default().to_owned();
            format!("{} {}", text("state"), text("reason")).trim().to_owned()
        });
        Ok((rollout["id"].as_u64().unwrap_or(0), ended))
    }

    /// Awaits the end of a roll-out that came after this one; an error if it was halted.
    pub(crate) async fn rolled_out(&self, after: u64) -> Result<()> {
        let began = Instant::now();
        loop {
            match self.rollout().await? {
                (id, Some(how)) if id > after && how == "done" => return Ok(()),
                (id, Some(how)) if id > after => bail!("roll-out {id} ended as {how}"),
                now if began.elapsed() > RETURN => bail!("the roll-out does not end: {now:?}"),
                _ => tokio::time::sleep(LOOK).await,
            }
        }
    }

    /// Takes the latest roll-out back.
    pub(crate) async fn revert(&self) -> Result<()> {
        match self.call("POST", "/v1/rollouts/revert", Some(&json!({}))).await? {
            (200, _) => Ok(()),
            (status, body) => bail!("a revert was answered with {status}: {body}"),
        }
    }

    /// Awaits the end of a tenant's operation.
    pub(crate) async fn end(&self, n: usize) -> Result<()> {
        self.ends(n, "succeeded").await
    }

    /// The same, of one that must fail.
    pub(crate) async fn fails(&self, n: usize) -> Result<()> {
        self.ends(n, "failed").await
    }

    async fn ends(&self, n: usize, how: &str) -> Result<()> {
        let began = Instant::now();
        let path = format!("/v2/service_instances/t{n}/last_operation");
        loop {
            let (_, body) = self.call("GET", &path, None).await?;
            match body["state"].as_str() {
                Some(state) if state == how => return Ok(()),
                Some("in progress") if began.elapsed() < PATIENCE => {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                _ => bail!("t{n}: {body}"),
            }
        }
    }

    /// How many proxies are connected, and how many of them have everything.
    pub(crate) async fn proxies(&self) -> Result<(usize, usize)> {
        let (_, fleet) = self.call("GET", "/v1/fleet", None).await?;
        let proxies = fleet["proxies"].as_array().context("proxies")?;
        let live = proxies.iter().filter(|proxy| proxy["state"] == "live").count();
        Ok((proxies.len(), live))
    }

    /// Until so many are there, and have everything. It is looked so seldom that looking costs little.
    pub(crate) async fn lives(&self, size: usize) -> Result<()> {
        let began = Instant::now();
        loop {
            let asked = Instant::now();
            let (connected, live) = self.proxies().await?;
            if (connected, live) == (size, size) {
                return Ok(());
            }
            if began.elapsed() > RETURN {
                bail!("{connected} of {size} are connected, {live} are live");
            }
            tokio::time::sleep(LOOK.max(asked.elapsed() * 10)).await;
        }
    }

    /// What lets a host join the default group as this proxy, once.
    pub(crate) async fn invite(&self, node: &str) -> Result<String> {
        let wish = json!({"group": GROUP, "node": node});
        let (status, made) = self.call("POST", "/v1/join-tokens", Some(&wish)).await?;
        let secret = made["secret"].as_str().map(str::to_owned);
        secret.with_context(|| format!("an invitation was answered with {status}: {made}"))
    }

    /// Joins: what the platform tells a host that brings a token and a request for a certificate.
    pub(crate) async fn join(&self, token: &str, request: &str) -> Result<Value> {
        let wish = json!({"token": token, "request": request});
        match self.call("POST", "/v1/join", Some(&wish)).await? {
            (200, joined) => Ok(joined),
            (status, body) => bail!("a join was answered with {status}: {body}"),
        }
    }

    /// Makes tenants `from..to`, through the broker, and awaits that all are.
    pub(crate) async fn fill(
        &self,
        from: usize,
        to: usize,
        upstream: SocketAddr,
    ) -> Result<Duration> {
        let began = Instant::now();
        stream::iter(from..to)
            .map(|n| self.accept("PUT", n, upstream, "seed"))
            .buffer_unordered(FILLING_PARALLEL)
            .try_collect::<()>()
            .await?;
        self.settled().await?;
        Ok(began.elapsed())
    }

    /// Makes tenants `from..to`, through the broker, and awaits that each is live.
    pub(crate) async fn seed(
        self: &Arc<Self>,
        from: usize,
        to: usize,
        upstream: SocketAddr,
    ) -> Result<Duration> {
        let began = Instant::now();
        stream::iter(from..to)
            .map(|n| {
                let this = self.clone();
                async move {
                    this.accept("PUT", n, upstream, "seed").await?;
                    this.end(n).await
                }
            })
            .buffer_unordered(SEEDING_PARALLEL)
            .try_collect::<()>()
            .await?;
        Ok(began.elapsed())
    }
}

/// One tenant: a hostname, an upstream, and a response header that tells which version answers.
pub(crate) fn parameters(n: usize, upstream: SocketAddr, mark: &str) -> Value {
    json!({
        "service": format!("t{n}"), "upstream": format!("http://{upstream}"),
        "hostnames": [host(n)],
        "responseHeaders": {"set": {"x-mark": mark}},
    })
}

/// A tenant's hostname.
pub(crate) fn host(n: usize) -> String {
    host_of(&format!("t{n}"))
}

/// A hostname of the platform.
pub(crate) fn host_of(name: &str) -> String {
    format!("{name}.example.com")
}
