//! The same descriptor in other words: what the parser must read as the same.

use serde_json::{Map, Value, json};

use super::rng::Rng;

/// Canonical JSON, respelled: other units, capitals, slashes, defaults said or left out, and every
/// list whose order does not count in another one.
pub(super) fn respell(mut json: Value, rng: &mut Rng) -> Value {
    if rng.chance(20) {
        json["$schema"] = json!("https://example.com/margrave.json");
    }
    if json.get("visibility").is_none() && rng.chance(50) {
        json["visibility"] = json!("internal");
    }
    auth(&mut json, rng);
    let has_upstream = json.get("upstream").is_some();
    walk("", &mut json, has_upstream, rng);
    json
}

/// Says who may call also where it is what it would be anyway.
fn auth(json: &mut Value, rng: &mut Rng) {
    let top = json.get("auth").cloned().unwrap_or_else(|| json!({"require": "none"}));
    if rng.chance(20) {
        json["auth"] = top.clone();
    }
    let routes = json.get_mut("routes").and_then(Value::as_array_mut);
    for route in routes.into_iter().flatten() {
        if route.get("auth").is_none() && rng.chance(20) {
            route["auth"] = top.clone();
        }
    }
}

fn walk(key: &str, value: &mut Value, has_upstream: bool, rng: &mut Rng) {
    match value {
        Value::Object(map) => {
            record(key, map, has_upstream, rng);
            for (key, value) in map.iter_mut() {
                walk(key, value, has_upstream, rng);
            }
        }
        Value::Array(items) => {
            if matches!(key, "routes" | "hostnames" | "methods" | "on" | "remove") {
                rng.shuffle(items);
            }
            items.iter_mut().for_each(|item| walk(key, item, has_upstream, rng));
        }
        Value::String(text) => {
            let other = word(key, text, rng);
            *text = other;
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Keys of a record that may be said in another way, or left unsaid.
fn record(key: &str, map: &mut Map<String, Value>, has_upstream: bool, rng: &mut Rng) {
    if map.contains_key("match") {
        route(map, has_upstream, rng);
    }
    for (name, default) in [("interval", "10s"), ("timeout", "2s")] {
        leave_out(key == "healthCheck", map, name, &json!(default), rng);
    }
    leave_out(key == "redirect", map, "status", &json!(302), rng);
    leave_out(key == "respond", map, "status", &json!(200), rng);
    leave_out(key == "retry", map, "attempts", &json!(1), rng);
    if key == "match" && map.len() > 1 {
        leave_out(true, map, "prefix", &json!("/"), rng);
    }
    if matches!(key, "set" | "add" | "headers") {
        let names: Vec<String> = map.keys().cloned().collect();
        for name in names {
            if let Some(value) = map.remove(&name) {
                map.insert(capitals(&name, rng), value);
            }
        }
    }
    if let (Some(Value::String(url)), true) = (map.get("url").cloned(), rng.chance(30)) {
        addresses(&url, map);
    }
}

fn route(map: &mut Map<String, Value>, has_upstream: bool, rng: &mut Rng) {
    let elsewhere = ["to", "redirect", "respond"].iter().any(|key| map.contains_key(*key));
    if !elsewhere && has_upstream && rng.chance(50) {
        map.insert("to".to_owned(), json!("default"));
    }
    match map.get_mut("to") {
        Some(to @ Value::String(_)) if rng.chance(30) => {
            *to = json!([{"upstream": to.clone(), "weight": 1}]);
        }
        _ => {}
    }
}

fn leave_out(here: bool, map: &mut Map<String, Value>, key: &str, default: &Value, rng: &mut Rng) {
    if here && map.get(key) == Some(default) && rng.chance(50) {
        map.remove(key);
    }
}

/// `url` as `addresses` and `tls`.
fn addresses(url: &str, map: &mut Map<String, Value>) {
    let (tls, rest) = match url.split_once("://") {
        Some(("https", rest)) => (true, rest),
        Some((_, rest)) => (false, rest),
        None => return,
    };
    let has_port = rest.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let port = match (has_port, tls) {
        (true, _) => "",
        (false, true) => ":443",
        (false, false) => ":80",
    };
    map.remove("url");
    map.insert("addresses".to_owned(), json!([format!("{rest}{port}")]));
    map.insert("tls".to_owned(), json!(tls));
}

fn word(key: &str, text: &str, rng: &mut Rng) -> String {
    match key {
        "request" | "idle" | "perTryTimeout" | "interval" | "timeout" => duration(text, rng),
        "maxBodySize" => text.replace("1MiB", rng.pick(&["1MiB", "1024KiB", "1048576B"])),
        "hostnames" | "remove" => capitals(text, rng),
        "prefix" if text.len() > 1 && rng.chance(30) => format!("{text}/"),
        "path" | "prefix" if rng.chance(30) => text.replace("%C3%BC", "%c3%bc"),
        "upstream" | "url" if text.starts_with("http") && rng.chance(30) => format!("{text}/"),
        _ => text.to_owned(),
    }
}

/// The same time in smaller units.
fn duration(text: &str, rng: &mut Rng) -> String {
    match (text, rng.below(2)) {
        ("1m30s", 0) => "90s".to_owned(),
        ("1m30s", _) => "90000ms".to_owned(),
        ("1s", 0) => "1000ms".to_owned(),
        ("1h", 0) => "60m".to_owned(),
        ("5s", 0) => "0m5s".to_owned(),
        _ => text.to_owned(),
    }
}

fn capitals(text: &str, rng: &mut Rng) -> String {
    if rng.chance(30) { text.to_ascii_uppercase() } else { text.to_owned() }
}
