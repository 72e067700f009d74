//! Routes that share no request unless one of them is the more specific.

use std::collections::BTreeMap;
use std::time::Duration;

use super::rng::Rng;
use super::{UPSTREAMS, text};
use crate::Hostname;
use crate::descriptor::decode::Scalar;
use crate::descriptor::values::{Method, RetryOn};
use crate::descriptor::{
    Action, DEFAULT_UPSTREAM, Forward, PathMatch, Redirect, Respond, Retry, Route, RouteMatch,
    Weighted,
};

/// Below it no route matches, so that redirects to it end somewhere.
const LANDING: &str = "landing";

/// Routes in groups: those of one group have the same path, and each has one condition more than
/// the one before it.
pub(super) fn routes(rng: &mut Rng, has_default: bool, own: &[Hostname]) -> Vec<Route> {
    let most = rng.pick(&[0, 1, 1, 2, 2, 3, 3, 5, 5, 8, 8, 64]);
    let mut routes: Vec<Route> = Vec::new();
    let mut group = 0;
    while routes.len() < most {
        let path = path(rng, group);
        let mut matches = RouteMatch {
            path,
            methods: Vec::new(),
            headers: BTreeMap::new(),
            query: BTreeMap::new(),
        };
        let first = routes.len();
        for _ in 0..1 + rng.below(3) {
            if routes.len() < most && (routes.len() == first || condition(rng, &mut matches)) {
                let index = routes.len();
                routes.push(route(rng, index, matches.clone(), has_default, own));
            }
        }
        group += 1;
    }
    routes
}

fn path(rng: &mut Rng, group: usize) -> PathMatch {
    if group == 0 && rng.chance(25) {
        return PathMatch::Prefix("/".to_owned());
    }
    let path = text::path(rng, &format!("r{group}"));
    if rng.chance(40) {
        let slash = if rng.chance(10) { "/" } else { "" };
        PathMatch::Exact(path + slash)
    } else {
        PathMatch::Prefix(path)
    }
}

/// Adds a condition; false when there is none left to add.
fn condition(rng: &mut Rng, matches: &mut RouteMatch) -> bool {
    match rng.below(3) {
        0 if matches.methods.is_empty() => {
            matches.methods = rng.some(Method::ONE_OF, 4).into_iter().map(str::to_owned).collect();
            matches.methods.sort();
        }
        1 => {
            let name = format!("x-{}", matches.headers.len());
            matches.headers.insert(name, text::value(rng));
        }
        _ => {
            let name = rng.pick(&["q", "%5Bq%5D", "a-b", "q.r", "%REQ(x)%"]).to_owned();
            let before = matches.query.len();
            matches.query.insert(name, text::query_value(rng));
            return matches.query.len() > before;
        }
    }
    true
}

fn route(
    rng: &mut Rng,
    index: usize,
    matches: RouteMatch,
    has_default: bool,
    own: &[Hostname],
) -> Route {
    let kind = rng.below(10);
    let action = match kind {
        0 | 1 => Action::Redirect(redirect(rng, &matches.path, own)),
        2 | 3 => Action::Respond(respond(rng)),
        _ => Action::Forward(forward(rng, &matches.path, has_default)),
    };
    let forwards = matches!(action, Action::Forward(_));
    let sizes = [1, 1500, 1 << 10, 1 << 20, 64 << 20];
    Route {
        name: format!("{}-{index}", rng.pick(&["api", "null", "a"])),
        matches,
        action,
        request_headers: text::header_rules(rng, if forwards { 25 } else { 0 }),
        response_headers: text::header_rules(rng, 25),
        max_body_bytes: rng.maybe(if forwards { 20 } else { 0 }, |rng| rng.pick(&sizes)),
        auth: super::auth(rng),
    }
}

fn redirect(rng: &mut Rng, from: &PathMatch, own: &[Hostname]) -> Redirect {
    let everywhere = *from == PathMatch::Prefix("/".to_owned());
    let path = text::path(rng, LANDING);
    let elsewhere = [
        "https://other.example",
        "https://other.example:8443",
        "http://10.0.0.1",
        "https://[2001:db8::1]:444",
    ];
    let to = match rng.below(4) {
        // A path below `/` would be matched by the same route again.
        0 | 1 if !everywhere => path,
        2 if !everywhere && !own.is_empty() => format!("https://{}{path}", rng.pick(own)),
        3 => rng.pick(&elsewhere).to_owned(),
        _ => rng.pick(&elsewhere).to_owned() + &path,
    };
    Redirect { to, status: rng.pick(&[301, 302, 303, 307, 308]) }
}

fn respond(rng: &mut Rng) -> Respond {
    let status = rng.pick(&[200, 200, 201, 204, 205, 304, 404, 418, 503, 599]);
    let empty = matches!(status, 204 | 205 | 304);
    let types = ["application/json", "text/html; charset=utf-8", "text/x; a=\"100%\""];
    Respond {
        status,
        body: rng.maybe(if empty { 0 } else { 80 }, text::body),
        content_type: rng.maybe(30, |rng| rng.pick(&types).to_owned()),
    }
}

fn forward(rng: &mut Rng, path: &PathMatch, has_default: bool) -> Forward {
    let request_timeout = rng.maybe(40, |rng| text::duration(rng, 1, 3_600_000));
    Forward {
        to: targets(rng, has_default),
        rewrite_path: rng.maybe(30, |rng| rewrite(rng, path)),
        request_timeout,
        idle_timeout: rng.maybe(20, |rng| text::duration(rng, 1_000, 86_400_000)),
        retry: rng.maybe(30, |rng| retry(rng, request_timeout)),
    }
}

fn rewrite(rng: &mut Rng, path: &PathMatch) -> String {
    match (rng.below(3), path) {
        (0, _) => "/".to_owned(),
        (1, PathMatch::Exact(_)) => "/v2/".to_owned(),
        _ => text::path(rng, "v2"),
    }
}

fn targets(rng: &mut Rng, has_default: bool) -> Vec<Weighted> {
    let mut names: Vec<String> = (0..UPSTREAMS).map(|index| format!("up-{index}")).collect();
    if has_default {
        names.push(DEFAULT_UPSTREAM.to_owned());
        if rng.chance(30) {
            return vec![Weighted { upstream: DEFAULT_UPSTREAM.to_owned(), weight: 1 }];
        }
    }
    if rng.chance(60) {
        return vec![Weighted { upstream: rng.pick(&names), weight: 1 }];
    }
    rng.shuffle(&mut names);
    names.truncate(1 + rng.below(names.len()));
    let mut targets: Vec<Weighted> = names
        .into_iter()
        .map(|upstream| Weighted { upstream, weight: rng.pick(&[0, 1, 5, 95, 1_000_000]) })
        .collect();
    if targets.iter().all(|target| target.weight == 0) {
        targets[0].weight = 7;
    }
    targets
}

fn retry(rng: &mut Rng, request: Option<Duration>) -> Retry {
    let statuses = ["400", "429", "500", "503", "599"];
    let mut on: Vec<String> = rng.some(RetryOn::WORDS, 4).into_iter().map(str::to_owned).collect();
    if rng.chance(40) {
        on.extend(rng.some(&statuses, 3).into_iter().map(str::to_owned));
    }
    on.sort();
    let whole = request.unwrap_or(Duration::from_secs(15));
    let most = u64::try_from(whole.as_millis()).unwrap_or(u64::MAX);
    Retry {
        attempts: rng.pick(&[1, 2, 5]),
        on,
        per_try_timeout: rng.maybe(50, |rng| text::duration(rng, 1, most)),
    }
}
