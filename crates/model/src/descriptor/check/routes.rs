//! All routes together: names, ties, what is never reached, redirects that go in circles.

use super::{order, redirects, route};
use crate::Hostname;
use crate::descriptor::decode::At;
use crate::descriptor::refusal::{Refusals, Spot, quote};
use crate::descriptor::{
    Action, Auth, Code, DEFAULT_UPSTREAM, PathMatch, Refusal, Route, RouteMatch, syntax,
};

/// A route with the places that refusals point at.
pub(super) struct Placed<'w> {
    pub(super) route: Route,
    pub(super) matches: &'w Spot,
    pub(super) action: &'w Spot,
}

/// Builds the routes, most specific first.
pub(super) fn check(
    written: &syntax::Descriptor,
    hostnames: &[Hostname],
    auth: Auth,
    refusals: &mut Refusals,
) -> Vec<Route> {
    let list = written.routes.value().map(|list| list.0.as_slice()).unwrap_or_default();
    names(list, refusals);
    let has_default = !written.upstream.is_absent();
    let placed: Vec<Placed<'_>> = list
        .iter()
        .filter_map(|at| {
            let route = route::build(at, has_default, auth, refusals)?;
            let action = at.value.redirect.at().map_or(&at.spot, |redirect| &redirect.spot);
            Some(Placed { route, matches: &at.value.matches.at()?.spot, action })
        })
        .collect();
    ties(&placed, refusals);
    redirects::check(&placed, hostnames, refusals);
    unreached_upstream(written, &placed, refusals);
    let mut routes: Vec<Route> = placed.into_iter().map(|placed| placed.route).collect();
    order::sort(&mut routes);
    routes
}

fn names(list: &[At<syntax::Route>], refusals: &mut Refusals) {
    let names: Vec<_> = list.iter().filter_map(|route| route.value.name.at()).collect();
    for (index, name) in names.iter().enumerate() {
        if let Some(first) = names[..index].iter().find(|first| first.value == name.value) {
            let message = format!("two routes have the name {}", quote(&name.value.0));
            refusals.push(
                Refusal::new(Code::Duplicate, &name.spot, message)
                    .also(&first.spot, "first written here")
                    .help("give one of them another name"),
            );
        }
    }
}

/// Two routes of one rank that are for the same requests, unless a more specific one takes these.
fn ties(placed: &[Placed<'_>], refusals: &mut Refusals) {
    for (index, second) in placed.iter().enumerate() {
        for first in &placed[..index] {
            let Some(common) = order::both(&first.route.matches, &second.route.matches) else {
                continue;
            };
            let rank = order::rank(&first.route.matches);
            let above =
                || placed.iter().map(|p| &p.route.matches).filter(|m| order::rank(m) > rank);
            let decided = |part| above().any(|other| order::covers(other, part));
            if !order::by_method(&common).iter().all(decided) {
                refusals.push(tie(first, second, &common));
            }
        }
    }
}

fn tie(first: &Placed<'_>, second: &Placed<'_>, common: &RouteMatch) -> Refusal {
    let same = first.route.matches == second.route.matches;
    let requests = if same { "the same requests" } else { "some of the same requests" };
    let message = format!(
        "the routes `{}` and `{}` match {requests}, and neither is more specific",
        first.route.name, second.route.name
    );
    let help = if order::rank(common) > order::rank(&first.route.matches) {
        format!("add a route for the requests of both: {}", words(common))
    } else if same || common.methods.is_empty() {
        "leave out one of them, or let one match less".to_owned()
    } else {
        format!("take {} out of the methods of one of them", common.methods.join(", "))
    };
    Refusal::new(Code::Tie, second.matches, message)
        .also(first.matches, format!("`{}` matches them too", first.route.name))
        .why("the order in the file does not count, so nothing says which one wins")
        .help(help)
}

/// A match as it would be written.
fn words(matches: &RouteMatch) -> String {
    let path = match &matches.path {
        PathMatch::Exact(path) => format!("path: {path}"),
        PathMatch::Prefix(path) => format!("prefix: {path}"),
    };
    let map = |name: &str, map: &std::collections::BTreeMap<String, String>| {
        let pairs: Vec<String> = map.iter().map(|(k, v)| format!("{k}: {v:?}")).collect();
        if pairs.is_empty() { String::new() } else { format!(", {name}: {{{}}}", pairs.join(", ")) }
    };
    let methods = if matches.methods.is_empty() {
        String::new()
    } else {
        format!(", methods: [{}]", matches.methods.join(", "))
    };
    let headers = map("headers", &matches.headers);
    format!("`match: {{{path}{methods}{headers}{}}}`", map("query", &matches.query))
}

/// A top-level upstream that no request can reach was meant for something.
fn unreached_upstream(
    written: &syntax::Descriptor,
    placed: &[Placed<'_>],
    refusals: &mut Refusals,
) {
    let Some(upstream) = written.upstream.at() else { return };
    if !refusals.is_empty() {
        return;
    }
    let named = |route: &Route| match &route.action {
        Action::Forward(forward) => {
            forward.to.iter().any(|target| target.upstream == DEFAULT_UPSTREAM)
        }
        Action::Redirect(_) | Action::Respond(_) => false,
    };
    let everything = RouteMatch {
        path: PathMatch::Prefix("/".to_owned()),
        methods: Vec::new(),
        headers: Default::default(),
        query: Default::default(),
    };
    let Some(greedy) = placed.iter().find(|placed| placed.route.matches == everything) else {
        return;
    };
    if placed.iter().any(|placed| named(&placed.route)) {
        return;
    }
    let message = format!(
        "no request reaches this upstream: the route `{}` takes whatever the others leave",
        greedy.route.name
    );
    refusals.push(
        Refusal::new(Code::Unreachable, &upstream.spot, message)
            .also(greedy.matches, "this matches every request")
            .help("leave out `upstream`, or make the route match less"),
    );
}
