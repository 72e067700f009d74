//! What differs between two specs, in the words of the descriptor.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{Plan, Spec};

/// One difference: something was said, is said otherwise, or is not said any more.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// Where in the descriptor, such as `routes[api].timeout.request`: routes by their names.
    pub path: String,
    /// What was there.
    pub before: Option<Value>,
    /// What is there now.
    pub after: Option<Value>,
}

/// A change of who can reach a service: the one that must not be overlooked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExposureChange {
    /// It was internal, or was not there, and answers to everyone now.
    BecamePublic,
    /// It was public and is internal now, or is gone.
    NoLongerPublic,
}

impl ExposureChange {
    /// Between two specs; `None` on either side: nothing is there.
    pub fn between(before: Option<&Spec>, after: Option<&Spec>) -> Option<Self> {
        let public = |spec: Option<&Spec>| spec.is_some_and(|spec| spec.plan == Plan::Public);
        match (public(before), public(after)) {
            (false, true) => Some(Self::BecamePublic),
            (true, false) => Some(Self::NoLongerPublic),
            _ => None,
        }
    }
}

/// The differences between two specs, the visibility first, then in order of path. `None` on either
/// side: nothing is there.
pub fn changes(before: Option<&Spec>, after: Option<&Spec>) -> Vec<Change> {
    let mut found = Vec::new();
    let shown = |spec: Option<&Spec>| spec.map(show).unwrap_or_default();
    objects("", &shown(before), &shown(after), &mut found);
    found.sort_by(|one, other| {
        let rank = |change: &Change| (change.path != VISIBILITY, change.path.clone());
        rank(one).cmp(&rank(other))
    });
    found
}

/// The differences between two documents, such as resources of Envoy, in order of path. What is other
/// as a whole has the empty path.
pub fn differences(before: &Value, after: &Value) -> Vec<Change> {
    let mut found = Vec::new();
    values(String::new(), Some(before), Some(after), &mut found);
    found
}

const VISIBILITY: &str = "visibility";

/// As its developer would write it, with what was left to the platform said: the visibility and the
/// hostnames.
fn show(spec: &Spec) -> Map<String, Value> {
    let mut map = match spec.parameters.to_json() {
        Value::Object(map) => map,
        _ => Map::new(),
    };
    map.insert(VISIBILITY.to_owned(), spec.plan.as_str().into());
    let hostnames: Vec<&str> = spec.hostnames.iter().map(|name| name.as_str()).collect();
    map.insert("hostnames".to_owned(), hostnames.into());
    map
}

fn objects(
    path: &str,
    before: &Map<String, Value>,
    after: &Map<String, Value>,
    found: &mut Vec<Change>,
) {
    let gone = before.keys().filter(|key| !after.contains_key(*key));
    for key in after.keys().chain(gone) {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        values(path, before.get(key), after.get(key), found);
    }
}

fn values(path: String, before: Option<&Value>, after: Option<&Value>, found: &mut Vec<Change>) {
    match (before, after) {
        (before, after) if before == after => {}
        (Some(Value::Object(before)), Some(Value::Object(after))) => {
            objects(&path, before, after, found);
        }
        (Some(Value::Array(before)), Some(Value::Array(after)))
            if [before, after].iter().all(|list| are_named(list)) =>
        {
            named(&path, before, after, found);
        }
        (Some(Value::Array(before)), Some(Value::Array(after)))
            if before.iter().chain(after).all(Value::is_object) =>
        {
            placed(&path, before, after, found);
        }
        (before, after) => {
            found.push(Change { path, before: before.cloned(), after: after.cloned() });
        }
    }
}

/// Lists whose items have names, such as routes: an item is the same when its name is.
fn named(path: &str, before: &[Value], after: &[Value], found: &mut Vec<Change>) {
    let item =
        |list: &'_ [Value], wanted: &str| list.iter().position(|item| name(item) == Some(wanted));
    for one in after {
        let Some(called) = name(one) else { continue };
        let was = item(before, called).and_then(|index| before.get(index));
        values(format!("{path}[{called}]"), was, Some(one), found);
    }
    for one in before {
        let Some(called) = name(one) else { continue };
        if item(after, called).is_none() {
            values(format!("{path}[{called}]"), Some(one), None, found);
        }
    }
    let order = |list: &[Value], other: &[Value]| -> Vec<Value> {
        let both = list.iter().filter_map(name).filter(|called| item(other, called).is_some());
        both.map(Value::from).collect()
    };
    let (was, now) = (order(before, after), order(after, before));
    if was != now {
        let (before, after) = (Some(was.into()), Some(now.into()));
        found.push(Change { path: format!("{path} (order)"), before, after });
    }
}

/// Lists of objects without names of their own: each is compared with what stands in its place.
fn placed(path: &str, before: &[Value], after: &[Value], found: &mut Vec<Change>) {
    for at in 0..before.len().max(after.len()) {
        values(format!("{path}[{at}]"), before.get(at), after.get(at), found);
    }
}

/// Whether each item has a name, and no two the same.
fn are_named(list: &[Value]) -> bool {
    let names: BTreeSet<&str> = list.iter().filter_map(name).collect();
    names.len() == list.len()
}

