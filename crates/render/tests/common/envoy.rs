//! A real Envoy, asked for its verdict on rendered resources or run with them.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use model::type_urls;
use render::Draft;
use serde_json::{Value, json};

const MANAGER: &str = "/filter_chains/0/filters/0/typed_config";

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
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("bootstrap.json");
    std::fs::write(&file, bootstrap.to_string()).expect("writable");
    let output = run(&file);
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(said.lines().filter(|line| !line.trim().is_empty()).collect::<Vec<_>>().join("\n"))
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
    let of = |url: &str| -> Vec<Value> {
        let found = instances.iter().filter(|draft| draft.type_url.as_str() == url);
        found.map(|draft| draft.json.clone()).collect()
    };
    let (routes, assignments) = (of(type_urls::ROUTE), of(type_urls::ENDPOINT));
    let scopes = of(type_urls::SCOPED_ROUTE).into_iter().map(|scope| inline(scope, &routes));
    let scopes: Vec<_> = scopes.collect();
    let clusters = of(type_urls::CLUSTER);
    let clusters = clusters.into_iter().map(|cluster| with_endpoints(cluster, &assignments));
    let listeners = listeners.iter().map(|draft| {
        let mut listener = draft.json.clone();
        let manager = listener.pointer_mut(MANAGER).expect("a connection manager");
        let scoped = manager["scoped_routes"].as_object_mut().expect("scoped routes");
        scoped.remove("scoped_rds");
        scoped.remove("rds_config_source");
        let list = json!({"scoped_route_configurations": scopes});
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
fn inline(mut scope: Value, routes: &[Value]) -> Value {
    let object = scope.as_object_mut().expect("a scope");
    let name = object.remove("route_configuration_name").expect("its route configuration");
    object.remove("on_demand");
    let mut routes =
        routes.iter().find(|routes| routes["name"] == name).expect("it is there").clone();
    routes["validate_clusters"] = true.into();
    object.insert("route_configuration".into(), routes);
    scope
}

/// An EDS cluster waits for a server; the same one with its endpoints inside is there at once.
fn with_endpoints(mut cluster: Value, assignments: &[Value]) -> Value {
    let name = cluster["name"].clone();
    let found = assignments.iter().find(|assignment| assignment["cluster_name"] == name);
    let object = cluster.as_object_mut().expect("a cluster");
    object.remove("eds_cluster_config");
    object.insert("type".into(), "STATIC".into());
    object.insert("load_assignment".into(), found.cloned().expect("its load assignment"));
    cluster
}
