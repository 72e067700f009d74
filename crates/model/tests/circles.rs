//! Redirects that go in circles, held against a client that follows them through a small world.

use std::collections::BTreeMap;

use model::Descriptor;
use model::descriptor::{Action, Code, Parameters, PathMatch, Route};
use proptest::prelude::*;
use serde_json::{Value, json};

const PATHS: [&str; 6] = ["/", "/a", "/a/b", "/a/b/c", "/d", "/e"];
const METHODS: [&str; 3] = ["GET", "POST", "HEAD"];
/// Further than there are paths and methods, a client has been everywhere.
const STEPS: usize = 40;

fn takes(route: &Route, path: &str, method: &str) -> bool {
    let at_path = match &route.matches.path {
        PathMatch::Exact(exact) => exact == path,
        PathMatch::Prefix(prefix) => {
            let below = format!("{}/", prefix.trim_end_matches('/'));
            path == prefix || path.starts_with(&below)
        }
    };
    at_path
        && (route.matches.methods.is_empty() || route.matches.methods.iter().any(|m| m == method))
}

/// Whether a client that asks for `path` is still being redirected after many steps.
fn never_arrives(parameters: &Parameters, path: &str, method: &str) -> bool {
    let (mut path, mut method) = (path.to_owned(), method);
    for _ in 0..STEPS {
        let hit = parameters.routes.iter().find(|route| takes(route, &path, method));
        let Some(Action::Redirect(redirect)) = hit.map(|route| &route.action) else { return false };
        if let Some(own) = redirect.to.strip_prefix("https://own.example") {
            path = if own.is_empty() { path } else { own.to_owned() };
        } else if redirect.to.starts_with('/') {
            path = redirect.to.clone();
        } else {
            return false;
        }
        if redirect.status < 307 && method != "HEAD" {
            method = "GET";
        }
    }
    true
}

fn route() -> impl Strategy<Value = Value> {
    let to = prop_oneof![
        6 => prop::sample::select(&PATHS[..]).prop_map(str::to_owned),
        1 => prop::sample::select(&PATHS[..]).prop_map(|path| format!("https://own.example{path}")),
        1 => Just("https://own.example".to_owned()),
        1 => Just("https://other.example".to_owned()),
    ];
    let methods = prop::sample::subsequence(&METHODS[..], 0..=2);
    let status = prop::sample::select(&[301, 303, 307, 308][..]);
    (methods, status, to, prop::bool::weighted(0.8)).prop_map(|(methods, status, to, redirects)| {
        let mut route = json!({"match": {}});
        if !methods.is_empty() {
            route["match"]["methods"] = json!(methods);
        }
        if redirects {
            route["redirect"] = json!({"to": to, "status": status});
        } else {
            route["respond"] = json!({});
        }
        route
    })
}

/// Routes with different paths, so that none ties with another.
fn document() -> impl Strategy<Value = Value> {
    let place = (prop::sample::select(&PATHS[..]), prop::sample::select(&["path", "prefix"][..]));
    prop::collection::btree_map(place, route(), 1..7).prop_map(|routes: BTreeMap<_, _>| {
        let named = routes.into_iter().enumerate().map(|(index, ((path, kind), mut route))| {
            route["name"] = json!(format!("r{index}"));
            route["match"][kind] = json!(path);
            route
        });
        json!({"service": "s", "hostnames": ["own.example"], "routes": named.collect::<Vec<_>>()})
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn circles_are_refused_and_nothing_else_is(document in document()) {
        let text = document.to_string();
        // Rows are read without being judged, so that the routes can be walked in either case.
        let parameters: Parameters = serde_json::from_value(document).expect("well formed");
        let below = PATHS.map(|path| format!("{}/z", path.trim_end_matches('/')));
        let asked = PATHS.iter().copied().chain(below.iter().map(String::as_str));
        let circle = asked.flat_map(|path| METHODS.map(|method| (path, method)))
            .find(|(path, method)| never_arrives(&parameters, path, method));
        match Descriptor::from_yaml(&text) {
            Ok(_) => prop_assert_eq!(circle, None, "{}", text),
            Err(refusals) => {
                prop_assert!(refusals.iter().all(|r| r.code == Code::Circle), "{:?}", refusals);
                prop_assert!(circle.is_some(), "{:?} {}", refusals, text);
            }
        }
    }
}
