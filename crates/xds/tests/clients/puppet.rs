//! A server whose strings are pulled by a child process, line by line of JSON.
//!
//! | the child says | and hears |
//! |---|---|
//! | `{"fresh": true}` | `{"address": "127.0.0.1:…"}` of a new server with nothing in it |
//! | `{"set": OWNER, "resources": [[TYPE, NAME, HEX]], "remove": [[TYPE, NAME]]}` | `{"seq": N}` |
//! | `{"await": KIND, "owner": OWNER}`, of `synced`, `settled`, `rejected` | `{"name": …, "message": …}` when it has happened |
//!
//! It must end by itself, with success.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use model::{Node, Resource, TypeUrl, Version};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::sync::mpsc;
use xds::{
    Ads, Cache, Change, ClientStatus, Condition, Directory, Event, Limits, Options, ResourceStatus,
};

/// For all of one script, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

struct One(Arc<Cache>);

impl Directory for One {
    fn assign(&self, _node: &Node) -> Result<Arc<Cache>, String> {
        Ok(self.0.clone())
    }

    /// Two clients, of whom one has each condition that there is.
    fn status(&self, wanted: &dyn Fn(&Node) -> bool, most: usize) -> Option<Vec<ClientStatus>> {
        let node = |id: &str| Node { id: id.into(), cluster: "edge".into(), ..Node::default() };
        let resource = |name: &str, condition| ResourceStatus {
            type_url: model::type_urls::CLUSTER.into(),
            name: name.into(),
            version: format!("1.7-{name}"),
            condition,
        };
        let conditions = || {
            vec![
                resource("synced", Condition::Synced),
                resource("stale", Condition::Stale),
                resource("refused", Condition::Error("no such port".to_owned())),
                resource("unsent", Condition::NotSent),
            ]
        };
        let all = [("envoy-1", conditions()), ("envoy-2", Vec::new())];
        let all = all.into_iter().map(|(id, resources)| (node(id), resources));
        let told = all.filter(|(node, _)| wanted(node));
        assert!(most > 4);
        Some(told.map(|(node, resources)| ClientStatus { node: node.into(), resources }).collect())
    }
}

struct Puppet {
    cache: Arc<Cache>,
    events: mpsc::Receiver<Event>,
    address: String,
    server: tokio::task::JoinHandle<()>,
}

impl Puppet {
    async fn new(limits: Limits) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let cache = Arc::new(Cache::new(Options::default()));
        cache.open();
        let (sender, events) = mpsc::channel(1 << 16);
        let ads = Ads::new(Arc::new(One(cache.clone())), sender, limits);
        let server = tokio::spawn(async move {
            xds::serve(listener, None, ads, std::future::pending()).await.unwrap();
        });
        Self { cache, events, address, server }
    }

    async fn obey(&mut self, line: &Value, limits: Limits) -> Value {
        if line["fresh"] == true {
            self.server.abort();
            *self = Self::new(limits).await;
            return json!({"address": self.address});
        }
        match line["await"].as_str() {
            Some(kind) => self.wait(kind, line["owner"].as_str().unwrap_or_default()).await,
            None => json!({"seq": self.cache.apply(vec![change(line)])}),
        }
    }

    /// Waits for an event of a kind, of an owner where it has one.
    async fn wait(&mut self, kind: &str, of: &str) -> Value {
        loop {
            match self.events.recv().await.expect("the server lives") {
                Event::Synced { .. } if kind == "synced" => return json!({}),
                Event::Settled { owner, .. } if kind == "settled" && &*owner == of => {
                    return json!({});
                }
                Event::Rejected { owner, name, message, .. }
                    if kind == "rejected" && &*owner == of =>
                {
                    return json!({"name": &*name, "message": message});
                }
                _ => {}
            }
        }
    }
}

fn change(line: &Value) -> Change {
    let items = |key: &str| line[key].as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let resource = |item: Value| {
        let body = bytes_of(&text(&item[2]));
        Resource {
            type_url: TypeUrl::new(&text(&item[0])),
            name: text(&item[1]).into(),
            version: Version { epoch: 1, revision: 1, hash: Version::hash_of(&body) },
            body: body.into(),
        }
    };
    let removed = |item: Value| (TypeUrl::new(&text(&item[0])), text(&item[1]).into());
    Change {
        owner: text(&line["set"]).into(),
        set: items("resources").into_iter().map(resource).collect(),
        remove: items("remove").into_iter().map(removed).collect(),
    }
}

fn bytes_of(hex: &str) -> Vec<u8> {
    let pair = |at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal");
    (0..hex.len()).step_by(2).map(pair).collect()
}

/// A Python with what the clients are written on, put there by `tools/fetch.py`.
fn python() -> PathBuf {
    if let Some(path) = std::env::var_os("MARGRAVE_XDS_CLIENTS") {
        return path.into();
    }
    let home = PathBuf::from(std::env::var_os("HOME").expect("a home"));
    let cache = std::env::var_os("XDG_CACHE_HOME").map_or(home.join(".cache"), PathBuf::from);
    let versions = std::fs::read_dir(cache.join("margrave/xds-clients"));
    let found = versions.into_iter().flatten().flatten().map(|it| it.path().join("xds-clients"));
    found.into_iter().next().expect("the clients' Python is there: `tools/fetch.py xds-clients`")
}

/// Runs a script beside a server until it ends, which it must do well.
pub(crate) async fn run(script: &str, limits: Limits) {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients");
    let mut child = Command::new(python())
        .args(["-u", "-B", script])
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .spawn()
        .expect("Python runs");
    let mut says = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut hears = child.stdin.take().unwrap();
    let mut puppet = Puppet::new(limits).await;
    let whole = async {
        while let Some(line) = says.next_line().await.unwrap() {
            let line: Value = serde_json::from_str(&line).expect("a line of JSON");
            let answer = puppet.obey(&line, limits).await;
            hears.write_all(format!("{answer}\n").as_bytes()).await.unwrap();
        }
        child.wait().await.unwrap()
    };
    let status = tokio::time::timeout(PATIENCE, whole).await.expect("the script ends");
    assert!(status.success(), "{script}: {status}; what failed stands above");
}
