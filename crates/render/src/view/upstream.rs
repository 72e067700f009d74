//! An upstream as templates see it.

use std::collections::BTreeSet;
use std::net::IpAddr;

use model::InstanceId;
use model::descriptor::{DEFAULT_UPSTREAM, HealthCheck, Upstream};
use serde::Serialize;

use super::{duration, text};
use crate::Input;

#[derive(Serialize)]
pub(super) struct UpstreamView {
    name: String,
    /// The name of its cluster and of its load assignment.
    cluster: String,
    tls: bool,
    /// The name that is asked for in TLS; none when every address is a number.
    sni: Option<String>,
    /// DNS names that its certificate may be for.
    dns_names: BTreeSet<String>,
    /// IP addresses that its certificate may be for.
    ip_addresses: BTreeSet<String>,
    /// What a health check calls it.
    host: String,
    health_check: Option<HealthCheckView>,
    endpoints: Vec<EndpointView>,
}

#[derive(Serialize)]
struct HealthCheckView {
    path: String,
    interval: String,
    timeout: String,
}

#[derive(Serialize)]
struct EndpointView {
    address: String,
    port: u16,
}

/// The name of the cluster of an upstream.
pub(super) fn cluster(id: &InstanceId, upstream: &str) -> String {
    format!("{id}/{}", text(upstream))
}

/// The name of the cluster of the top-level upstream.
pub(super) fn default_cluster(id: &InstanceId) -> String {
    cluster(id, DEFAULT_UPSTREAM)
}

/// The top-level upstream, then the named ones.
pub(super) fn all(input: Input<'_>) -> Vec<UpstreamView> {
    let parameters = &input.spec.parameters;
    let top = parameters.upstream.iter().map(|upstream| (DEFAULT_UPSTREAM, upstream));
    let named = parameters.upstreams.iter().map(|(name, upstream)| (name.as_str(), upstream));
    top.chain(named).map(|(name, upstream)| UpstreamView::new(name, upstream, input)).collect()
}

impl UpstreamView {
    fn new(name: &str, upstream: &Upstream, input: Input<'_>) -> Self {
        let is_ip = |host: &&str| host.parse::<IpAddr>().is_ok();
        let hosts = || upstream.addresses.iter().map(|address| address.host.as_str());
        let dns = || hosts().filter(|host| !is_ip(host)).map(text);
        let endpoints = input.endpoints.get(name).into_iter().flatten();
        Self {
            name: text(name),
            cluster: cluster(input.id, name),
            tls: upstream.tls,
            sni: dns().next(),
            dns_names: dns().collect(),
            ip_addresses: hosts().filter(is_ip).map(text).collect(),
            host: hosts().next().map(text).unwrap_or_default(),
            health_check: upstream.health_check.as_ref().map(HealthCheckView::new),
            endpoints: endpoints
                .map(|at| EndpointView { address: at.ip().to_string(), port: at.port() })
                .collect(),
        }
    }
}

impl HealthCheckView {
    fn new(check: &HealthCheck) -> Self {
        Self {
            path: text(&check.path),
            interval: duration(check.interval),
            timeout: duration(check.timeout),
        }
    }
}
