//! What an instance's resources may be, held after rendering whatever a template says: their names,
//! what they refer to, and where they are exposed.

mod callers;
mod own;
mod shape;

use prost_reflect::{DynamicMessage, ReflectMessage as _, Value};

use crate::Platform;
use crate::fault::Fault;
use crate::message::text;
use crate::schema::{Law, schema};
use crate::walk::{self, Path};
pub(crate) use callers::without as without_callers;
pub(crate) use own::Own;

/// A reference from a resource to a cluster.
#[derive(Debug)]
pub(crate) struct Reference {
    pub(crate) field: String,
    pub(crate) cluster: String,
}

/// Judges one resource of an instance. What it refers to is for the graph to look at.
pub(crate) fn check(
    own: &Own<'_>,
    name: &str,
    message: &DynamicMessage,
    references: &mut Vec<Reference>,
) -> Vec<Fault> {
    let mut faults = shape::check(own, name, message);
    let rest = callers::judge(own, message, &mut faults);
    walk::messages(rest.as_ref().unwrap_or(message), &mut |path, message| {
        let mut judge = Judge { own, path, faults: &mut faults, references };
        judge.message(message);
    });
    faults
}

/// Judges a resource of a group: its name must be none that an instance could have, and a listener
/// keeps what instances rely on.
pub(crate) fn group(platform: &Platform, name: &str, message: &DynamicMessage) -> Vec<Fault> {
    let fault = |message: String| vec![Fault::new(message)];
    match message.descriptor().name() {
        "Listener" | "TypedExtensionConfig" => callers::listener(message),
        "Cluster" | "ClusterLoadAssignment"
            if !platform.shared_clusters.iter().any(|shared| shared == name) =>
        {
            fault(format!("`{name}` is not among the platform's shared_clusters"))
        }
        "ScopedRouteConfiguration" | "RouteConfiguration" if name.contains('/') => {
            fault(format!("`{name}`: names with a slash are instances'"))
        }
        _ => Vec::new(),
    }
}

struct Judge<'a> {
    own: &'a Own<'a>,
    path: &'a Path,
    faults: &'a mut Vec<Fault>,
    references: &'a mut Vec<Reference>,
}

impl Judge<'_> {
    fn message(&mut self, message: &DynamicMessage) {
        match message.descriptor().full_name() {
            "google.protobuf.Any" => return self.extension(message),
            "envoy.config.core.v3.SocketAddress" => self.address(message),
            _ => {}
        }
        for (field, value) in message.fields() {
            if let Some(law) = schema().law(&field) {
                self.field(law, field.name(), value);
            }
        }
    }

    fn field(&mut self, law: Law, field: &str, value: &Value) {
        match (law, value) {
            (Law::Refused(reason), _) => {
                self.fault(field, format!("is not for an instance's resource: {reason}"));
            }
            (Law::File, Value::String(file)) if file != self.own.trusted_ca => {
                let message =
                    format!("names the file `{file}`; files of a proxy are the platform's");
                self.fault(field, message);
            }
            (Law::Cluster, Value::String(cluster)) if self.own.is_own(cluster) => {
                let field = self.path.to(field);
                self.references.push(Reference { field, cluster: cluster.clone() });
            }
            (Law::Cluster, Value::String(cluster)) if !self.own.is_shared(cluster) => {
                self.fault(field, format!(
                    "names the cluster `{cluster}`, which is neither the instance's own (`{}…`) nor shared by the platform",
                    self.own.prefix
                ));
            }
            _ => {}
        }
    }

    fn extension(&mut self, any: &DynamicMessage) {
        let type_url = text(any, "type_url");
        let name = type_url.rsplit('/').next().unwrap_or_default();
        if !schema().is_harmless(name) && !self.own.shares_extension(name) {
            self.faults.push(Fault::at(self.path, format!(
                "`{name}` is not for an instance's resource; the platform may declare it in `shared_extensions`"
            )));
        }
    }

    fn address(&mut self, address: &DynamicMessage) {
        let host = text(address, "address");
        let port = address.get_field_by_name("port_value");
        let port = port.and_then(|port| port.as_u32()).unwrap_or_default();
        if !self.own.is_resolved(&host, port) {
            self.faults.push(Fault::at(
                self.path,
                format!(
                    "{host}:{port} is not an address that the instance's upstreams were resolved to"
                ),
            ));
        }
    }

    fn fault(&mut self, field: &str, message: String) {
        self.faults.push(Fault::at(self.path.to(field), message));
    }
}
