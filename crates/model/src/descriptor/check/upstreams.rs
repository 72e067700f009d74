//! Upstreams: each with an address, each named by a route, and no route names another.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::descriptor::decode::{At, near};
use crate::descriptor::refusal::{Refusals, Spot, quote};
use crate::descriptor::values::{UpstreamName, UpstreamUrl};
use crate::descriptor::{Code, HealthCheck, Refusal, Upstream, syntax};

const INTERVAL: Duration = Duration::from_secs(10);
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);

/// The upstreams of a descriptor.
pub(super) struct Upstreams {
    pub(super) default: Option<Upstream>,
    pub(super) named: BTreeMap<String, Upstream>,
}

/// Builds the upstreams.
pub(super) fn check(written: &syntax::Descriptor, refusals: &mut Refusals) -> Upstreams {
    let default = written.upstream.value().map(|url| from_url(url, None));
    let mut named = BTreeMap::new();
    for (name, upstream) in entries(written) {
        if name.value.is_default() {
            let message = "`default` is the name of the top-level `upstream`";
            refusals.push(
                Refusal::new(Code::Upstream, &name.spot, message).help("choose another name"),
            );
        }
        if let Some(built) = upstream.at().and_then(|upstream| build(upstream, refusals)) {
            named.insert(name.value.0.clone(), built);
        }
    }
    references(written, refusals);
    Upstreams { default, named }
}

type Entry = (At<UpstreamName>, crate::descriptor::decode::Given<syntax::Upstream>);

fn entries(written: &syntax::Descriptor) -> &[Entry] {
    written.upstreams.value().map(|map| map.0.as_slice()).unwrap_or_default()
}

fn build(
    At { value: written, spot }: &At<syntax::Upstream>,
    refusals: &mut Refusals,
) -> Option<Upstream> {
    let health_check = written.health_check.value().and_then(health_check);
    if let Some(url) = written.url.value() {
        return Some(from_url(url, health_check));
    }
    let nothing = written.url.is_absent() && written.addresses.is_absent();
    if nothing && !refusals.concern(spot) {
        refusals.push(Refusal::new(
            Code::MissingKey,
            spot,
            "an upstream needs `url` or `addresses`",
        ));
    }
    let addresses = written.addresses.value()?.0.iter().map(|at| at.value.0.clone()).collect();
    let tls = written.tls.value().copied().unwrap_or_default();
    Some(Upstream { addresses, tls, health_check })
}

fn from_url(url: &UpstreamUrl, health_check: Option<HealthCheck>) -> Upstream {
    Upstream { addresses: vec![url.address.clone()], tls: url.tls, health_check }
}

fn health_check(written: &syntax::HealthCheck) -> Option<HealthCheck> {
    Some(HealthCheck {
        path: written.path.value()?.0.clone(),
        interval: written.interval.value().map_or(INTERVAL, |span| span.0),
        timeout: written.timeout.value().map_or(CHECK_TIMEOUT, |span| span.0),
    })
}

/// Every name that a route uses must be declared, and every declared one used.
fn references(written: &syntax::Descriptor, refusals: &mut Refusals) {
    let sound = refusals.is_empty();
    let routes = written.routes.value().map(|list| list.0.as_slice()).unwrap_or_default();
    let uses: Vec<(&UpstreamName, &Spot)> =
        routes.iter().flat_map(|route| uses(&route.value)).collect();
    let declared: BTreeSet<&str> =
        entries(written).iter().map(|(name, _)| name.value.0.as_str()).collect();
    // A list of upstreams that could not be read may declare anything.
    if !written.upstreams.is_bad() {
        uses.iter()
            .for_each(|(name, spot)| declared_somewhere(name, spot, written, &declared, refusals));
    }
    if !sound {
        return;
    }
    for (name, _) in entries(written) {
        if !name.value.is_default() && !uses.iter().any(|(used, _)| **used == name.value) {
            let message = format!("no route goes to the upstream {}", quote(&name.value.0));
            refusals.push(
                Refusal::new(Code::Upstream, &name.spot, message)
                    .help("name it in the `to` of a route, or leave it out"),
            );
        }
    }
}

fn uses(route: &syntax::Route) -> Vec<(&UpstreamName, &Spot)> {
    match route.to.at() {
        Some(At { value: syntax::Targets::One(name), spot }) => vec![(name, spot)],
        Some(At { value: syntax::Targets::Several(list), .. }) => list
            .0
            .iter()
            .filter_map(|target| target.value.upstream.at())
            .map(|at| (&at.value, &at.spot))
            .collect(),
        None => Vec::new(),
    }
}

fn declared_somewhere(
    name: &UpstreamName,
    spot: &Spot,
    written: &syntax::Descriptor,
    declared: &BTreeSet<&str>,
    refusals: &mut Refusals,
) {
    if name.is_default() {
        if written.upstream.is_absent() {
            let message = "`default` is the top-level `upstream`, which is missing";
            refusals.push(
                Refusal::new(Code::Upstream, spot, message)
                    .help("add `upstream: http://host:port` at the top level"),
            );
        }
        return;
    }
    if declared.contains(name.0.as_str()) {
        return;
    }
    let refusal =
        Refusal::new(Code::Upstream, spot, format!("there is no upstream {}", quote(&name.0)));
    refusals.push(match near(&name.0, declared.iter().copied()) {
        Some(near) => refusal.label(format!("did you mean `{near}`?")),
        None => refusal.help(format!("declare it: `upstreams: {{{}: {{url: …}}}}`", name.0)),
    });
}
