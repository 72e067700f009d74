//! Which route wins, held against the words of Gateway API by trying every request of a small world.

use std::collections::{BTreeMap, BTreeSet};

use model::Descriptor;
use model::descriptor::{Code, PathMatch, Refusal, Route, RouteMatch};
use proptest::prelude::*;
use serde_json::{Value, json};

const PATHS: [&str; 5] = ["/", "/a", "/a/b", "/a/bc", "/c"];
/// Each of these paths, and one below each that is below no other.
const ASKED: [&str; 10] =
    ["/", "/a", "/a/b", "/a/bc", "/c", "/z", "/a/z", "/a/b/z", "/a/bc/z", "/c/z"];
const METHODS: [&str; 3] = ["GET", "POST", "PROPFIND"];
const NAMES: [&str; 2] = ["x", "y"];
const VALUES: [&str; 2] = ["1", "2"];

#[derive(Debug, Clone, PartialEq)]
struct Request {
    path: &'static str,
    method: &'static str,
    headers: BTreeMap<String, String>,
    query: BTreeMap<String, String>,
}

/// Every request of the world: each header and parameter absent, or with one of its values.
fn requests() -> Vec<Request> {
    let maps: Vec<BTreeMap<String, String>> = (0..9)
        .map(|index| {
            let choice = [index % 3, index / 3];
            let pairs = NAMES.iter().zip(choice).filter(|(_, value)| *value > 0);
            pairs.map(|(name, value)| ((*name).to_owned(), VALUES[value - 1].to_owned())).collect()
        })
        .collect();
    let mut all = Vec::new();
    for path in ASKED {
        for method in METHODS {
            for headers in &maps {
                for query in &maps {
                    let (headers, query) = (headers.clone(), query.clone());
                    all.push(Request { path, method, headers, query });
                }
            }
        }
    }
    all
}

fn takes(matches: &RouteMatch, request: &Request) -> bool {
    let path = match &matches.path {
        PathMatch::Exact(path) => request.path == path,
        PathMatch::Prefix(prefix) => {
            let segments = |path: &str| -> Vec<String> {
                path.split('/').filter(|s| !s.is_empty()).map(str::to_owned).collect()
            };
            segments(request.path).starts_with(&segments(prefix))
        }
    };
    let all = |wanted: &BTreeMap<String, String>, found: &BTreeMap<String, String>| {
        wanted.iter().all(|(name, value)| found.get(name) == Some(value))
    };
    path && (matches.methods.is_empty() || matches.methods.iter().any(|m| m == request.method))
        && all(&matches.headers, &request.headers)
        && all(&matches.query, &request.query)
}

/// Whether Gateway API puts `a` before `b`, for a request that both match; `None` for a tie.
fn before(a: &RouteMatch, b: &RouteMatch) -> Option<bool> {
    let exact = |m: &RouteMatch| matches!(m.path, PathMatch::Exact(_));
    let length = |m: &RouteMatch| match &m.path {
        PathMatch::Exact(path) | PathMatch::Prefix(path) => path.len(),
    };
    let criteria: [(usize, usize); 5] = [
        (usize::from(exact(a)), usize::from(exact(b))),
        (length(a), length(b)),
        (usize::from(!a.methods.is_empty()), usize::from(!b.methods.is_empty())),
        (a.headers.len(), b.headers.len()),
        (a.query.len(), b.query.len()),
    ];
    criteria.iter().find(|(a, b)| a != b).map(|(a, b)| a > b)
}

/// A request for which two routes are the most specific.
fn undecided<'r>(routes: &[Route], requests: &'r [Request]) -> Option<&'r Request> {
    requests.iter().find(|request| {
        let hits: Vec<&RouteMatch> =
            routes.iter().map(|route| &route.matches).filter(|m| takes(m, request)).collect();
        let best: Vec<_> = hits
            .iter()
            .filter(|hit| hits.iter().all(|other| before(other, hit) != Some(true)))
            .collect();
        best.len() > 1
    })
}

fn a_match() -> impl Strategy<Value = Value> {
    let pairs = || {
        prop::collection::btree_map(
            prop::sample::select(&NAMES[..]),
            prop::sample::select(&VALUES[..]),
            0..=2,
        )
    };
    let path = prop::sample::select(&PATHS[..]);
    let methods = prop::sample::subsequence(&METHODS[..2], 0..=2);
    (path, any::<bool>(), methods, pairs(), pairs()).prop_map(
        |(path, exact, methods, headers, query)| {
            let mut matches = json!({ if exact { "path" } else { "prefix" }: path });
            if !methods.is_empty() {
                matches["methods"] = json!(methods);
            }
            for (key, pairs) in [("headers", headers), ("query", query)] {
                if !pairs.is_empty() {
                    matches[key] = json!(pairs);
                }
            }
            matches
        },
    )
}

