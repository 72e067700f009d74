//! Envoy's own rules, as we read them and as Envoy applies them: the same verdict on each resource,
//! good or bad in one place.

mod common;

use model::Node;
use render::Templates;
use serde_json::{Value, json};

const CLUSTERS: &str = include_str!("rules/clusters.txt");
const ROUTES: &str = include_str!("rules/routes.txt");

/// The rows of a table: what is merged in, and the field that is complained of, if any.
fn rows(table: &'static str) -> impl Iterator<Item = (Value, Option<String>)> {
    table.lines().filter(|line| !line.starts_with('#')).map(|line| {
        let (field, patch) = line.split_once(' ').expect("a field and a patch");
        let patch =
            serde_json::from_str(patch.trim()).unwrap_or_else(|why| panic!("{line}: {why}"));
        let field = match field {
            "good" => None,
            "whole" => Some(String::new()),
            field => Some(field.to_owned()),
        };
        (patch, field)
    })
}

/// Rows that are too long to be written.
fn long_routes() -> [(Value, Option<String>); 2] {
    let long = json!({"header": {"key": "a", "value": "x".repeat(16_385)}});
    let many = vec![json!({"header": {"key": "a", "value": "b"}}); 1001];
    [
        (json!([long]), "response_headers_to_add[0].header.value"),
        (json!(many), "response_headers_to_add"),
    ]
    .map(|(headers, field)| (json!({"response_headers_to_add": headers}), Some(field.to_owned())))
}

/// As a JSON merge patch (RFC 7396), lists replaced.
fn merge(into: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else { return *into = patch };
    for (key, value) in patch {
        match value {
            Value::Null => drop(into.as_object_mut().expect("an object").remove(&key)),
            value if into[&key].is_object() && !key.starts_with("load_") => {
                // A oneof holds one of its members.
                if key == "match" { into[&key] = value } else { merge(&mut into[&key], value) }
            }
            value => into[&key] = value,
        }
    }
}

fn cluster(patch: Value) -> Value {
    let mut cluster = json!({"name": "c", "type": "STATIC", "connect_timeout": "1s", "load_assignment": {"cluster_name": "c"}});
    merge(&mut cluster, patch);
    cluster
}

fn route(patch: Value) -> Value {
    let mut route =
        json!({"name": "r", "match": {"prefix": "/"}, "direct_response": {"status": 200}});
    merge(&mut route, patch);
    json!({"name": "rc", "virtual_hosts": [{"name": "v", "domains": ["*"], "routes": [route]}]})
}

/// What we say of a resource: the fields that are complained of.
fn ours(kind: &str, resource: &Value) -> Vec<String> {
    let text = format!("{{# resource: envoy.config.{kind}\nfor_each: group #}}{resource}");
    let templates = Templates::compile(&[("one.j2".into(), text)]).expect("it compiles");
    let mut platform = common::platform();
    platform.shared_clusters.push("c".into());
    match templates.group(&platform, &Node::default()) {
        Ok(_) => Vec::new(),
        Err(told) => told.into_iter().map(|one| one.field.unwrap_or_default()).collect(),
    }
}

fn envoys(cluster: Value, routes: Value) -> Result<(), String> {
    let manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "x",
        "route_config": routes,
        "http_filters": [
            {"name": "envoy.filters.http.buffer", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.buffer.v3.Buffer", "max_request_bytes": 1}},
            {"name": "envoy.filters.http.router", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}},
        ],
    });
    common::envoy::validate(&json!({"static_resources": {
        "clusters": [cluster],
        "listeners": [{
            "address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}},
            "filter_chains": [{"filters": [{"name": "hcm", "typed_config": manager}]}],
        }],
    }}))
}

fn same_verdict(
    patch: &Value,
    wanted: Option<String>,
    ours: Vec<String>,
    envoys: Result<(), String>,
) {
    match wanted {
        None => assert_eq!((ours, &envoys), (Vec::new(), &Ok(())), "{patch}"),
        Some(prefix) => {
            let within =
                |field: &String| *field == prefix || field.starts_with(&format!("{prefix}["));
            assert!(ours.iter().any(within), "{patch}: we complain of {ours:?}, not {prefix}");
            assert!(envoys.is_err(), "{patch}: Envoy takes it");
        }
    }
}

#[test]
fn on_clusters_we_judge_as_envoy_does() {
    for (patch, wanted) in rows(CLUSTERS) {
        let cluster = cluster(patch.clone());
        let ours = ours("cluster.v3.Cluster", &cluster);
        same_verdict(&patch, wanted, ours, envoys(cluster, route(json!({}))));
    }
}

#[test]
fn on_routes_we_judge_as_envoy_does() {
    for (patch, wanted) in rows(ROUTES).chain(long_routes()) {
        let (cluster, route) = (cluster(json!({})), route(patch.clone()));
        let within = "virtual_hosts[0].routes[0]";
        let ours = ours("route.v3.RouteConfiguration", &route);
        let ours = ours.iter().map(|field| field.strip_prefix(within).unwrap_or(field));
        let ours = ours.map(|field| field.trim_start_matches('.').to_owned()).collect();
        same_verdict(&patch, wanted, ours, envoys(cluster, route));
    }
}
