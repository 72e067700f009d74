//! The real binary, started as a user starts it, with a state folder and ports of its own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

/// Longer than a start takes on a busy machine.
const START_PATIENCE: Duration = Duration::from_secs(180);
/// Longer than any operation takes, its deadline included.
const OPERATION_PATIENCE: Duration = Duration::from_secs(90);
/// The service and plans of the catalog, by name.
const SERVICE: &str = "load-balancer";

/// How to start a platform.
#[derive(Clone, Default)]
pub(crate) struct Options {
    /// Further arguments of `margrave dev`.
    pub(crate) arguments: Vec<String>,
    /// Further environment.
    pub(crate) environment: Vec<(String, String)>,
}

impl Options {
    pub(crate) fn argument(mut self, name: &str, value: impl Into<String>) -> Self {
        self.arguments.extend([name.to_owned(), value.into()]);
        self
    }
}

/// A running `margrave dev`.
pub(crate) struct Platform {
    child: Child,
    state: TempDir,
    options: Options,
    client: reqwest::Client,
    pub(crate) endpoints: Endpoints,
    catalog: Catalog,
}

/// Where everything listens, as the binary told.
#[derive(Debug, Clone)]
pub(crate) struct Endpoints {
    pub(crate) broker: String,
    pub(crate) metrics: String,
    pub(crate) xds: SocketAddr,
    pub(crate) public: SocketAddr,
    pub(crate) internal: SocketAddr,
    /// Envoy's, where one was started.
    pub(crate) admin: Option<SocketAddr>,
}

#[derive(Debug, Clone, Default)]
struct Catalog {
    service: String,
    internal: String,
    public: String,
}

/// An answer of the broker.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) retry_after: Option<String>,
    pub(crate) body: Value,
}

/// How an operation ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) state: String,
    pub(crate) description: String,
}

impl Ended {
    pub(crate) fn succeeded(&self) -> bool {
        self.state == "succeeded"
    }
}

const USERNAME: &str = "platform";
const PASSWORD: &str = "a-password-of-the-stories";

impl Platform {
    /// `username:password`, for programs that are told both.
    pub(crate) fn credentials() -> String {
        format!("{USERNAME}:{PASSWORD}")
    }

    /// The same, as a header has it.
    pub(crate) fn authorization() -> String {
        use base64::Engine;
        let pair = base64::engine::general_purpose::STANDARD.encode(Self::credentials());
        format!("Basic {pair}")
    }

    /// Starts one with a real Envoy.
    pub(crate) async fn start() -> Self {
        Self::start_with(Options::default()).await
    }

    /// Starts one with options.
    pub(crate) async fn start_with(options: Options) -> Self {
        let state = tempfile::tempdir().expect("a temporary folder");
        let child = spawn(state.path(), &options);
        let client = reqwest::Client::new();
        let endpoints = placeholder();
        let mut platform =
            Self { child, state, options, client, endpoints, catalog: Catalog::default() };
        platform.await_ready().await;
        platform
    }

    /// From now on no file of the process can grow beyond `bytes` ("unlimited": any), as on a full
    /// disk.
    pub(crate) async fn limit_files(&self, bytes: &str) {
        let pid = self.child.id().expect("running").to_string();
        let limit = format!("--fsize={bytes}:unlimited");
        let set = Command::new("prlimit").args(["--pid", &pid, &limit]).status().await;
        assert!(set.expect("prlimit runs").success());
    }

    /// The state folder.
    pub(crate) fn state(&self) -> &Path {
        self.state.path()
    }

    /// SIGKILL while others still talk to it; [`kill`](Self::kill) then waits for its end.
    pub(crate) async fn strike(&self) {
        let pid = self.child.id().expect("running").to_string();
        let sent = Command::new("kill").args(["-KILL", &pid]).status().await.expect("kill runs");
        assert!(sent.success());
    }

    /// SIGKILL, as the machine would: nothing is flushed, nobody is told.
    pub(crate) async fn kill(&mut self) {
        self.child.kill().await.expect("killed");
    }

