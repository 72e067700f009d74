//! Good descriptors out of a number: for the property tests of every crate down the line.
//!
//! The same seed gives the same descriptor. All that a descriptor may hold is in reach: every key,
//! every word, every kind of text that some later stage could mistake for syntax, and the limits.
//! [`features`] tells what a descriptor has of that, so that a test can say what it has covered.

mod emit;
mod features;
mod respell;
mod rng;
mod route;
mod text;
mod upstream;

use std::collections::BTreeSet;

use rng::Rng;

use super::check::sort;
use super::{
    Action, Auth, DEFAULT_UPSTREAM, Descriptor, Forward, Parameters, PathMatch, Route, RouteMatch,
    Weighted,
};
use crate::{Hostname, Plan, ServiceName};

pub use features::{ALL as FEATURES, features};

/// Upstreams that routes may choose from; those that none has chosen are left out.
const UPSTREAMS: usize = 5;

/// A text and the descriptor that it says. The text is YAML or JSON, in one of many spellings.
pub fn descriptor(seed: u64) -> (String, Descriptor) {
    let mut rng = Rng::new(seed);
    let descriptor = build(&mut rng);
    let written = respell::respell(descriptor.to_json(), &mut rng);
    (emit::emit(&written, &mut rng), descriptor)
}

fn build(rng: &mut Rng) -> Descriptor {
    let hostnames = hostnames(rng);
    let has_default = rng.chance(75);
    let mut routes = route::routes(rng, has_default, &hostnames);
    let has_default = reachable(has_default, &mut routes);
    sort(&mut routes);
    let used: BTreeSet<&str> = routes.iter().flat_map(named).collect();
    let parameters = Parameters {
        service: service(rng),
        upstream: has_default.then(|| upstream::single(rng)),
        upstreams: used
            .into_iter()
            .filter(|name| *name != DEFAULT_UPSTREAM)
            .map(|name| (name.to_owned(), upstream::any(rng)))
            .collect(),
        hostnames,
        routes,
        request_headers: text::header_rules(rng, 40),
        response_headers: text::header_rules(rng, 40),
        auth: auth(rng),
    };
    Descriptor { visibility: rng.pick(&Plan::ALL), parameters }
}

fn auth(rng: &mut Rng) -> Auth {
    rng.pick(&[Auth::None, Auth::None, Auth::Binding])
}

fn service(rng: &mut Rng) -> ServiceName {
    known(rng.pick(&["shop", "a", "x1-y2", "default", "null", "public"]))
}

fn hostnames(rng: &mut Rng) -> Vec<Hostname> {
    let count = rng.pick(&[0, 0, 1, 1, 2, 3, 20]);
    let name = |index| match index % 3 {
        0 => format!("h{index}.localhost"),
        1 => format!("h{index}.shop.example.com"),
        _ => format!("xn--bcher-kva.h{index}.example"),
    };
    let mut names: Vec<Hostname> = (0..count).map(|index| known(&name(index))).collect();
    names.sort();
    names
}

/// A route that takes everything leaves nothing to the top-level upstream but what routes send
/// there by name; and without routes there is nothing but it.
fn reachable(has_default: bool, routes: &mut [Route]) -> bool {
    let everything = RouteMatch {
        path: PathMatch::Prefix("/".to_owned()),
        methods: Vec::new(),
        headers: Default::default(),
        query: Default::default(),
    };
    let named = routes.iter().flat_map(named).any(|name| name == DEFAULT_UPSTREAM);
    let greedy = routes.iter_mut().find(|route| route.matches == everything);
    match greedy {
        Some(route) if has_default && !named => {
            let to = vec![Weighted { upstream: DEFAULT_UPSTREAM.to_owned(), weight: 1 }];
            let forward = Forward {
                to,
                rewrite_path: None,
                request_timeout: None,
                idle_timeout: None,
                retry: None,
            };
            route.action = Action::Forward(forward);
            true
        }
        _ => has_default || routes.is_empty(),
    }
}

fn named(route: &Route) -> Vec<&str> {
    match &route.action {
        Action::Forward(forward) => {
            forward.to.iter().map(|target| target.upstream.as_str()).collect()
        }
        Action::Redirect(_) | Action::Respond(_) => Vec::new(),
    }
}

/// A name that is one.
fn known<T: std::str::FromStr<Err = crate::NameError>>(text: &str) -> T {
    text.parse().expect("a name")
}
