//! The laws of each type of an instance's resources.

use prost_reflect::{DynamicMessage, ReflectMessage as _};

use super::Own;
use crate::fault::Fault;
use crate::message::{child, children, text, texts};

/// Judges a resource by the laws of its type.
pub(super) fn check(own: &Own<'_>, name: &str, message: &DynamicMessage) -> Vec<Fault> {
    match message.descriptor().name() {
        "ScopedRouteConfiguration" => scope(own, name, message),
        "RouteConfiguration" => routes(own, name, message),
        "Cluster" => cluster(own, name, message),
        _ => own_name(own, "cluster_name", name),
    }
}

fn own_name(own: &Own<'_>, field: &str, name: &str) -> Vec<Fault> {
    if own.is_own(name) {
        return Vec::new();
    }
    let message =
        format!("the name `{name}` is not the instance's; it begins with `{}`", own.prefix);
    vec![Fault::at(field, message)]
}

fn cluster(own: &Own<'_>, name: &str, message: &DynamicMessage) -> Vec<Fault> {
    let mut faults = own_name(own, "name", name);
    let kind = message.get_field_by_name("type").and_then(|kind| kind.as_enum_number());
    if kind != Some(EDS) {
        faults.push(Fault::at(
            "type",
            "must be EDS: endpoints are resolved and allowed by the platform",
        ));
    }
    let eds = child(message, "eds_cluster_config");
    let source = eds.as_ref().and_then(|eds| child(eds, "eds_config"));
    if source.is_none_or(|source| !source.has_field_by_name("ads")) {
        faults.push(Fault::at("eds_cluster_config.eds_config", "must be ads"));
    }
    let service = eds.map(|eds| text(&eds, "service_name")).unwrap_or_default();
    if !service.is_empty() && service != name {
        let message = "must be absent: a load assignment has the name of its cluster";
        faults.push(Fault::at("eds_cluster_config.service_name", message));
    }
    faults
}

/// `Cluster.DiscoveryType.EDS`.
const EDS: i32 = 3;

fn scope(own: &Own<'_>, name: &str, message: &DynamicMessage) -> Vec<Fault> {
    let Some(routes) = own.scopes.get(name) else {
        let known: Vec<_> = own.scopes.keys().map(String::as_str).collect();
        let message =
            format!("`{name}` is not a scope of the instance; it has {}", known.join(", "));
        return vec![Fault::at("name", message)];
    };
    let mut faults = Vec::new();
    if text(message, "route_configuration_name") != *routes {
        let message = format!("the scope `{name}` leads to `{routes}`");
        faults.push(Fault::at("route_configuration_name", message));
    }
    let key = child(message, "key").map(|key| children(&key, "fragments")).unwrap_or_default();
    let key: Vec<_> = key.iter().map(|fragment| text(fragment, "string_key")).collect();
    if key != [name] {
        faults.push(Fault::at("key", "the key of a scope is its name"));
    }
    faults
}

fn routes(own: &Own<'_>, name: &str, message: &DynamicMessage) -> Vec<Fault> {
    if !own.route_configurations.contains(name) {
        let known: Vec<_> = own.route_configurations.iter().map(String::as_str).collect();
        let message = format!(
            "`{name}` is not a route configuration of the instance; it has {}",
            known.join(", ")
        );
        return vec![Fault::at("name", message)];
    }
    let hosts = children(message, "virtual_hosts");
    hosts.iter().enumerate().flat_map(|(at, host)| virtual_host(own, at, host)).collect()
}

fn virtual_host(own: &Own<'_>, at: usize, host: &DynamicMessage) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (n, domain) in texts(host, "domains").iter().enumerate() {
        if !own.hostnames.contains(domain.as_str()) {
            let message = format!("`{domain}` is not a hostname of the instance");
            faults.push(Fault::at(format!("virtual_hosts[{at}].domains[{n}]"), message));
        }
    }
    let routes = children(host, "routes");
    for (n, route) in routes.iter().enumerate() {
        let name = text(route, "name");
        if !own.is_own(&name) {
            let message =
                format!("a route's name begins with `{}`, and `{name}` does not", own.prefix);
            faults.push(Fault::at(format!("virtual_hosts[{at}].routes[{n}].name"), message));
        }
    }
    if !host.has_field_by_name("matcher") && !routes.last().is_some_and(takes_everything) {
        let message = "the last route must match everything: what no route takes would be \
                       offered to the wildcard above the hostname, which may be another's";
        faults.push(Fault::at(format!("virtual_hosts[{at}].routes"), message));
    }
    faults
}

/// Whether a route matches by `prefix: "/"` and nothing more.
fn takes_everything(route: &DynamicMessage) -> bool {
    let Some(matches) = child(route, "match") else { return false };
    text(&matches, "prefix") == "/" && matches.fields().count() == 1
}
