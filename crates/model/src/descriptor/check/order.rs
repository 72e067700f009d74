//! Which route wins: Gateway API's order of precedence, and the ties that it leaves.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::descriptor::{PathMatch, Route, RouteMatch};

/// The greater, the more specific (Gateway API, `HTTPRouteRule.matches`): an exact path, a longer
/// path, a method, more headers, more query parameters.
type Rank = (bool, usize, bool, usize, usize);

pub(crate) fn rank(matches: &RouteMatch) -> Rank {
    let (exact, path) = match &matches.path {
        PathMatch::Exact(path) => (true, path),
        PathMatch::Prefix(path) => (false, path),
    };
    // Two different exact paths never meet, so their lengths do not matter.
    let length = if exact { 0 } else { path.len() };
    (exact, length, !matches.methods.is_empty(), matches.headers.len(), matches.query.len())
}

/// Sorts routes most specific first. Routes of one rank share no request, so that the rest of the
/// key only serves to make the result independent of the order in the file.
pub(crate) fn sort(routes: &mut [Route]) {
    routes.sort_by_cached_key(|route| (Reverse(rank(&route.matches)), route.name.clone()));
}

/// The requests that both matches are for, as a match; `None` when there are none. Only asked of
/// matches of one rank, whose paths are therefore the same or disjoint.
pub(super) fn both(a: &RouteMatch, b: &RouteMatch) -> Option<RouteMatch> {
    if rank(a) != rank(b) || a.path != b.path {
        return None;
    }
    let methods: Vec<String> =
        a.methods.iter().filter(|method| b.methods.contains(method)).cloned().collect();
    if methods.is_empty() && !a.methods.is_empty() {
        return None;
    }
    Some(RouteMatch {
        path: a.path.clone(),
        methods,
        headers: union(&a.headers, &b.headers)?,
        query: union(&a.query, &b.query)?,
    })
}

/// All conditions of both; `None` when they want different values of one name.
fn union(
    a: &BTreeMap<String, String>,
    b: &BTreeMap<String, String>,
) -> Option<BTreeMap<String, String>> {
    let mut all = a.clone();
    for (name, value) in b {
        if all.insert(name.clone(), value.clone()).is_some_and(|other| other != *value) {
            return None;
        }
    }
    Some(all)
}

/// A match as one for each of its methods.
pub(super) fn by_method(matches: &RouteMatch) -> Vec<RouteMatch> {
    if matches.methods.is_empty() {
        return vec![matches.clone()];
    }
    let one = |method: &String| RouteMatch { methods: vec![method.clone()], ..matches.clone() };
    matches.methods.iter().map(one).collect()
}

/// Whether every request of `inner` is one of `outer`, both having the same path.
pub(super) fn covers(outer: &RouteMatch, inner: &RouteMatch) -> bool {
    let within = |outer: &BTreeMap<String, String>, inner: &BTreeMap<String, String>| {
        outer.iter().all(|(name, value)| inner.get(name) == Some(value))
    };
    outer.path == inner.path
        && (outer.methods.is_empty()
            || (!inner.methods.is_empty()
                && inner.methods.iter().all(|method| outer.methods.contains(method))))
        && within(&outer.headers, &inner.headers)
        && within(&outer.query, &inner.query)
}
