//! What a shape forgets makes no difference to Envoy, and shapes repeat.

mod common;

use std::collections::{BTreeMap, BTreeSet};

use model::Node;
use render::{Draft, Specimen, Templates};
use serde_json::{Value, json};

const ROWS: &str = include_str!("shapes/rows.txt");
const TABLE: &str = include_str!("../../../descriptors/forgotten_values.txt");

fn rows(table: &'static str) -> impl Iterator<Item = (&'static str, &'static str)> {
    let rows = table.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    rows.filter_map(|line| line.split_once(' ')).map(|(field, rest)| (field, rest.trim()))
}

/// Values of a class, from one of its ends to the other.
fn values(field: &str, class: &str) -> Vec<Value> {
    let texts = |texts: &[&str]| texts.iter().map(|&text| json!(text)).collect::<Vec<_>>();
    let words: Vec<_> = class.split_whitespace().collect();
    match words[..] {
        // The laws let in nothing but addresses.
        _ if field.ends_with("SocketAddress.address") => texts(&["10.0.0.1", "::1", "fe80::1"]),
        ["text"] => {
            let long = "x".repeat(16 * 1024);
            texts(&[
                "a",
                "/a/b",
                "a b",
                "/?a=b#c",
                "100%",
                "%REQ(x)%",
                "\\1",
                "*",
                "ä\u{1F600}",
                "[",
                "(",
                ",",
                &long,
            ])
        }
        ["format"] => texts(&["a", "100%% sure", "\\1", "{}", "ä"]),
        ["substitution"] => texts(&["/a", "\\\\1", "%REQ(x)%"]),
        ["header"] => texts(&["a", "x-envoy-any", "Content-Length", "connection", "te", "cookie"]),
        ["domain"] => texts(&["a.example.com", "xn--a", "localhost", "10.0.0.1"]),
        ["body", most] => {
            let most: usize = most.parse().expect("a number");
            vec![json!(""), json!("%REQ(x)%"), json!("x".repeat(most))]
        }
        ["number", from, to] => {
            [from, to].iter().map(|n| json!(n.parse::<u64>().expect("a number"))).collect()
        }
        ["seconds", from, to] => [from, to].iter().map(|n| json!(format!("{n}s"))).collect(),
        _ => panic!("{field}: {class}"),
    }
}

/// A whole resource around one of its parts, and its type.
fn resource(place: &str, part: Value) -> (&'static str, Value) {
    let health = |part: Value| {
        let whole = json!({"timeout": "1s", "interval": "1s", "unhealthy_threshold": 1, "healthy_threshold": 1,
            "http_health_check": {"path": "/"}});
        json!({"health_checks": [merged(whole, part)]})
    };
    let tls = |mut part: Value| {
        part["@type"] = json!(
            "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"
        );
        json!({"transport_socket": {"name": "envoy.transport_sockets.tls", "typed_config": part}})
    };
    let cluster = json!({"name": "c", "type": "EDS", "connect_timeout": "1s", "eds_cluster_config": {"eds_config": {"ads": {}}}});
    let routes = json!({"name": "rc", "virtual_hosts": []});
    let host = |part| merged(json!({"name": "v", "domains": ["a.b"], "routes": []}), part);
    let route = |part| {
        host(json!({"routes": [merged(json!({"name": "r", "match": {"prefix": "/"}}), part)]}))
    };
    let in_host = |host: Value| {
        ("route.v3.RouteConfiguration", merged(routes.clone(), json!({"virtual_hosts": [host]})))
    };
    let respond = json!({"direct_response": {"status": 200}});
    match place {
        "cluster" => ("cluster.v3.Cluster", merged(cluster, part)),
        "health" => ("cluster.v3.Cluster", merged(cluster, health(part))),
        "tls" => ("cluster.v3.Cluster", merged(cluster, tls(part))),
        "endpoints" => ("endpoint.v3.ClusterLoadAssignment", part),
        "address" => {
            let endpoint = json!({"endpoint": {"address": {"socket_address": part}}});
            let endpoints = json!([{"lb_endpoints": [endpoint]}]);
            (
                "endpoint.v3.ClusterLoadAssignment",
                json!({"cluster_name": "c", "endpoints": endpoints}),
            )
        }
        "scope" => {
            let whole = json!({"name": "s", "route_configuration_name": "rc", "key": {"fragments": [{"string_key": "k"}]}});
            ("route.v3.ScopedRouteConfiguration", merged(whole, part))
        }
        "routes" => ("route.v3.RouteConfiguration", merged(routes.clone(), part)),
        "host" => in_host(host(part)),
        "route" => in_host(route(merged(respond, part))),
        "match" => in_host(route(merged(respond, json!({"match": part})))),
        "action" => in_host(route(json!({"route": part}))),
        "redirect" => in_host(route(json!({"redirect": part}))),
        "respond" => in_host(route(json!({"direct_response": part}))),
        other => panic!("no place {other}"),
    }
}

/// Members of the second in place of those of the first.
fn merged(mut into: Value, from: Value) -> Value {
    let Value::Object(from) = from else { panic!("an object") };
    from.into_iter().for_each(|(key, value)| into[key] = value);
    into
}

