//! A discovery server and an Envoy that asks it, both on ports of their own.

use std::collections::HashMap;
use std::fs::File;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use model::{Node, Resource};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};
use xds::{Ads, Cache, Change, Directory, Event, Limits, Options};

use crate::config::{Json, Tenant, Way, address, gone, listener};
use crate::port::Port;
use crate::traffic::{get, try_get};

/// Long enough for a busy machine; nothing waits this long when all is well.
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);

/// What was heard of a proxy.
#[derive(Default, Clone)]
pub(crate) struct Heard {
    pub(crate) synced: u64,
    pub(crate) syncs: usize,
    pub(crate) closed: usize,
    pub(crate) polls: usize,
    pub(crate) settled: HashMap<String, u64>,
    /// Owner, then sequence number, resource and words.
    pub(crate) rejected: HashMap<String, (u64, String, String)>,
}

struct One(Arc<Cache>);

impl Directory for One {
    fn assign(&self, _node: &Node) -> Result<Arc<Cache>, String> {
        Ok(self.0.clone())
    }
}

/// Both ends of the line.
pub(crate) struct Edge {
    pub(crate) cache: Arc<Cache>,
    way: Way,
    pub(crate) http: SocketAddr,
    admin: SocketAddr,
    /// Of both.
    _ports: [Port; 2],
    /// Kept while the server is away, so that nobody else takes its port.
    socket: std::net::TcpListener,
    ads: Ads,
    heard: watch::Receiver<Heard>,
    serving: Option<(oneshot::Sender<()>, tokio::task::JoinHandle<()>)>,
    has: Mutex<HashMap<String, Vec<Resource>>>,
    process: Child,
    folder: tempfile::TempDir,
}

impl Drop for Edge {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Edge {
    /// A server with nothing but a listener, and an Envoy.
    pub(crate) async fn start(way: Way) -> Self {
        let cache = Arc::new(Cache::new(Options::default()));
        let (ports, folder) = ([Port::take(), Port::take()], tempfile::tempdir().unwrap());
        let [http, admin] = ports.each_ref().map(|port| port.address);
        let change =
            Change { owner: "platform".into(), set: vec![listener(http, way)], remove: vec![] };
        cache.apply(vec![change]);
        cache.open();
        let (events, receiver) = mpsc::channel(1 << 10);
        let (teller, heard) = watch::channel(Heard::default());
        tokio::spawn(listen(receiver, teller));
        let ads = Ads::new(Arc::new(One(cache.clone())), events, Limits::default());
        ads.speak_json(Arc::new(Json));
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        let process = envoy(&folder, way, socket.local_addr().unwrap(), admin);
        let has = Mutex::default();
        let mut edge = Self {
            cache,
            way,
            http,
            admin,
            _ports: ports,
            socket,
            ads,
            heard,
            serving: None,
            has,
            process,
            folder,
        };
        edge.serve();
        edge
    }

    fn serve(&mut self) {
        let socket = TcpListener::from_std(self.socket.try_clone().unwrap()).unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let ads = self.ads.clone();
        let task = tokio::spawn(async move {
            let stopped = async {
                let _ = stopped.await;
            };
            xds::serve(socket, None, ads, stopped).await.unwrap();
        });
        self.serving = Some((stop, task));
    }

    /// The server goes away; its cache stays.
    pub(crate) async fn stop(&mut self) {
        let (stop, task) = self.serving.take().unwrap();
        let _ = stop.send(());
        task.await.unwrap();
    }

    /// It comes back where it was.
    pub(crate) async fn back(&mut self) {
        let (events, receiver) = mpsc::channel(1 << 10);
        let (teller, heard) = watch::channel(Heard::default());
        tokio::spawn(listen(receiver, teller));
        self.heard = heard;
        self.ads = Ads::new(Arc::new(One(self.cache.clone())), events, Limits::default());
        self.serve();
    }

    /// Gives a tenant what it wants, and takes away what it had and does not want.
    pub(crate) fn change(&self, tenant: &Tenant) -> u64 {
        self.cache.apply(vec![self.wish(&tenant.name, tenant.resources(self.way))])
    }

    pub(crate) fn change_all(&self, tenants: &[Tenant]) -> u64 {
        let wishes =
            tenants.iter().map(|tenant| self.wish(&tenant.name, tenant.resources(self.way)));
        self.cache.apply(wishes.collect())
    }

    pub(crate) fn remove(&self, tenant: &Tenant) -> u64 {
        self.cache.apply(vec![self.wish(&tenant.name, Vec::new())])
    }

    fn wish(&self, owner: &str, set: Vec<Resource>) -> Change {
        let old = self.has.lock().unwrap().insert(owner.to_owned(), set.clone());
        let remove = gone(&old.unwrap_or_default(), &set);
        Change { owner: owner.into(), set, remove }
    }

    /// Waits until something was heard.
    pub(crate) async fn heard(&self, what: &str, is: impl Fn(&Heard) -> bool) -> Heard {
        let mut heard = self.heard.clone();
        let waiting = heard.wait_for(|heard| is(heard));
        match tokio::time::timeout(PATIENCE, waiting).await {
            Ok(heard) => heard.expect("the server runs").clone(),
            Err(_) => panic!("{what}: not in {PATIENCE:?}; Envoy said: {}", self.log()),
        }
    }