fn name(item: &Value) -> Option<&str> {
    item.get("name").and_then(Value::as_str)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::Parameters;

    fn spec(plan: Plan, parameters: &Value) -> Spec {
        let parameters = Parameters::from_json(&parameters.to_string()).unwrap();
        let hostnames = vec![format!("{}.edge.example", parameters.service).parse().unwrap()];
        Spec { plan, parameters, hostnames }
    }

    #[test]
    fn differences_are_told_in_the_words_of_the_descriptor() {
        let internal = |parameters: &Value| spec(Plan::Internal, parameters);
        let plain = json!({"service": "a", "upstream": "http://w:1"});
        let routes = |timeout: &str| {
            json!({"service": "a", "upstream": "http://w:1", "routes": [
                {"name": "api", "match": {"prefix": "/api"}, "timeout": {"request": timeout}},
                {"name": "old", "match": {"path": "/old"}, "redirect": {"to": "/new", "status": 308}},
            ]})
        };
        let one = json!({"service": "a", "upstream": "http://w:1", "routes": [
            {"name": "api", "match": {"prefix": "/api"}, "timeout": {"request": "9s"}},
        ]});
        let change = |path: &str, before: Value, after: Value| {
            let some = |value: Value| Some(value).filter(|value| !value.is_null());
            Change { path: path.to_owned(), before: some(before), after: some(after) }
        };
        let moved = json!({"service": "a", "upstream": "http://w:2"});
        for (before, after, expected) in [
            (Some(internal(&plain)), Some(internal(&plain)), vec![]),
            (
                Some(internal(&plain)),
                Some(spec(Plan::Public, &moved)),
                vec![
                    change("visibility", json!("internal"), json!("public")),
                    change("upstream", json!("http://w:1"), json!("http://w:2")),
                ],
            ),
            (
                Some(internal(&routes("5s"))),
                Some(internal(&routes("9s"))),
                vec![change("routes[api].timeout.request", json!("5s"), json!("9s"))],
            ),
            (
                Some(internal(&routes("9s"))),
                Some(internal(&one)),
                vec![change(
                    "routes[old]",
                    json!({"name": "old", "match": {"path": "/old"}, "redirect": {"to": "/new", "status": 308}}),
                    Value::Null,
                )],
            ),
            (
                None,
                Some(internal(&plain)),
                vec![
                    change("visibility", Value::Null, json!("internal")),
                    change("hostnames", Value::Null, json!(["a.edge.example"])),
                    change("service", Value::Null, json!("a")),
                    change("upstream", Value::Null, json!("http://w:1")),
                ],
            ),
        ] {
            assert_eq!(changes(before.as_ref(), after.as_ref()), expected);
        }
    }

    #[test]
    fn documents_are_compared_down_to_the_leaves() {
        let tree =
            |routes: Value, ports: Value| json!({"name": "r", "routes": routes, "lb": ports});
        let route = |name: &str, timeout: &str| json!({"name": name, "timeout": timeout});
        let port = |port: u16| json!({"address": {"port": port}});
        let before = tree(json!([route("a", "5s"), route("b", "5s")]), json!([port(1), port(2)]));
        for (after, expected) in [
            (before.clone(), vec![]),
            (
                tree(json!([route("a", "9s"), route("b", "5s")]), json!([port(1), port(3)])),
                vec!["lb[1].address.port: 2 > 3", "routes[a].timeout: \"5s\" > \"9s\""],
            ),
            (
                tree(json!([route("b", "5s"), route("a", "5s")]), json!([port(1), port(2)])),
                vec![r#"routes (order): ["a","b"] > ["b","a"]"#],
            ),
            (
                // Two of one name have no names.
                tree(json!([route("b", "5s"), route("b", "9s")]), json!([port(1)])),
                vec![
                    r#"lb[1]: {"address":{"port":2}} > -"#,
                    "routes[0].name: \"a\" > \"b\"",
                    "routes[1].timeout: \"5s\" > \"9s\"",
                ],
            ),
            (json!(7), vec![": {} > 7"]),
        ] {
            let show =
                |value: &Option<Value>| value.as_ref().map_or("-".to_owned(), Value::to_string);
            let told: Vec<_> = differences(&before, &after)
                .iter()
                .map(|it| format!("{}: {} > {}", it.path, show(&it.before), show(&it.after)))
                .map(|line| line.replace(&before.to_string(), "{}"))
                .collect();
            assert_eq!(told, expected);
        }
    }

    #[test]
    fn a_change_of_exposure_stands_out() {
        use ExposureChange::{BecamePublic, NoLongerPublic};
        let plain = json!({"service": "a", "upstream": "http://w:1"});
        let (internal, public) = (spec(Plan::Internal, &plain), spec(Plan::Public, &plain));
        for (before, after, expected) in [
            (None, Some(&internal), None),
            (None, Some(&public), Some(BecamePublic)),
            (Some(&internal), Some(&public), Some(BecamePublic)),
            (Some(&public), Some(&public), None),
            (Some(&public), Some(&internal), Some(NoLongerPublic)),
            (Some(&public), None, Some(NoLongerPublic)),
        ] {
            assert_eq!(ExposureChange::between(before, after), expected);
        }
    }
}
