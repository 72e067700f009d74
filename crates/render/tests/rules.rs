//! Envoy's own rules, as we read them and as Envoy applies them: the same verdict on each resource,
//! good or bad in one place.

mod common;

use model::Node;
use render::Templates;
use serde_json::{Value, json};

/// What is merged into a good cluster, and the field that is complained of, if any.
fn clusters() -> Vec<(Value, Option<&'static str>)> {
    let tls = |config: Value| {
        let mut config = json!({"common_tls_context": config});
        config["@type"] =
            "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"
                .into();
        json!({"transport_socket": {"name": "tls", "typed_config": config}})
    };
    let http = |mut options: Value| {
        options["@type"] =
            "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions".into();
        json!({"typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options}})
    };
    let check = |extra: Value| {
        let mut check = json!({"timeout": "1s", "interval": "1s", "unhealthy_threshold": 1, "healthy_threshold": 1, "tcp_health_check": {}});
        merge(&mut check, extra);
        json!({"health_checks": [check]})
    };
    vec![
        (json!({}), None),
        (json!({"connect_timeout": "0s"}), Some("connect_timeout")),
        (json!({"connect_timeout": "-1s"}), Some("connect_timeout")),
        (json!({"connect_timeout": "0.001s"}), None),
        (json!({"lb_policy": 99}), Some("lb_policy")),
        (
            json!({"lb_policy": "LEAST_REQUEST", "least_request_lb_config": {"choice_count": 1}}),
            Some("least_request_lb_config.choice_count"),
        ),
        (
            json!({"lb_policy": "RING_HASH", "ring_hash_lb_config": {"minimum_ring_size": 8388609}}),
            Some("ring_hash_lb_config.minimum_ring_size"),
        ),
        (
            json!({"lb_policy": "RING_HASH", "ring_hash_lb_config": {"minimum_ring_size": 8388608, "maximum_ring_size": 8388608}}),
            None,
        ),
        (
            json!({"lb_policy": "MAGLEV", "maglev_lb_config": {"table_size": 5000012}}),
            Some("maglev_lb_config.table_size"),
        ),
        (json!({"outlier_detection": {"interval": "0s"}}), Some("outlier_detection.interval")),
        (
            json!({"outlier_detection": {"max_ejection_percent": 101}}),
            Some("outlier_detection.max_ejection_percent"),
        ),
        (
            json!({"circuit_breakers": {"thresholds": [{"priority": 7}]}}),
            Some("circuit_breakers.thresholds[0].priority"),
        ),
        (
            json!({"health_checks": [{"timeout": "1s", "interval": "1s", "healthy_threshold": 1, "tcp_health_check": {}}]}),
            Some("health_checks[0].unhealthy_threshold"),
        ),
        (
            json!({"health_checks": [{"timeout": "1s", "interval": "1s", "unhealthy_threshold": 1, "healthy_threshold": 1}]}),
            Some("health_checks[0]"),
        ),
        (check(json!({})), None),
        (check(json!({"timeout": "0s"})), Some("health_checks[0].timeout")),
        (check(json!({"no_traffic_interval": "0s"})), Some("health_checks[0].no_traffic_interval")),
        (
            check(json!({"tcp_health_check": null, "http_health_check": {"path": ""}})),
            Some("health_checks[0].http_health_check.path"),
        ),
        (
            check(json!({"tcp_health_check": null, "http_health_check": {"path": "/\n"}})),
            Some("health_checks[0].http_health_check.path"),
        ),
        (check(json!({"tcp_health_check": null, "http_health_check": {"path": "/ok"}})), None),
        (
            check(json!({"tcp_health_check": {"send": {"text": ""}}})),
            Some("health_checks[0].tcp_health_check.send.text"),
        ),
        (
            http(json!({"explicit_http_config": {}})),
            Some(
                "typed_extension_protocol_options[\"envoy.extensions.upstreams.http.v3.HttpProtocolOptions\"].explicit_http_config",
            ),
        ),
        (
            http(json!({})),
            Some(
                "typed_extension_protocol_options[\"envoy.extensions.upstreams.http.v3.HttpProtocolOptions\"]",
            ),
        ),
        (
            http(
                json!({"explicit_http_config": {"http2_protocol_options": {"initial_stream_window_size": 1}}}),
            ),
            Some(
                "typed_extension_protocol_options[\"envoy.extensions.upstreams.http.v3.HttpProtocolOptions\"].explicit_http_config.http2_protocol_options.initial_stream_window_size",
            ),
        ),
        (http(json!({"explicit_http_config": {"http_protocol_options": {}}})), None),
        (
            tls(
                json!({"validation_context": {"match_typed_subject_alt_names": [{"san_type": "DNS"}]}}),
            ),
            Some(
                "transport_socket.typed_config.common_tls_context.validation_context.match_typed_subject_alt_names[0].matcher",
            ),
        ),
        (
            tls(
                json!({"validation_context": {"match_typed_subject_alt_names": [{"matcher": {"exact": "a"}}]}}),
            ),
            Some(
                "transport_socket.typed_config.common_tls_context.validation_context.match_typed_subject_alt_names[0].san_type",
            ),
        ),
        (
            tls(json!({"validation_context": {"verify_certificate_hash": ["ab"]}})),
            Some(
                "transport_socket.typed_config.common_tls_context.validation_context.verify_certificate_hash",
            ),
        ),
        (
            tls(json!({"tls_params": {"tls_minimum_protocol_version": 9}})),
            Some(
                "transport_socket.typed_config.common_tls_context.tls_params.tls_minimum_protocol_version",
            ),
        ),
        (tls(json!({"tls_params": {"tls_minimum_protocol_version": "TLSv1_2"}})), None),
        (json!({"transport_socket": {"name": ""}}), Some("transport_socket.name")),
        (json!({"load_assignment": {"cluster_name": ""}}), Some("load_assignment.cluster_name")),
        (
            json!({"load_assignment": endpoint(json!({"address": "127.0.0.1", "port_value": 65536}))}),
            Some(
                "load_assignment.endpoints[0].lb_endpoints[0].endpoint.address.socket_address.port_value",
            ),
        ),
        (
            json!({"load_assignment": endpoint(json!({"address": "", "port_value": 1}))}),
            Some(
                "load_assignment.endpoints[0].lb_endpoints[0].endpoint.address.socket_address.address",
            ),
        ),
        (
            json!({"load_assignment": endpoint(json!({"address": "127.0.0.1"}))}),
            Some("load_assignment.endpoints[0].lb_endpoints[0].endpoint.address.socket_address"),
        ),
        (
            json!({"load_assignment": endpoint(json!({"address": "127.0.0.1", "port_value": 65535}))}),
            None,
        ),
        (
            json!({"load_assignment": {"cluster_name": "c", "endpoints": [{"priority": 129}]}}),
            Some("load_assignment.endpoints[0].priority"),
        ),
    ]
}

fn endpoint(address: Value) -> Value {
    json!({"cluster_name": "c", "endpoints": [{"lb_endpoints": [{"endpoint": {"address": {"socket_address": address}}}]}]})
}

/// What is merged into a good route of a good route configuration.
fn routes() -> Vec<(Value, Option<&'static str>)> {
    let header = |header: Value| json!({"response_headers_to_add": [header]});
    let per_route = |mut config: Value| {
        config["@type"] =
            "type.googleapis.com/envoy.extensions.filters.http.buffer.v3.BufferPerRoute".into();
        json!({"typed_per_filter_config": {"envoy.filters.http.buffer": config}})
    };
    vec![
        (json!({}), None),
        (json!({"match": null}), Some("match")),
        (json!({"match": {}}), Some("match")),
        (json!({"match": {"path_separated_prefix": "/a/"}}), Some("match.path_separated_prefix")),
        (json!({"match": {"path_separated_prefix": "/a?b"}}), Some("match.path_separated_prefix")),
        (json!({"match": {"path_separated_prefix": "/a"}}), None),
        (json!({"match": {"safe_regex": {"regex": ""}}}), Some("match.safe_regex.regex")),
        (
            json!({"match": {"prefix": "/", "headers": [{"name": ""}]}}),
            Some("match.headers[0].name"),
        ),
        (
            json!({"match": {"prefix": "/", "headers": [{"name": "a\nb"}]}}),
            Some("match.headers[0].name"),
        ),
        (
            json!({"match": {"prefix": "/", "headers": [{"name": "a", "string_match": {"prefix": ""}}]}}),
            Some("match.headers[0].string_match.prefix"),
        ),
        (
            json!({"match": {"prefix": "/", "query_parameters": [{"name": ""}]}}),
            Some("match.query_parameters[0].name"),
        ),
        (
            json!({"match": {"prefix": "/", "query_parameters": [{"name": "a", "string_match": {}}]}}),
            Some("match.query_parameters[0].string_match"),
        ),
        (json!({"direct_response": null}), Some("")),
        (json!({"direct_response": {"status": 199}}), Some("direct_response.status")),
        (json!({"direct_response": {"status": 600}}), Some("direct_response.status")),
        (json!({"direct_response": {"status": 599}}), None),
        (json!({"direct_response": {"status": 200, "body": {}}}), Some("direct_response.body")),
        (
            json!({"direct_response": null, "redirect": {"path_redirect": "/a\nb"}}),
            Some("redirect.path_redirect"),
        ),
        (
            json!({"direct_response": null, "redirect": {"path_redirect": "/a", "response_code": 9}}),
            Some("redirect.response_code"),
        ),
        (json!({"direct_response": null, "redirect": {"path_redirect": "/a"}}), None),
        (header(json!({})), Some("response_headers_to_add[0].header")),
        (header(json!({"header": {"key": ""}})), Some("response_headers_to_add[0].header.key")),
        (
            header(json!({"header": {"key": "a", "value": "x".repeat(16_385)}})),
            Some("response_headers_to_add[0].header.value"),
        ),
        (
            header(json!({"header": {"key": "a", "value": "b\nc"}})),
            Some("response_headers_to_add[0].header.value"),
        ),
        (
            header(json!({"header": {"key": "a", "value": "b"}, "append_action": 9})),
            Some("response_headers_to_add[0].append_action"),
        ),
        (header(json!({"header": {"key": "a", "value": "b"}})), None),
        (json!({"response_headers_to_remove": ["a\rb"]}), Some("response_headers_to_remove")),
        (json!({"response_headers_to_remove": [""]}), Some("response_headers_to_remove")),
        (
            json!({"response_headers_to_add": vec![json!({"header": {"key": "a", "value": "b"}}); 1001]}),
            Some("response_headers_to_add"),
        ),
        (json!({"direct_response": null, "route": {}}), Some("route")),
        (json!({"direct_response": null, "route": {"cluster": ""}}), Some("route.cluster")),
        (
            json!({"direct_response": null, "route": {"weighted_clusters": {}}}),
            Some("route.weighted_clusters.clusters"),
        ),
        (
            json!({"direct_response": null, "route": {"cluster": "c", "retry_policy": {"retry_back_off": {}}}}),
            Some("route.retry_policy.retry_back_off.base_interval"),
        ),
        (
            json!({"direct_response": null, "route": {"cluster": "c", "retry_policy": {"retry_back_off": {"base_interval": "0s"}}}}),
            Some("route.retry_policy.retry_back_off.base_interval"),
        ),
        (
            json!({"direct_response": null, "route": {"cluster": "c", "hash_policy": [{"cookie": {"name": ""}}]}}),
            Some("route.hash_policy[0].cookie.name"),
        ),
        (json!({"direct_response": null, "route": {"cluster": "c"}}), None),
        (per_route(json!({})), Some("typed_per_filter_config[\"envoy.filters.http.buffer\"]")),
        (
            per_route(json!({"buffer": {"max_request_bytes": 0}})),
            Some("typed_per_filter_config[\"envoy.filters.http.buffer\"].buffer.max_request_bytes"),
        ),
        (
            per_route(json!({"buffer": {}})),
            Some("typed_per_filter_config[\"envoy.filters.http.buffer\"].buffer.max_request_bytes"),
        ),
        (
            per_route(json!({"disabled": false})),
            Some("typed_per_filter_config[\"envoy.filters.http.buffer\"].disabled"),
        ),
        (per_route(json!({"disabled": true})), None),
    ]
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
    wanted: Option<&str>,
    ours: Vec<String>,
    envoys: Result<(), String>,
) {
    match wanted {
        None => assert_eq!((ours, &envoys), (Vec::new(), &Ok(())), "{patch}"),
        Some(prefix) => {
            let within =
                |field: &String| field == prefix || field.starts_with(&format!("{prefix}["));
            assert!(ours.iter().any(within), "{patch}: we complain of {ours:?}, not {prefix}");
            assert!(envoys.is_err(), "{patch}: Envoy takes it");
        }
    }
}

#[test]
fn on_clusters_we_judge_as_envoy_does() {
    for (patch, wanted) in clusters() {
        let cluster = cluster(patch.clone());
        let ours = ours("cluster.v3.Cluster", &cluster);
        same_verdict(&patch, wanted, ours, envoys(cluster, route(json!({}))));
    }
}

#[test]
fn on_routes_we_judge_as_envoy_does() {
    for (patch, wanted) in routes() {
        let (cluster, route) = (cluster(json!({})), route(patch.clone()));
        let within = "virtual_hosts[0].routes[0]";
        let ours = ours("route.v3.RouteConfiguration", &route);
        let ours = ours.iter().map(|field| field.strip_prefix(within).unwrap_or(field));
        let ours = ours.map(|field| field.trim_start_matches('.').to_owned()).collect();
        same_verdict(&patch, wanted, ours, envoys(cluster, route));
    }
}
