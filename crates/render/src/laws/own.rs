//! What is an instance's own: the names that the renderer makes for it, and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use super::callers::Guard;
use crate::{Input, Platform, view};

/// What an instance may be called, may answer to and may refer to.
#[derive(Debug)]
pub(crate) struct Own<'a> {
    /// Names of clusters, of load assignments and of routes begin with it.
    pub(crate) prefix: String,
    /// The route configuration of each exposure of its plan.
    pub(super) route_configurations: BTreeSet<String>,
    /// Scope to route configuration.
    pub(super) scopes: BTreeMap<String, String>,
    pub(super) hostnames: BTreeSet<&'a str>,
    pub(super) trusted_ca: &'a str,
    /// Where a route requires a binding.
    pub(super) guard: Option<Guard>,
    addresses: BTreeSet<SocketAddr>,
    platform: &'a Platform,
}

impl<'a> Own<'a> {
    pub(crate) fn new(platform: &'a Platform, input: Input<'a>) -> Self {
        let hostnames: BTreeSet<_> =
            input.spec.hostnames.iter().map(|name| name.as_str()).collect();
        let mut scopes = BTreeMap::new();
        let mut route_configurations = BTreeSet::new();
        for &exposure in input.spec.plan.exposures() {
            let routes = view::route_configuration(exposure, input);
            let names = view::hostnames(exposure, input);
            let names = names.map(|name| view::scope(exposure, name.as_str()));
            scopes.extend(names.map(|name| (name, routes.clone())));
            route_configurations.insert(routes);
        }
        Self {
            prefix: format!("{}/", input.id),
            route_configurations,
            scopes,
            hostnames,
            trusted_ca: &platform.trusted_ca,
            guard: Guard::new(input),
            addresses: input.endpoints.values().flatten().copied().collect(),
            platform,
        }
    }

    /// Whether it begins with the instance's prefix and goes on.
    pub(crate) fn is_own(&self, name: &str) -> bool {
        name.strip_prefix(&self.prefix).is_some_and(|rest| !rest.is_empty())
    }

    pub(super) fn is_shared(&self, cluster: &str) -> bool {
        self.platform.shared_clusters.iter().any(|shared| shared == cluster)
    }

    pub(super) fn shares_extension(&self, message: &str) -> bool {
        self.platform.shared_extensions.iter().any(|shared| shared == message)
    }

    pub(super) fn is_resolved(&self, host: &str, port: u32) -> bool {
        let ip = host.parse::<IpAddr>().ok();
        let port = u16::try_from(port).ok();
        ip.zip(port).is_some_and(|at| self.addresses.contains(&at.into()))
    }
}