    /// Waits until Envoy has all of a tenant's change.
    pub(crate) async fn settled(&self, tenant: &Tenant, seq: u64) {
        let name = &tenant.name;
        let heard = self.heard(name, |heard| {
            heard.settled.get(name).is_some_and(|settled| *settled >= seq)
                || heard.rejected.get(name).is_some_and(|(refused, ..)| *refused >= seq)
        });
        let heard = heard.await;
        let refused = heard.rejected.get(name).filter(|(refused, ..)| *refused >= seq);
        assert!(refused.is_none(), "{name} was refused: {refused:?}");
    }

    /// Waits until Envoy answers a request as it should, asking again after each of its polls.
    pub(crate) async fn answers(&self, host: &str, status: u16, says: Option<&str>) {
        let mut heard = self.heard.clone();
        let asking = async {
            loop {
                heard.changed().await.expect("the server runs");
                let Some(answer) = try_get(self.http, host, "/").await else { continue };
                let said = answer.headers.get("x-says").map(String::as_str);
                if (answer.status, said) == (status, says) {
                    return;
                }
            }
        };
        let answered = tokio::time::timeout(PATIENCE, asking).await;
        assert!(answered.is_ok(), "{host}: not {status} {says:?}; Envoy said: {}", self.log());
    }

    pub(crate) async fn synced(&self) {
        self.heard("synced", |heard| heard.syncs > 0).await;
    }

    /// A number of Envoy's statistics, summed over all whose name matches the regex.
    pub(crate) async fn statistic(&self, regex: &str) -> u64 {
        let path = format!("/stats?filter=^{regex}$");
        let answer = get(self.admin, "admin", &path).await;
        let numbers = answer.body.lines().filter_map(|line| line.rsplit(": ").next());
        numbers.filter_map(|number| number.parse::<u64>().ok()).sum()
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

async fn listen(mut events: mpsc::Receiver<Event>, teller: watch::Sender<Heard>) {
    while let Some(event) = events.recv().await {
        teller.send_modify(|heard| match event {
            Event::Synced { seq, .. } => {
                heard.synced = seq;
                heard.syncs += 1;
            }
            Event::Settled { owner, seq, .. } => {
                heard.settled.insert(owner.to_string(), seq);
            }
            Event::Rejected { owner, seq, name, message, .. } => {
                heard.rejected.insert(owner.to_string(), (seq, name.to_string(), message));
            }
            Event::Closed { .. } => heard.closed += 1,
            Event::Polled { .. } => heard.polls += 1,
            Event::Opened { .. } | Event::Ahead { .. } => {}
        });
    }
}

/// The Envoy to try things on: `MARGRAVE_ENVOY`, else the pinned one in the cache, else PATH.
fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("MARGRAVE_ENVOY") {
        return path.into();
    }
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let cached = home.join(".cache/margrave/envoy/1.40.0/envoy");
    if cached.exists() { cached } else { "envoy".into() }
}

fn envoy(folder: &tempfile::TempDir, way: Way, xds: SocketAddr, admin: SocketAddr) -> Child {
    let retry = json!({"retry_back_off": {"base_interval": "0.1s", "max_interval": "0.5s"}});
    let mut dynamic = json!({"lds_config": way.source()});
    if way != (Way::OnDemand { beside_all: false }) {
        dynamic["cds_config"] = way.source();
    }
    let aggregated = match way {
        Way::Aggregated(api) => Some(api),
        Way::OnDemand { .. } => Some("DELTA_GRPC"),
        Way::Single(_) | Way::Polling => None,
    };
    if let Some(api) = aggregated {
        dynamic["ads_config"] = json!({
            "api_type": api, "transport_api_version": "V3",
            "grpc_services": [{"envoy_grpc": {"cluster_name": "xds", "retry_policy": retry}}],
        });
    }
    let mut bootstrap = json!({
        "node": {"id": "envoy-1", "cluster": "edge"},
        "admin": {"address": address(admin)},
        "dynamic_resources": dynamic,
        "static_resources": {"clusters": [{
            "name": "xds", "type": "STATIC", "connect_timeout": "1s",
            "load_assignment": {"cluster_name": "xds", "endpoints": [
                {"lb_endpoints": [{"endpoint": {"address": address(xds)}}]},
            ]},
        }]},
    });
    if way != Way::Polling {
        let options = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
        bootstrap["static_resources"]["clusters"][0]["typed_extension_protocol_options"] = json!({
            options: {
                "@type": format!("type.googleapis.com/{options}"),
                "explicit_http_config": {"http2_protocol_options": {}},
            },
        });
    }
    let config = folder.path().join("bootstrap.json");
    std::fs::write(&config, bootstrap.to_string()).unwrap();
    let log = File::create(folder.path().join("log")).unwrap();
    Command::new(binary())
        .args(["--use-dynamic-base-id", "--concurrency", "1", "--log-level", "warning", "-c"])
        .arg(config)
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .expect("Envoy 1.40 runs: set MARGRAVE_ENVOY, or `make envoy`")
}
