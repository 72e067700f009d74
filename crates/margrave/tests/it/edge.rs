//! An Envoy that no platform started: it outlives them all, and finds each behind a relay that leads to
//! the one that runs.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

/// Of what an Envoy asks with.
pub(crate) const DELTA: &str = "DELTA_GRPC";
pub(crate) const STATE_OF_THE_WORLD: &str = "GRPC";

/// A port of its own, which leads to the platform that runs, if any.
struct Relay {
    address: SocketAddr,
    to: Arc<Mutex<Option<SocketAddr>>>,
    task: JoinHandle<()>,
}

impl Relay {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let to = Arc::<Mutex<Option<SocketAddr>>>::default();
        let target = Arc::clone(&to);
        let task = tokio::spawn(async move {
            while let Ok((mut from, _)) = listener.accept().await {
                let to = *target.lock().expect("not poisoned");
                tokio::spawn(async move {
                    let Some(to) = to else { return };
                    if let Ok(mut to) = TcpStream::connect(to).await {
                        let _ = tokio::io::copy_bidirectional(&mut from, &mut to).await;
                    }
                });
            }
        });
        Self { address, to, task }
    }
}

/// A running Envoy.
pub(crate) struct Edge {
    /// Where its internal listener is, once a platform has told it.
    pub(crate) internal: SocketAddr,
    relay: Relay,
    envoy: Child,
    /// Keeps the port ours; Envoy shares it.
    _held: TcpSocket,
    _folder: tempfile::TempDir,
}

impl Edge {
    /// Starts one that finds no platform yet.
    pub(crate) async fn start() -> Self {
        Self::speaking(DELTA).await
    }

    /// The same, which speaks this `api_type`.
    pub(crate) async fn speaking(api: &str) -> Self {
        Self::start_at(([127, 0, 0, 1], 0).into(), api).await
    }

    /// Starts one whose internal listener shall be there.
    pub(crate) async fn start_at(internal: SocketAddr, api: &str) -> Self {
        let held = TcpSocket::new_v4().expect("a socket");
        held.set_reuseport(true).expect("shared");
        held.bind(internal).expect("a free port");
        let internal = held.local_addr().expect("bound");
        let relay = Relay::start().await;
        let folder = tempfile::tempdir().expect("a folder");
        let config = folder.path().join("bootstrap.json");
        std::fs::write(&config, bootstrap(relay.address, api).to_string()).expect("written");
        let envoy = Command::new(binary())
            .args(["--use-dynamic-base-id", "--concurrency", "1", "--log-level", "warning", "-c"])
            .arg(config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("Envoy 1.40 runs: set MARGRAVE_ENVOY, or `make envoy`");
        Self { internal, relay, envoy, _held: held, _folder: folder }
    }

    /// It does nothing any more, and is still connected.
    pub(crate) fn freeze(&self) {
        self.signal("-STOP");
    }

    /// It goes on.
    pub(crate) fn thaw(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let pid = self.envoy.id().expect("it runs").to_string();
        let sent = std::process::Command::new("kill").args([signal, &pid]).status();
        assert!(sent.expect("kill runs").success());
    }

    /// From now on this is the platform that it finds.
    pub(crate) fn lead_to(&self, xds: SocketAddr) {
        *self.relay.to.lock().expect("not poisoned") = Some(xds);
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        self.relay.task.abort();
    }
}

/// `MARGRAVE_ENVOY`, else the pinned one in the cache, else that of PATH.
pub(crate) fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("MARGRAVE_ENVOY") {
        return path.into();
    }
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let cached = home.join(".cache/margrave/envoy/1.40.0/envoy");
    if cached.exists() { cached } else { "envoy".into() }
}

fn bootstrap(xds: SocketAddr, api: &str) -> Value {
    let at = |address: SocketAddr| {
        json!({"socket_address": {
            "address": address.ip().to_string(), "port_value": address.port(),
        }})
    };
    let retry = json!({"retry_back_off": {"base_interval": "0.1s", "max_interval": "0.5s"}});
    let ads = json!({"ads": {}, "resource_api_version": "V3"});
    json!({
        "node": {"id": "edge-1", "cluster": "default", "locality": {"region": "eu"}},
        "admin": {"address": at(([127, 0, 0, 1], 0).into())},
        "dynamic_resources": {
            "ads_config": {
                "api_type": api, "transport_api_version": "V3",
                "grpc_services": [{"envoy_grpc": {"cluster_name": "xds", "retry_policy": retry}}],
            },
            "lds_config": ads, "cds_config": ads,
        },
        "static_resources": {"clusters": [{
            "name": "xds", "type": "STATIC", "connect_timeout": "1s",
            "typed_extension_protocol_options": {
                "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                    "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                    "explicit_http_config": {"http2_protocol_options": {}},
                },
            },
            "load_assignment": {"cluster_name": "xds", "endpoints": [
                {"lb_endpoints": [{"endpoint": {"address": at(xds)}}]},
            ]},
        }]},
    })
}
