//! A real Envoy, an upstream, and a client, all on ports of their own.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use plane::Plane;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use crate::port::Port;
use crate::world::PATIENCE;

/// The Envoy to try things on: `MARGRAVE_ENVOY`, else the pinned one in the cache, else PATH.
pub(crate) fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("MARGRAVE_ENVOY") {
        return path.into();
    }
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let cached = home.join(".cache/margrave/envoy/1.40.0/envoy");
    if cached.exists() { cached } else { "envoy".into() }
}

/// An Envoy that is killed when this is dropped.
pub(crate) struct Envoy {
    process: Child,
    pub(crate) admin: SocketAddr,
    _port: Port,
    _folder: tempfile::TempDir,
}

impl Drop for Envoy {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Envoy {
    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Starts one that asks the plane at `xds`.
    pub(crate) fn start(id: &str, xds: SocketAddr) -> Self {
        Self::start_in("", id, xds)
    }

    /// The same of a proxy that says where it is.
    pub(crate) fn start_in(region: &str, id: &str, xds: SocketAddr) -> Self {
        Self::start_of(&binary(), region, id, xds)
    }

    /// Another program than the usual one.
    pub(crate) fn start_of(program: &Path, region: &str, id: &str, xds: SocketAddr) -> Self {
        Self::start_with(program, id, xds, |document| {
            document["node"]["locality"] = json!({"region": region});
        })
    }

    /// With a bootstrap that is changed.
    pub(crate) fn start_with(
        program: &Path,
        id: &str,
        xds: SocketAddr,
        change: impl FnOnce(&mut Value),
    ) -> Self {
        let (folder, port) = (tempfile::tempdir().unwrap(), Port::take());
        let admin = port.address;
        let config = folder.path().join("bootstrap.json");
        let mut document = bootstrap(id, xds, admin);
        change(&mut document);
        std::fs::write(&config, document.to_string()).unwrap();
        let log = File::create(folder.path().join("log")).unwrap();
        let process = Command::new(program)
            .args(["--use-dynamic-base-id", "--concurrency", "1", "--log-level", "warning", "-c"])
            .arg(config)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("Envoy runs (MARGRAVE_ENVOY, or `make envoy`)");
        Self { process, admin, _port: port, _folder: folder }
    }

    /// A number of Envoy's statistics.
    pub(crate) async fn statistic(&self, name: &str) -> u64 {
        let answer = get(self.admin, "admin", &format!("/stats?filter=^{name}$")).await;
        answer.1.rsplit(": ").next().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
    }
}

fn bootstrap(id: &str, xds: SocketAddr, admin: SocketAddr) -> Value {
    let ads = json!({"ads": {}, "resource_api_version": "V3"});
    let address = |at: SocketAddr| json!({"socket_address": {"address": at.ip().to_string(), "port_value": at.port()}});
    let retry = json!({"retry_back_off": {"base_interval": "0.1s", "max_interval": "0.5s"}});
    json!({
        "node": {"id": id, "cluster": "default"},
        "admin": {"address": address(admin)},
        "dynamic_resources": {
            "ads_config": {
                "api_type": "DELTA_GRPC", "transport_api_version": "V3",
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
                {"lb_endpoints": [{"endpoint": {"address": address(xds)}}]},
            ]},
        }]},
    })
}

/// The discovery service of a plane, served until this is dropped.
pub(crate) struct Xds {
    pub(crate) address: SocketAddr,
    pub(crate) port: Arc<Port>,
    stop: Option<oneshot::Sender<()>>,
    task: tokio::task::JoinHandle<()>,
}

impl Xds {
    pub(crate) async fn serve(plane: &Arc<Plane>, port: Arc<Port>) -> Self {
        let address = port.address;
        let listener = TcpListener::bind(address).await.unwrap();
        let (stop, stopped) = oneshot::channel();
        let ads = plane.service(xds::Limits::default());
        let task = tokio::spawn(async move {
            let served = xds::serve(listener, None, ads, async {
                let _ = stopped.await;
            });
            served.await.unwrap();
        });
        Self { address, port, stop: Some(stop), task }
    }

    /// Returns when the last stream has ended.
    pub(crate) async fn end(&mut self) {
        self.stop.take();
        (&mut self.task).await.unwrap();
    }
}

/// Answers every request with `text`; where it does so.
pub(crate) async fn upstream(text: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = [0; 4096];
                while matches!(client.read(&mut request).await, Ok(1..)) {
                    let answer =
                        format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{text}", text.len());
                    if client.write_all(answer.as_bytes()).await.is_err() {
                        break;
                    }
                }
            });
        }
    });
    address
}

/// The status and body that a request is answered with; waits until somebody listens.
pub(crate) async fn get(at: SocketAddr, host: &str, path: &str) -> (u16, String) {
    get_with(at, host, path, "").await
}

/// The same with further lines of headers.
pub(crate) async fn get_with(
    at: SocketAddr,
    host: &str,
    path: &str,
    headers: &str,
) -> (u16, String) {
    let connect = async {
        loop {
            match TcpStream::connect(at).await {
                Ok(stream) => return stream,
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    };
    let mut stream = tokio::time::timeout(PATIENCE, connect).await.expect("somebody listens");
    let request =
        format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n{headers}connection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let answer = read_answer(&mut stream).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    (status.unwrap_or_else(|| panic!("no answer: {answer:?}")), body.to_owned())
}

/// Up to the end of its body: Envoy closes a connection up to a second after its own answers.
async fn read_answer(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&answer);
        let length =
            text.split_once("content-length: ").and_then(|(_, rest)| rest.split_once('\r'));
        let length = length.and_then(|(length, _)| length.parse::<usize>().ok());
        let body = text.split_once("\r\n\r\n").map(|(_, body)| body.len());
        if body.zip(length).is_some_and(|(body, length)| body >= length)
            || stream.read_buf(&mut answer).await.unwrap() == 0
        {
            return String::from_utf8_lossy(&answer).into_owned();
        }
    }
}
