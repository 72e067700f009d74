//! A real Envoy, asked for its verdict on rendered resources or run with them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use model::type_urls;
use render::Draft;
use serde_json::{Value, json};

const MANAGER: &str = "/filter_chains/0/filters/0/typed_config";

/// Of what Envoy says, the part that is of interest.
const WORDS_BYTES: usize = 600;

/// The Envoy to try things on: `MARGRAVE_ENVOY`, else the pinned one in the cache, else PATH.
pub(crate) fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("MARGRAVE_ENVOY") {
        return path.into();
    }
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let cached = home.join(".cache/margrave/envoy/1.40.0/envoy");
    if cached.exists() { cached } else { "envoy".into() }
}

/// What `envoy --mode validate` says of a bootstrap; `Err` holds its last words.
pub(crate) fn validate(bootstrap: &Value) -> Result<(), String> {
    judge_file("bootstrap.json", bootstrap.to_string().as_bytes())
}

/// The same of a bootstrap in protobuf.
pub(crate) fn judge(bootstrap: &[u8]) -> Result<(), String> {
    judge_file("bootstrap.pb", bootstrap)
}

fn judge_file(name: &str, bootstrap: &[u8]) -> Result<(), String> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join(name);
    std::fs::write(&file, bootstrap).expect("writable");
    let output = run(&file);
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said: Vec<_> = said.lines().filter(|line| !line.trim().is_empty()).collect();
    let said = said.join("\n");
    // It repeats the whole resource; the reason is at the end.
    Err(said[said.floor_char_boundary(said.len().saturating_sub(WORDS_BYTES))..].to_owned())
}

fn run(file: &Path) -> Output {
    Command::new(binary())
        .args(["--mode", "validate", "--log-level", "error", "--concurrency", "1"])
        .args(["--log-format", "%v", "--use-dynamic-base-id", "-c"])
        .arg(file)
        .output()
        .expect("Envoy runs (MARGRAVE_ENVOY, or `make envoy`)")
}

/// A bootstrap that holds rendered resources as nearly as a static one can: the listeners as they
/// are, but with all scopes and their route configurations inline; clusters with their endpoints.
/// Envoy checks that each route's clusters are there.
pub(crate) fn bootstrap(listeners: &[Draft], instances: &[Draft]) -> Value {
    let scopes = of(instances, type_urls::SCOPED_ROUTE);
    static_bootstrap(listeners, instances, |_| scopes.clone())
}

/// The same, but each route configuration once, in the listener of its exposure: as much for Envoy
/// to judge in a fraction of the time.
pub(crate) fn terse_bootstrap(listeners: &[Draft], instances: &[Draft]) -> Value {
    static_bootstrap(listeners, instances, |listener| {
        let mut seen = BTreeSet::new();
        let mut scopes = of(instances, type_urls::SCOPED_ROUTE);
        scopes.retain(|scope| {
            let routes = scope["route_configuration_name"].as_str().unwrap_or_default();
            routes.split('/').next() == Some(listener) && seen.insert(routes.to_owned())
        });
        scopes
    })
}

fn of(drafts: &[Draft], url: &str) -> Vec<Value> {
    let found = drafts.iter().filter(|draft| draft.type_url.as_str() == url);
    found.map(|draft| draft.json.clone()).collect()
}

fn named(values: Vec<Value>, key: &str) -> BTreeMap<String, Value> {
    let name = |value: &Value| value[key].as_str().unwrap_or_default().to_owned();
    values.into_iter().map(|value| (name(&value), value)).collect()
}

fn static_bootstrap(
    listeners: &[Draft],
    instances: &[Draft],
    scopes: impl Fn(&str) -> Vec<Value>,
) -> Value {
    let routes = named(of(instances, type_urls::ROUTE), "name");
    let assignments = named(of(instances, type_urls::ENDPOINT), "cluster_name");
    let clusters = of(instances, type_urls::CLUSTER).into_iter();
    let clusters = clusters.map(|cluster| with_endpoints(cluster, &assignments));
    let listeners = listeners.iter().map(|draft| {
        let mut listener = draft.json.clone();
        let manager = listener.pointer_mut(MANAGER).expect("a connection manager");
        let scoped = manager["scoped_routes"].as_object_mut().expect("scoped routes");
        scoped.remove("scoped_rds");
        scoped.remove("rds_config_source");
        let scopes = scopes(&draft.name).into_iter().map(|scope| inline(scope, &routes));
        let list = json!({"scoped_route_configurations": scopes.collect::<Vec<_>>()});
        scoped.insert("scoped_route_configurations_list".into(), list);
        listener
    });
    json!({
        "node": {"id": "test", "cluster": "test"},
        "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}},
        "static_resources": {
            "clusters": clusters.collect::<Vec<_>>(),
            "listeners": listeners.collect::<Vec<_>>(),
        },
    })
}

/// A scope with its route configuration inside.
fn inline(mut scope: Value, routes: &BTreeMap<String, Value>) -> Value {
    let object = scope.as_object_mut().expect("a scope");
    let name = object.remove("route_configuration_name").expect("its route configuration");
    object.remove("on_demand");
    let mut routes = routes[name.as_str().expect("a name")].clone();
    routes["validate_clusters"] = true.into();
    object.insert("route_configuration".into(), routes);
    scope
}

/// An EDS cluster waits for a server; the same one with its endpoints inside is there at once.
fn with_endpoints(mut cluster: Value, assignments: &BTreeMap<String, Value>) -> Value {
    let name = cluster["name"].as_str().expect("a name").to_owned();
    let object = cluster.as_object_mut().expect("a cluster");
    object.remove("eds_cluster_config");
    object.insert("type".into(), "STATIC".into());
    object.insert("load_assignment".into(), assignments[&name].clone());
    cluster
}
