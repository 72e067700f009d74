//! Redirects that lead back to where they were: found by following them.

use std::collections::BTreeSet;

use super::hosts::is_own;
use super::order;
use super::routes::Placed;
use crate::Hostname;
use crate::descriptor::decode::Scalar;
use crate::descriptor::refusal::{Refusals, quote};
use crate::descriptor::values::RedirectTarget;
use crate::descriptor::{Action, Code, PathMatch, Redirect, Refusal, RouteMatch};

/// Refuses every redirect from which a client never arrives.
pub(super) fn check(placed: &[Placed<'_>], hostnames: &[Hostname], refusals: &mut Refusals) {
    let mut ordered: Vec<&Placed<'_>> = placed.iter().collect();
    ordered.sort_by_key(|placed| std::cmp::Reverse(order::rank(&placed.route.matches)));
    let mut told: Vec<BTreeSet<&str>> = Vec::new();
    for start in placed {
        let Action::Redirect(redirect) = &start.route.action else { continue };
        let circle = clients(&start.route.matches)
            .find_map(|client| follow(start, redirect, client, &ordered, hostnames));
        let Some(circle) = circle.filter(|circle| !told.contains(&circle.routes)) else { continue };
        let message = format!("this redirect goes in a circle: {}", circle.paths.join(" → "));
        refusals.push(
            Refusal::new(Code::Circle, start.action, message)
                .help("send it to a path that this service answers otherwise"),
        );
        told.push(circle.routes);
    }
}

/// A way that never ends.
struct Circle<'p> {
    paths: Vec<String>,
    routes: BTreeSet<&'p str>,
}

/// Clients that a match is for: each method, at its path and, for a prefix, below it.
fn clients(matches: &RouteMatch) -> impl Iterator<Item = Client> {
    // No path has this segment, so that no other route takes it for its own.
    const BELOW: &str = "…";
    // What people and crawlers send, where a route takes any method.
    const METHODS: [&str; 3] = ["GET", "HEAD", "POST"];
    let paths = match &matches.path {
        PathMatch::Exact(path) => vec![path.clone()],
        PathMatch::Prefix(path) => {
            vec![path.clone(), format!("{}/{BELOW}", path.trim_end_matches('/'))]
        }
    };
    let methods: Vec<&str> = if matches.methods.is_empty() {
        METHODS.to_vec()
    } else {
        matches.methods.iter().map(String::as_str).collect()
    };
    let at = |path: &String| {
        let method = |method: &&str| Client { path: path.clone(), method: (*method).to_owned() };
        methods.iter().map(method).collect::<Vec<_>>()
    };
    paths.iter().flat_map(at).collect::<Vec<_>>().into_iter()
}

/// Follows a client whom `start` has just redirected, and who keeps its headers and query.
fn follow<'p>(
    start: &Placed<'_>,
    redirect: &Redirect,
    mut client: Client,
    ordered: &[&'p Placed<'_>],
    hostnames: &[Hostname],
) -> Option<Circle<'p>> {
    let mut circle = Circle { paths: vec![quote(&client.path)], routes: BTreeSet::new() };
    let mut seen = BTreeSet::new();
    let mut closed = None;
    client.go(redirect, hostnames)?;
    loop {
        circle.paths.push(quote(&client.path));
        let asked = &start.route.matches;
        let hit = ordered.iter().find(|p| takes(&p.route.matches, &client, asked))?;
        let Action::Redirect(redirect) = &hit.route.action else { return None };
        circle.routes.insert(&hit.route.name);
        if hit.route.name == start.route.name {
            closed.get_or_insert(circle.paths.len());
        }
        if !seen.insert(client.clone()) {
            // A circle further on is told at one of its own routes.
            circle.paths.truncate(closed?);
            return Some(circle);
        }
        client.go(redirect, hostnames)?;
    }
}

/// What changes about a request from one redirect to the next.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Client {
    path: String,
    method: String,
}

impl Client {
    /// Obeys a redirect; `None` when it leads out of this service.
    fn go(&mut self, redirect: &Redirect, hostnames: &[Hostname]) -> Option<()> {
        match RedirectTarget::parse(&redirect.to).ok()? {
            RedirectTarget::Path(to) => self.path = to,
            RedirectTarget::Url { address, path, .. } => {
                if !is_own(&address, hostnames) {
                    return None;
                }
                self.path = path.unwrap_or_else(|| self.path.clone());
            }
        }
        // Browsers turn other methods into GET on 301 and 302 too (RFC 9110, section 15.4).
        if redirect.status < 307 && self.method != "HEAD" {
            self.method = "GET".to_owned();
        }
        Some(())
    }
}

/// Whether a route takes a request for `path` that has the headers and the query of `asked`.
fn takes(matches: &RouteMatch, client: &Client, asked: &RouteMatch) -> bool {
    let path = client.path.as_str();
    let at_path = match &matches.path {
        PathMatch::Exact(exact) => exact.as_str() == path,
        PathMatch::Prefix(prefix) => {
            prefix == "/"
                || path
                    .strip_prefix(prefix.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        }
    };
    at_path
        && (matches.methods.is_empty() || matches.methods.contains(&client.method))
        && matches.headers.iter().all(|(name, value)| asked.headers.get(name) == Some(value))
        && matches.query.iter().all(|(name, value)| asked.query.get(name) == Some(value))
}
