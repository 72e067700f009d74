//! What templates see: an instance's spec with the names that the renderer made and its tenant's
//! text marked, the platform's facts, and of the node what the template varies by.

mod route;
mod upstream;

use std::collections::BTreeMap;

use minijinja::value::Serde;
use model::descriptor::{Auth, HeaderRules, Route};
use model::{Exposure, Hostname, Node, Spec};
use serde::Serialize;
use serde_json::{Value, json};

use crate::mark::mark;
use crate::{Input, NodeField, Platform, callers};
use route::RouteView;
use upstream::UpstreamView;

/// The instance, as `instance`.
pub(crate) fn instance(platform: &Platform, input: Input<'_>) -> minijinja::Value {
    minijinja::Value::from(Serde(InstanceView::new(platform, input)))
}

/// The platform, as `platform`.
pub(crate) fn platform(platform: &Platform) -> minijinja::Value {
    let listeners = Exposure::ALL.map(|exposure| ListenerView::new(platform, exposure));
    minijinja::context! {
        zone => platform.zone.as_str(),
        listeners => Serde(listeners),
        on_demand => platform.on_demand,
        shared_clusters => Serde(&platform.shared_clusters),
        sources => platform.sources.seen().clone(),
        direct => platform.direct,
        trusted_ca => platform.trusted_ca.as_str(),
        access_log => platform.access_log.as_deref(),
        caller_filter => Serde(callers::idle()),
    }
}

/// The fields of a node that a template varies by, as `node`.
pub(crate) fn node(node: &Node, varies_by: &[NodeField]) -> minijinja::Value {
    let mut seen = serde_json::Map::new();
    for field in varies_by {
        let value = Value::from(field.of(node));
        match field {
            NodeField::Metadata(key) => {
                seen.entry("metadata").or_insert_with(|| json!({}))[&**key] = value;
            }
            plain => _ = seen.insert(plain.to_string(), value),
        }
    }
    minijinja::Value::from(Serde(seen))
}

/// The name of the route configuration of an exposure of an instance.
pub(crate) fn route_configuration(exposure: Exposure, input: Input<'_>) -> String {
    format!("{}/{}", exposure.as_str(), input.id)
}

/// The name, and the key, of the scope of a hostname.
pub(crate) fn scope(exposure: Exposure, hostname: &str) -> String {
    format!("{}/{hostname}", exposure.as_str())
}

/// The hostnames that answer in an exposure: in public none that is withheld.
pub(crate) fn hostnames<'a>(
    exposure: Exposure,
    input: Input<'a>,
) -> impl Iterator<Item = &'a Hostname> {
    let is_withheld = move |name: &Hostname| {
        exposure == Exposure::Public && input.withheld.binary_search(name).is_ok()
    };
    input.spec.hostnames.iter().filter(move |name| !is_withheld(name))
}

#[derive(Serialize)]
struct ListenerView {
    name: &'static str,
    address: String,
    port: u16,
    trusted_hops: u32,
}

impl ListenerView {
    fn new(platform: &Platform, exposure: Exposure) -> Self {
        let (address, trusted_hops) = match exposure {
            Exposure::Internal => (platform.internal, 0),
            Exposure::Public => (platform.public, platform.trusted_hops),
        };
        Self {
            name: exposure.as_str(),
            address: address.ip().to_string(),
            port: address.port(),
            trusted_hops,
        }
    }
}

#[derive(Serialize)]
struct InstanceView {
    id: String,
    service: String,
    plan: &'static str,
    hostnames: Vec<String>,
    exposures: Vec<ExposureView>,
    routes: Vec<RouteView>,
    upstreams: Vec<UpstreamView>,
    /// The cluster of the top-level upstream.
    default_cluster: Option<String>,
    request_headers: HeadersView,
    response_headers: HeadersView,
    /// The bindings whose callers are let in.
    callers: Vec<String>,
    /// What the virtual hosts say to the filter that lets callers in.
    caller_filter: Option<Value>,
    /// What a route says to it that takes what no other takes.
    default_caller_filter: Option<Value>,
}

#[derive(Serialize)]
struct ExposureView {
    name: &'static str,
    route_configuration: String,
    scopes: Vec<ScopeView>,
    /// Where clients reach it, when that is not 80 or 443.
    port: Option<u16>,
}

#[derive(Serialize)]
struct ScopeView {
    name: String,
    hostname: String,
}

impl InstanceView {
    fn new(platform: &Platform, input: Input<'_>) -> Self {
        let Spec { plan, parameters, hostnames } = input.spec;
        let upstreams = upstream::all(input);
        let is_guarded = callers::are_needed(parameters);
        let opened = |auth| (is_guarded && auth == Auth::None).then(callers::open);
        let route = |route: &Route| RouteView::new(route, input.id, opened(route.auth));
        Self {
            id: input.id.to_string(),
            service: parameters.service.to_string(),
            plan: plan.as_str(),
            hostnames: hostnames.iter().map(ToString::to_string).collect(),
            exposures: plan
                .exposures()
                .iter()
                .map(|&exposure| ExposureView::new(platform, exposure, input))
                .collect(),
            routes: parameters.routes.iter().map(route).collect(),
            default_cluster: parameters
                .upstream
                .as_ref()
                .map(|_| upstream::default_cluster(input.id)),
            upstreams,
            request_headers: HeadersView::new(&parameters.request_headers),
            response_headers: HeadersView::new(&parameters.response_headers),
            callers: input.callers.iter().map(|caller| caller.binding.to_string()).collect(),
            caller_filter: is_guarded.then(|| callers::bound(input)),
            default_caller_filter: opened(parameters.auth),
        }
    }
}

impl ExposureView {
    fn new(platform: &Platform, exposure: Exposure, input: Input<'_>) -> Self {
        let port = ListenerView::new(platform, exposure).port;
        let scope_of = |hostname: &Hostname| ScopeView {
            name: scope(exposure, hostname.as_str()),
            hostname: hostname.to_string(),
        };
        Self {
            name: exposure.as_str(),
            route_configuration: route_configuration(exposure, input),
            scopes: hostnames(exposure, input).map(scope_of).collect(),
            port: platform.direct.then_some(port),
        }
    }
}

/// A name and a text of the tenant.
#[derive(Serialize)]
struct Pair {
    name: String,
    value: String,
}

#[derive(Serialize)]
struct HeadersView {
    set: Vec<Pair>,
    add: Vec<Pair>,
    remove: Vec<String>,
}

impl HeadersView {
    fn new(rules: &HeaderRules) -> Self {
        Self {
            set: pairs(&rules.set),
            add: pairs(&rules.add),
            remove: rules.remove.iter().map(|name| text(name)).collect(),
        }
    }
}

fn pairs(map: &BTreeMap<String, String>) -> Vec<Pair> {
    map.iter().map(|(name, value)| Pair { name: text(name), value: text(value) }).collect()
}

/// A tenant's text, marked.
fn text(text: &str) -> String {
    mark(text).into_owned()
}

/// A duration as protobuf's JSON writes it: `1.500s`.
pub(crate) fn duration(duration: std::time::Duration) -> String {
    match duration.subsec_nanos() {
        0 => format!("{}s", duration.as_secs()),
        nanos => format!("{}.{nanos:09}s", duration.as_secs()),
    }
}