    /// Starts the binary again on the same state and waits until it is ready.
    pub(crate) async fn restart(&mut self) {
        self.child = spawn(self.state.path(), &self.options);
        self.await_ready().await;
    }

    /// The process of its Envoy.
    pub(crate) async fn envoy(&self) -> String {
        let parent = self.child.id().expect("running").to_string();
        let found = Command::new("pgrep").args(["-P", &parent]).output().await.expect("pgrep runs");
        String::from_utf8_lossy(&found.stdout).trim().to_owned()
    }

    /// SIGTERM, and the exit status.
    pub(crate) async fn stop(&mut self) -> std::process::ExitStatus {
        let pid = self.child.id().expect("running").to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status().await.expect("kill runs");
        assert!(sent.success());
        tokio::time::timeout(START_PATIENCE, self.child.wait())
            .await
            .expect("it stops when asked")
            .expect("waited")
    }

    async fn await_ready(&mut self) {
        let deadline = Instant::now() + START_PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("waited") {
                panic!("margrave dev ended with {status}:\n{}", self.log());
            }
            if self.is_ready().await {
                break;
            }
            assert!(Instant::now() < deadline, "margrave dev is not ready:\n{}", self.log());
            sleep(Duration::from_millis(25)).await;
        }
        self.catalog = self.read_catalog().await;
    }

    async fn is_ready(&mut self) -> bool {
        let Some(endpoints) = read_endpoints(self.state.path()) else { return false };
        self.endpoints = endpoints;
        let url = format!("{}/readyz", self.endpoints.metrics);
        self.client.get(url).send().await.is_ok_and(|answer| answer.status().is_success())
    }

    /// What the binary has logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.state.path().join("stderr.log")).unwrap_or_default()
    }

    /// The metrics page.
    pub(crate) async fn metrics(&self) -> String {
        let url = format!("{}/metrics", self.endpoints.metrics);
        self.client.get(url).send().await.expect("metrics").text().await.expect("text")
    }

    /// The sum of a metric over its labels; 0 when it was never touched.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        let page = self.metrics().await;
        let of = |line: &&str| {
            let rest = line.strip_prefix(name);
            rest.is_some_and(|rest| rest.starts_with(' ') || rest.starts_with('{'))
        };
        page.lines()
            .filter(of)
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    }

    /// Any request to the broker.
    pub(crate) async fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Reply {
        self.try_call(method, path, body).await.expect("the broker answers")
    }

    /// Any request to the broker, which may be down.
    pub(crate) async fn try_call(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Reply, reqwest::Error> {
        self.send(&Self::authorization(), &[], method, path, body).await
    }

    /// Any request to the broker, by somebody else, with further headers.
    pub(crate) async fn call_as(
        &self,
        authorization: &str,
        headers: &[(&str, String)],
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Reply {
        self.send(authorization, headers, method, path, body).await.expect("the broker answers")
    }

    async fn send(
        &self,
        authorization: &str,
        headers: &[(&str, String)],
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Reply, reqwest::Error> {
        let method = method.parse().expect("a method");
        let url = format!("{}{path}", self.endpoints.broker);
        let mut request = self
            .client
            .request(method, url)
            .header("authorization", authorization)
            .header("x-broker-api-version", "2.17");
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await?;
        let status = answer.status().as_u16();
        let retry_after = answer.headers().get("retry-after");
        let retry_after = retry_after.and_then(|value| value.to_str().ok()).map(str::to_owned);
        let text = answer.text().await?;
        Ok(Reply { status, retry_after, body: serde_json::from_str(&text).unwrap_or(Value::Null) })
    }

    async fn read_catalog(&self) -> Catalog {
        let catalog = self.call("GET", "/v2/catalog", None).await.body;
        let by_name = |list: &Value, name: &str| {
            let items = list.as_array().cloned().unwrap_or_default();
            items.into_iter().find(|item| item["name"] == name).unwrap_or_default()
        };
        let service = by_name(&catalog["services"], SERVICE);
        let id = |value: &Value| value["id"].as_str().unwrap_or_default().to_owned();
        Catalog {
            service: id(&service),
            internal: id(&by_name(&service["plans"], "internal")),
            public: id(&by_name(&service["plans"], "public")),
        }
    }

    /// The OSB envelope for a descriptor (JSON, with its `visibility`).
    pub(crate) fn envelope(&self, descriptor: &Value) -> Value {
        let mut parameters = descriptor.clone();
        let visibility = parameters.as_object_mut().and_then(|map| map.remove("visibility"));
        let public = visibility == Some(json!("public"));
        let plan = if public { &self.catalog.public } else { &self.catalog.internal };
        json!({
            "service_id": self.catalog.service, "plan_id": plan, "parameters": parameters,
            "organization_guid": "stories", "space_guid": "team",
        })
    }

    fn path(id: &str) -> String {
        format!("/v2/service_instances/{id}")
    }

    /// OSB provision, accepted or not.
    pub(crate) async fn put(&self, id: &str, descriptor: &Value) -> Reply {
        let path = format!("{}?accepts_incomplete=true", Self::path(id));
        self.call("PUT", &path, Some(&self.envelope(descriptor))).await
    }

    /// OSB update, accepted or not.
    pub(crate) async fn patch(&self, id: &str, descriptor: &Value) -> Reply {
        let path = format!("{}?accepts_incomplete=true", Self::path(id));
        self.call("PATCH", &path, Some(&self.envelope(descriptor))).await
    }

    /// OSB deprovision, accepted or not.
    pub(crate) async fn delete(&self, id: &str) -> Reply {
        let (service, plan) = (&self.catalog.service, &self.catalog.internal);
        let path = format!(
            "{}?accepts_incomplete=true&service_id={service}&plan_id={plan}",
            Self::path(id)
        );
        self.call("DELETE", &path, None).await
    }

    fn binding(id: &str, binding: &str) -> String {
        format!("{}/service_bindings/{binding}", Self::path(id))
    }

    /// OSB bind, accepted or not; `more` goes into the envelope.
    pub(crate) async fn bind(&self, id: &str, binding: &str, more: &Value) -> Reply {
        let mut body = more.clone();
        body["service_id"] = self.catalog.service.as_str().into();
        body["plan_id"] = self.catalog.public.as_str().into();
        self.call("PUT", &Self::binding(id, binding), Some(&body)).await
    }

    /// OSB unbind.
    pub(crate) async fn unbind(&self, id: &str, binding: &str) {
        let (service, plan) = (&self.catalog.service, &self.catalog.public);
        let path = format!("{}?service_id={service}&plan_id={plan}", Self::binding(id, binding));
        let reply = self.call("DELETE", &path, None).await;
        assert_eq!(reply.status, 200, "{reply:?}");
    }

    /// OSB last operation.
    pub(crate) async fn last_operation(&self, id: &str) -> Reply {
        self.call("GET", &format!("{}/last_operation", Self::path(id)), None).await
    }

    /// Polls until the instance's operation has ended.
    pub(crate) async fn end(&self, id: &str) -> Ended {
        let deadline = Instant::now() + OPERATION_PATIENCE;
        loop {
            let reply = self.last_operation(id).await;
            let text = |key: &str| reply.body[key].as_str().unwrap_or_default().to_owned();
            if reply.status == 200 && text("state") != "in progress" {
                return Ended { state: text("state"), description: text("description") };
            }
            assert!(Instant::now() < deadline, "{id} does not end: {reply:?}\n{}", self.log());
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// Provisions and awaits success.
    pub(crate) async fn provision(&self, id: &str, descriptor: &Value) {
        let reply = self.put(id, descriptor).await;
        assert_eq!(reply.status, 202, "{reply:?}");
        let ended = self.end(id).await;
        assert!(ended.succeeded(), "{ended:?}\n{}", self.log());
    }

    /// Updates and awaits success.
    pub(crate) async fn update(&self, id: &str, descriptor: &Value) {
        let reply = self.patch(id, descriptor).await;
        assert_eq!(reply.status, 202, "{reply:?}");
        let ended = self.end(id).await;
        assert!(ended.succeeded(), "{ended:?}\n{}", self.log());
    }

    /// Deprovisions and awaits success.
    pub(crate) async fn deprovision(&self, id: &str) {
        let reply = self.delete(id).await;
        assert_eq!(reply.status, 202, "{reply:?}");
        let ended = self.end(id).await;
        assert!(ended.succeeded(), "{ended:?}\n{}", self.log());
    }

    /// The command line tool against this platform.
    pub(crate) async fn margrave(&self, arguments: &[&str]) -> std::process::Output {
        let mut command = self.stranger(arguments);
        command.env("MARGRAVE_BROKER_USERNAME", USERNAME).env("MARGRAVE_BROKER_PASSWORD", PASSWORD);
        command.output().await.expect("margrave runs")
    }

    /// The command line tool of somebody who has no credentials of this platform.
    pub(crate) fn stranger(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_margrave"));
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("MARGRAVE_")) {
            command.env_remove(name);
        }
        command.args(arguments).env("MARGRAVE_URL", &self.endpoints.broker).stdin(Stdio::null());
        command.env("XDG_CONFIG_HOME", self.state.path().join("settings"));
        command.current_dir(self.state.path());
        command
    }
}

impl Drop for Platform {
    /// Asks it to stop, so that its Envoy stops too; `kill_on_drop` is behind it.
    fn drop(&mut self) {
        if std::thread::panicking() {
            let kept: PathBuf =
                std::env::temp_dir().join(format!("margrave-{}.log", std::process::id()));
            let _ = std::fs::write(kept, self.log());
        }
        if let Some(pid) = self.child.id() {
            let pid = pid.to_string();
            let _ = std::process::Command::new("kill").args(["-TERM", &pid]).status();
            for _ in 0..500 {
                if !matches!(self.child.try_wait(), Ok(None)) {
                    break;
                }
                let _ = std::process::Command::new("sleep").arg("0.01").status();
            }
        }
    }
}

fn spawn(state: &Path, options: &Options) -> Child {
    let _ = std::fs::remove_file(state.join("endpoints.json"));
    let log = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(state.join("stderr.log"))
        .expect("a log file");
    // The shell is replaced by the binary, which inherits that a file at its limit is an error to
    // be told and not a signal to die of.
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_margrave")]);
    command.arg("dev").arg("--state").arg(state);
    for port in ["broker", "console", "metrics", "xds", "public", "internal", "envoy-admin"] {
        let flag = format!("--listen-{port}");
        if !options.arguments.contains(&flag) {
            command.arg(flag).arg("0");
        }
    }
    command.args(&options.arguments);
    command.envs(options.environment.iter().map(|(name, value)| (name, value)));
    command.env("MARGRAVE_BROKER_USERNAME", USERNAME).env("MARGRAVE_BROKER_PASSWORD", PASSWORD);
    command.current_dir(state).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    command.kill_on_drop(true).spawn().expect("margrave starts")
}

fn placeholder() -> Endpoints {
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
    Endpoints {
        broker: String::new(),
        metrics: String::new(),
        xds: nowhere,
        public: nowhere,
        internal: nowhere,
        admin: None,
    }
}

fn read_endpoints(state: &Path) -> Option<Endpoints> {
    let text = std::fs::read_to_string(state.join("endpoints.json")).ok()?;
    let value: Value = serde_json::from_str(&text).ok()?;
    let address = |key: &str| value[key].as_str()?.parse().ok();
    Some(Endpoints {
        broker: value["broker"].as_str()?.to_owned(),
        metrics: value["metrics"].as_str()?.to_owned(),
        xds: address("xds")?,
        public: address("public")?,
        internal: address("internal")?,
        admin: address("admin"),
    })
}
