//! From what was written to what is meant: the rules that need more than one value.

mod hosts;
mod order;
mod redirects;
mod route;
mod routes;
mod upstreams;

#[cfg(feature = "generate")]
pub(crate) use order::sort;

use super::decode::At;
use super::decode::{Given, Map};
use super::refusal::{Refusals, Spot, quote};
use super::values::{HeaderName, HeaderValue};
use super::{Auth, Code, Descriptor, HeaderRules, Parameters, Refusal, syntax};

/// Builds the descriptor, and tells everything that is wrong with it. What was decoded without a
/// refusal always builds.
pub(crate) fn descriptor(
    At { value: written, spot }: &At<syntax::Descriptor>,
    refusals: &mut Refusals,
) -> Option<Descriptor> {
    let service = written.service.value().cloned();
    let upstreams = upstreams::check(written, refusals);
    let hostnames = hosts::check(written, refusals);
    let auth = auth(&written.auth).unwrap_or_default();
    let routes = routes::check(written, &hostnames, auth, refusals);
    let request_headers = headers(&written.request_headers, refusals);
    let response_headers = headers(&written.response_headers, refusals);
    useful(written, spot, refusals);
    Some(Descriptor {
        visibility: written.visibility.value().copied().unwrap_or_default(),
        parameters: Parameters {
            service: service?,
            upstream: upstreams.default,
            hostnames,
            routes,
            upstreams: upstreams.named,
            request_headers,
            response_headers,
            auth,
        },
    })
}

/// Without an upstream and without routes there is nothing to do.
fn useful(written: &syntax::Descriptor, spot: &Spot, refusals: &mut Refusals) {
    let no_routes = match &written.routes {
        Given::Absent => true,
        Given::Bad => false,
        Given::Good(routes) => routes.value.0.is_empty() && refusals.is_empty(),
    };
    if no_routes && written.upstream.is_absent() {
        let message = "a descriptor needs `upstream`, or `routes` that do without it";
        refusals.push(
            Refusal::new(Code::MissingKey, spot, message)
                .help("say where requests go: `upstream: http://localhost:3000`"),
        );
    }
}

/// Who may call, where it is said.
fn auth(written: &Given<syntax::Auth>) -> Option<Auth> {
    written.value()?.require.value().copied()
}

/// Header rules, none of which contradicts another.
fn headers(written: &Given<syntax::HeaderRules>, refusals: &mut Refusals) -> HeaderRules {
    let Some(At { value: rules, spot }) = written.at() else { return HeaderRules::default() };
    let set = pairs(&rules.set);
    let add = pairs(&rules.add);
    let remove: Vec<(&HeaderName, &Spot)> = rules
        .remove
        .value()
        .map(|names| names.0.iter().map(|name| (&name.value, &name.spot)).collect())
        .unwrap_or_default();
    for (one, other) in
        [(names(&set), names(&add)), (names(&set), remove.clone()), (names(&add), remove.clone())]
    {
        contradictions(&one, &other, refusals);
    }
    let count = set.len() + add.len() + remove.len();
    if count > syntax::HEADER_RULES_MAX {
        let message = format!("{count} header rules; {} are the limit", syntax::HEADER_RULES_MAX);
        refusals.push(Refusal::new(Code::BadValue, spot, message));
    }
    let owned = |pairs: Vec<Pair<'_>>| {
        pairs.into_iter().map(|(name, _, value)| (name.0.clone(), value.0.clone())).collect()
    };
    let mut removed: Vec<String> = remove.into_iter().map(|(name, _)| name.0.clone()).collect();
    removed.sort();
    HeaderRules { set: owned(set), add: owned(add), remove: removed }
}

fn names<'w>(pairs: &[Pair<'w>]) -> Vec<(&'w HeaderName, &'w Spot)> {
    pairs.iter().map(|(name, spot, _)| (*name, *spot)).collect()
}

type Pair<'w> = (&'w HeaderName, &'w Spot, &'w HeaderValue);

fn pairs<const MAX: usize>(written: &Given<Map<HeaderName, HeaderValue, MAX>>) -> Vec<Pair<'_>> {
    let entries = written.value().map(|map| map.0.as_slice()).unwrap_or_default();
    entries
        .iter()
        .filter_map(|(name, value)| Some((&name.value, &name.spot, value.value()?)))
        .collect()
}

fn contradictions(
    one: &[(&HeaderName, &Spot)],
    other: &[(&HeaderName, &Spot)],
    refusals: &mut Refusals,
) {
    for (name, spot) in one {
        if let Some((_, second)) = other.iter().find(|(known, _)| known == name) {
            let message =
                format!("two rules for the header {} contradict each other", quote(&name.0));
            refusals.push(
                Refusal::new(Code::Contradiction, second, message)
                    .also(spot, "the other one")
                    .help("keep one of the two"),
            );
        }
    }
}
