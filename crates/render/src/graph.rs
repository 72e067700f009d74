//! The resources of one instance, or of one group, seen together: nothing twice, nothing dangling.

use std::collections::{BTreeMap, BTreeSet};

use prost_reflect::DynamicMessage;

use crate::fault::Fault;
use crate::laws::Reference;
use crate::message::{child, children, text, texts};
use crate::pipeline::Rendered;
use crate::walk;

const ROUTES: &str = "route_configuration_name";

/// Names that appear twice in their type; a fault goes with the index of its resource.
pub(crate) fn twice(rendered: &[Rendered<'_>]) -> Vec<(usize, Fault)> {
    let mut seen = BTreeSet::new();
    let mut faults = Vec::new();
    for (at, resource) in rendered.iter().enumerate() {
        if resource.name.is_empty() {
            faults.push((at, Fault::new("a resource needs a name")));
        } else if !seen.insert((resource.kind(), resource.name.as_str())) {
            let message = format!("there are two of the name `{}`", resource.name);
            faults.push((at, Fault::new(message)));
        }
    }
    faults
}

/// Domains that appear twice in a route configuration.
pub(crate) fn domains_twice(rendered: &[Rendered<'_>]) -> Vec<(usize, Fault)> {
    let mut faults = Vec::new();
    for (at, resource) in of(rendered, "RouteConfiguration") {
        let mut seen = BTreeSet::new();
        for (n, host) in children(&resource.message, "virtual_hosts").iter().enumerate() {
            for (m, domain) in texts(host, "domains").into_iter().enumerate() {
                if !seen.insert(domain.clone()) {
                    let message = format!("the domain `{domain}` appears twice");
                    let field = format!("virtual_hosts[{n}].domains[{m}]");
                    faults.push((at, Fault::at(field, message)));
                }
            }
        }
    }
    faults
}

/// Names that nothing has: of clusters, of route configurations, of load assignments. A proxy would
/// wait for them, or answer 503.
pub(crate) fn dangling(
    rendered: &[Rendered<'_>],
    references: &[Vec<Reference>],
) -> Vec<(usize, Fault)> {
    let names = |kind| -> BTreeSet<&str> {
        of(rendered, kind).map(|(_, resource)| resource.name.as_str()).collect()
    };
    let (clusters, assignments) = (names("Cluster"), names("ClusterLoadAssignment"));
    let routes = names("RouteConfiguration");
    let mut faults = Vec::new();
    for (at, references) in references.iter().enumerate() {
        for reference in references.iter().filter(|to| !clusters.contains(to.cluster.as_str())) {
            let message = format!("there is no cluster `{}`", reference.cluster);
            faults.push((at, Fault::at(&reference.field, message)));
        }
    }
    for (at, scope) in of(rendered, "ScopedRouteConfiguration") {
        let to = text(&scope.message, ROUTES);
        if !routes.contains(to.as_str()) {
            faults.push((at, Fault::at(ROUTES, format!("there is no route configuration `{to}`"))));
        }
    }
    for (at, cluster) in of(rendered, "Cluster") {
        if !assignments.contains(cluster.name.as_str()) {
            faults.push((
                at,
                Fault::new(
                    "it has no ClusterLoadAssignment of its name: a proxy would wait for it",
                ),
            ));
        }
    }
    for (at, assignment) in of(rendered, "ClusterLoadAssignment") {
        if !clusters.contains(assignment.name.as_str()) {
            faults.push((at, Fault::at("cluster_name", "there is no cluster of this name")));
        }
    }
    faults
}

/// Parts of listeners that are to come by ADS, and do not, or are not what their place takes. A
/// listener would wait for them, and then answer with errors.
pub(crate) fn undiscovered(rendered: &[Rendered<'_>]) -> Vec<(usize, Fault)> {
    let extensions: BTreeMap<&str, String> = of(rendered, "TypedExtensionConfig")
        .map(|(_, resource)| (resource.name.as_str(), type_of(&resource.message)))
        .collect();
    let mut faults = Vec::new();
    for (at, resource) in rendered.iter().enumerate() {
        walk::messages(&resource.message, &mut |path, message| {
            let why = awaited(message).and_then(|(name, types)| match extensions.get(&*name) {
                None => Some(format!("there is no TypedExtensionConfig `{name}`")),
                Some(kind) if !types.contains(kind) => Some(format!(
                    "the TypedExtensionConfig `{name}` is none of `type_urls`: {kind}"
                )),
                Some(_) => None,
            });
            faults.extend(why.map(|why| (at, Fault::at(path.to("config_discovery"), why))));
        });
    }
    faults
}

/// The name and the types of what is to come by ADS, where nothing stands in for it.
fn awaited(message: &DynamicMessage) -> Option<(String, Vec<String>)> {
    let source = child(message, "config_discovery")?;
    let is_ours = child(&source, "config_source")?.has_field_by_name("ads");
    let is_awaited = is_ours && !source.has_field_by_name("default_config");
    is_awaited.then(|| (text(message, "name"), texts(&source, "type_urls")))
}

fn type_of(extension: &DynamicMessage) -> String {
    child(extension, "typed_config").map(|any| text(&any, "type_url")).unwrap_or_default()
}

fn of<'r>(
    rendered: &'r [Rendered<'_>],
    kind: &'r str,
) -> impl Iterator<Item = (usize, &'r Rendered<'r>)> {
    rendered.iter().enumerate().filter(move |(_, resource)| resource.kind() == kind)
}
