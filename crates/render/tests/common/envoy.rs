//! A real Envoy, asked for its verdict on rendered resources.

use std::path::{Path, PathBuf};
use std::process::Command;

use model::type_urls;
use render::Draft;
use serde_json::{Value, json};

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
    run(&file)
}

fn run(file: &Path) -> Result<(), String> {
    let output = Command::new(binary())
        .args(["--mode", "validate", "--log-level", "error", "--concurrency", "1"])
        .args(["--log-format", "%v", "--use-dynamic-base-id", "-c"])
        .arg(file)
        .output()
        .expect("Envoy runs (MARGRAVE_ENVOY, or `make envoy`)");
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(said.lines().filter(|line| !line.trim().is_empty()).collect::<Vec<_>>().join("\n"))
}

/// A bootstrap that holds rendered resources as nearly as a static one can: clusters with their
/// endpoints, every route configuration as that of a listener of its own (which also checks that
/// its clusters are there), the scopes inline in one more, and the listeners as they are.
pub(crate) fn bootstrap(drafts: &[&[Draft]]) -> Value {
    let of = |url: &'static str| {
        let all = drafts.iter().flat_map(|drafts| drafts.iter());
        all.filter(move |draft| draft.type_url.as_str() == url).map(|draft| draft.json.clone())
    };
    let assignments: Vec<_> = of(type_urls::ENDPOINT).collect();
    let clusters = of(type_urls::CLUSTER).map(|cluster| with_endpoints(cluster, &assignments));
    let routes = of(type_urls::ROUTE).enumerate().map(|(n, routes)| {
        listener(&format!("routes-{n}"), n, json!({"route_config": strictly(routes)}))
    });
    let listeners: Vec<_> = of(type_urls::LISTENER).chain(routes).collect();
    json!({
        "node": {"id": "test", "cluster": "test"},
        "admin": {},
        "dynamic_resources": {"ads_config": {"api_type": "DELTA_GRPC", "transport_api_version": "V3",
            "grpc_services": [{"envoy_grpc": {"cluster_name": "xds"}}]}},
        "static_resources": {
            "clusters": clusters.chain([xds_cluster()]).collect::<Vec<_>>(),
            "listeners": listeners,
        },
    })
}

fn xds_cluster() -> Value {
    json!({"name": "xds", "type": "STATIC", "typed_extension_protocol_options": {
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": {"http2_protocol_options": {}}}},
        "load_assignment": {"cluster_name": "xds", "endpoints": [{"lb_endpoints": [{"endpoint": {
            "address": {"socket_address": {"address": "127.0.0.1", "port_value": 1}}}}]}]}})
}

/// An EDS cluster waits for a server; the same one with its endpoints inside is checked at once.
fn with_endpoints(mut cluster: Value, assignments: &[Value]) -> Value {
    let name = cluster["name"].clone();
    let found = assignments.iter().find(|assignment| assignment["cluster_name"] == name);
    let object = cluster.as_object_mut().expect("a cluster");
    object.remove("eds_cluster_config");
    object.insert("type".into(), "STATIC".into());
    object.insert("load_assignment".into(), found.cloned().expect("its load assignment"));
    cluster
}

fn strictly(mut routes: Value) -> Value {
    routes["validate_clusters"] = true.into();
    routes
}

fn listener(name: &str, n: usize, mut manager: Value) -> Value {
    let filters = [
        ("envoy.filters.http.buffer", "buffer.v3.Buffer", json!({"max_request_bytes": 1})),
        ("envoy.filters.http.router", "router.v3.Router", json!({})),
    ];
    let filters = filters.map(|(name, message, mut config)| {
        config["@type"] =
            format!("type.googleapis.com/envoy.extensions.filters.http.{message}").into();
        json!({"name": name, "typed_config": config})
    });
    manager["@type"] = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager".into();
    manager["stat_prefix"] = name.into();
    manager["http_filters"] = filters.as_slice().into();
    json!({
        "name": name,
        "address": {"pipe": {"path": format!("@margrave-test-{n}")}},
        "filter_chains": [{"filters": [{"name": "hcm", "typed_config": manager}]}],
    })
}