fn put(part: &mut Value, value: &Value) {
    match part {
        Value::String(text) if text == "@" => *part = value.clone(),
        Value::Array(items) => items.iter_mut().for_each(|item| put(item, value)),
        Value::Object(fields) => fields.values_mut().for_each(|field| put(field, value)),
        _ => {}
    }
}

/// A resource through the checks; `None` when they refuse it.
fn draft(kind: &str, resource: &Value) -> Option<Draft> {
    let text = format!("{{# resource: envoy.config.{kind}\nfor_each: group #}}{resource}");
    let templates = Templates::compile(&[("one.j2".into(), text)]).expect("it compiles");
    let mut platform = common::platform();
    let name = resource["name"].as_str().or(resource["cluster_name"].as_str()).unwrap_or_default();
    platform.shared_clusters.push(name.to_owned());
    templates.group(&platform, &Node::default()).ok()?.pop()
}

/// What Envoy says of specimens, as the gate asks it.
fn verdict(specimens: &[Specimen]) -> Result<(), String> {
    common::envoy::judge(&render::trial(specimens))
}

#[test]
fn what_a_shape_forgets_makes_no_difference_to_envoy() {
    let classes: BTreeMap<_, _> = rows(TABLE).collect();
    let (mut tried, mut all) = (BTreeSet::new(), Vec::new());
    for (field, rest) in rows(ROWS) {
        let (place, part) = rest.split_once(' ').expect("a place and a part");
        let part: Value = serde_json::from_str(part).unwrap_or_else(|why| panic!("{part}: {why}"));
        let mut drafts = 0;
        for value in values(field, classes.get(field).unwrap_or_else(|| panic!("no row {field}"))) {
            let mut part = part.clone();
            put(&mut part, &value);
            let (kind, mut resource) = resource(place, part);
            // Names are counted by, so that each is used once.
            if kind == "cluster.v3.Cluster" && !field.ends_with("Cluster.name") {
                resource["name"] = json!(format!("c{}", all.len()));
            }
            if let Some(draft) = draft(kind, &resource) {
                drafts += 1;
                all.push((format!("{field}: {value}"), Specimen::from(&draft)));
            }
        }
        assert!(drafts > 0, "{field}: nothing of it passes the checks before");
        tried.insert(field);
    }
    let is_value = |class: &&str| !matches!(*class, "apart" | "inside");
    let wanted: BTreeSet<_> =
        classes.iter().filter(|(_, class)| is_value(class)).map(|(field, _)| *field).collect();
    assert_eq!(tried, wanted);
    let specimens: Vec<_> = all.iter().map(|(_, one)| one.clone()).collect();
    if verdict(&specimens).is_ok() {
        return;
    }
    let refused = all.iter().filter_map(|(what, one)| {
        let told = verdict(std::slice::from_ref(one)).err()?;
        Some(format!("{}: {told}", what.chars().take(120).collect::<String>()))
    });
    panic!("{:#?}", refused.collect::<Vec<_>>());
}

/// As the gate does it: Envoy sees only what has a piece that it has not accepted before.
#[test]
fn shapes_repeat() {
    const COUNT: u64 = 2_000;
    let templates = Templates::builtin();
    let (mut pieces, mut shapes) = (BTreeSet::new(), BTreeSet::new());
    let (mut asked, mut late, mut representatives) = (0, 0, Vec::new());
    for seed in 0..COUNT {
        let drafts = common::generated::drafts(&templates, seed);
        let shape: BTreeSet<u64> =
            drafts.iter().flat_map(|draft| draft.shape.pieces().iter().copied()).collect();
        if !shape.is_subset(&pieces) {
            asked += 1;
            let has_regex = drafts.iter().any(|draft| draft.json.to_string().contains("regex"));
            late += usize::from(seed >= COUNT / 2 && !has_regex);
            representatives.extend(drafts.iter().map(Specimen::from));
        }
        pieces.extend(shape.iter().copied());
        shapes.insert(shape);
    }
    println!(
        "{COUNT} descriptors: {} pieces, {} sets of them; {asked} needed Envoy, of the second half {late} without a regex",
        pieces.len(),
        shapes.len(),
    );
    for some in representatives.chunks(2_000) {
        assert_eq!(verdict(some), Ok(()));
    }
    assert!(late * 4 < COUNT as usize / 2, "{late} of the second half are of a new shape");
}

#[test]
fn a_shape_is_the_same_in_every_process() {
    let templates = Templates::builtin();
    let pieces = |seed| -> Vec<u64> {
        let drafts = common::generated::drafts(&templates, seed).into_iter();
        drafts.flat_map(|draft| draft.shape.pieces().to_vec()).collect()
    };
    assert_eq!(pieces(7), pieces(7));
    assert_ne!(pieces(7), pieces(8));
    let scope = json!({"name": "s", "route_configuration_name": "rc", "key": {"fragments": [{"string_key": "k"}]}});
    let exact = draft("route.v3.ScopedRouteConfiguration", &scope).expect("it is good");
    assert_eq!(exact.shape.pieces(), [exact.hash], "what is a group's is like nothing else");
}