fn document(matches: &[Value]) -> String {
    let routes: Vec<Value> = matches
        .iter()
        .enumerate()
        .map(|(index, matches)| json!({"name": format!("r{index}"), "match": matches, "to": "default"}))
        .collect();
    json!({"service": "s", "upstream": "http://a", "routes": routes}).to_string()
}

fn codes(refusals: &[Refusal]) -> BTreeSet<Code> {
    refusals.iter().map(|refusal| refusal.code).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Accepted: every request has one winner, and it is the first in order that takes it.
    /// Refused: there is a request that has two.
    #[test]
    fn ties_are_refused_and_nothing_else_is(matches in prop::collection::vec(a_match(), 1..5)) {
        let requests = requests();
        match Descriptor::from_yaml(&document(&matches)) {
            Ok(read) => {
                let routes = &read.parameters.routes;
                prop_assert_eq!(undecided(routes, &requests), None);
                for request in &requests {
                    let hits = || routes.iter().filter(|route| takes(&route.matches, request));
                    let Some(first) = hits().next() else { continue };
                    let beaten = hits().all(|route| before(&route.matches, &first.matches) != Some(true));
                    prop_assert!(beaten, "{:?} is not the winner of {:?}", first, request);
                }
            }
            Err(refusals) => {
                prop_assert_eq!(codes(&refusals), BTreeSet::from([Code::Tie]));
                let alone: Vec<Route> = matches
                    .iter()
                    .flat_map(|one| Descriptor::from_yaml(&document(std::slice::from_ref(one))))
                    .flat_map(|read| read.parameters.routes)
                    .collect();
                prop_assert!(undecided(&alone, &requests).is_some(), "{:?}", matches);
            }
        }
    }

    #[test]
    fn the_order_in_the_file_does_not_count(
        (matches, shuffled) in prop::collection::vec(a_match(), 1..6).prop_flat_map(|matches| {
            let named: Vec<(usize, Value)> = matches.into_iter().enumerate().collect();
            (Just(named.clone()), Just(named).prop_shuffle())
        })
    ) {
        let document = |matches: &[(usize, Value)]| {
            let routes: Vec<Value> = matches
                .iter()
                .map(|(index, matches)| json!({"name": format!("r{index}"), "match": matches}))
                .collect();
            json!({"service": "s", "upstream": "http://a", "routes": routes}).to_string()
        };
        let one = Descriptor::from_yaml(&document(&matches)).map_err(|refusals| codes(&refusals));
        let other = Descriptor::from_yaml(&document(&shuffled)).map_err(|refusals| codes(&refusals));
        prop_assert_eq!(one, other);
    }
}

#[test]
fn the_order_is_that_of_gateway_api() {
    let matches = [
        json!({"path": "/a"}),
        json!({"prefix": "/a/bc", "methods": ["GET"]}),
        json!({"prefix": "/a/bc", "headers": {"x": "1", "y": "1"}}),
        json!({"prefix": "/a/bc", "headers": {"x": "1"}, "query": {"x": "1"}}),
        json!({"prefix": "/a/bc", "headers": {"x": "1"}}),
        json!({"prefix": "/a/bc", "query": {"x": "1", "y": "1"}}),
        json!({"prefix": "/a/bc"}),
        json!({"prefix": "/a", "methods": ["GET"], "headers": {"x": "1"}}),
        json!({"prefix": "/"}),
    ];
    let mut backwards = matches.to_vec();
    backwards.reverse();
    let read = Descriptor::from_yaml(&document(&backwards)).unwrap();
    let found: Vec<Value> = read.parameters.to_json()["routes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| r["match"].clone())
        .collect();
    assert_eq!(found, matches);
}

/// The ties of two routes are decided by more specific ones only when these take all of them.
#[test]
fn a_tie_is_decided_method_by_method() {
    let both = ["GET", "POST"];
    let x = json!({"path": "/", "methods": both, "headers": {"x": "1"}});
    let y = json!({"path": "/", "methods": both, "headers": {"y": "1"}});
    let decides =
        |method: &str| json!({"path": "/", "methods": [method], "headers": {"x": "1", "y": "1"}});
    let all = [x, y, decides("GET"), decides("POST")];
    assert!(Descriptor::from_yaml(&document(&all)).is_ok());
    let refusals = Descriptor::from_yaml(&document(&all[..3])).unwrap_err();
    assert_eq!(codes(&refusals), BTreeSet::from([Code::Tie]));
}
