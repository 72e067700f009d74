//! A resource as it would be sent, held up for Envoy's verdict; and how its culprit is found: by
//! halving it until what is refused is small enough to be named.

use std::sync::Arc;

use bytes::Bytes;
use model::{Resource, TypeUrl};
use prost_reflect::{DynamicMessage, Value};

use crate::message::{children, text};
use crate::schema::schema;
use crate::{Draft, culprit, wire};

/// A resource as it would be sent. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Specimen {
    /// Its type.
    pub type_url: TypeUrl,
    /// Its name.
    pub name: Arc<str>,
    /// The file name of its template, where known.
    pub template: Arc<str>,
    /// Its protobuf encoding.
    pub body: Bytes,
}

impl From<&Draft> for Specimen {
    fn from(draft: &Draft) -> Self {
        let Draft { type_url, name, template, body, .. } = draft;
        Self {
            type_url: type_url.clone(),
            name: name.clone(),
            template: template.clone(),
            body: body.clone(),
        }
    }
}

impl From<&Resource> for Specimen {
    fn from(resource: &Resource) -> Self {
        let Resource { type_url, name, body, .. } = resource.clone();
        Self { type_url, name, template: "".into(), body }
    }
}

const HOSTS: &str = "virtual_hosts";
const ROUTES: &str = "routes";

impl Specimen {
    /// Its message; `None` when Envoy's descriptors do not have it.
    pub(crate) fn message(&self) -> Option<DynamicMessage> {
        let kind = schema().any(self.type_url.as_str())?;
        DynamicMessage::decode(kind, self.body.clone()).ok()
    }

    /// How many routes it has; 0 for what has none.
    pub fn routes(&self) -> usize {
        self.message().map_or(0, |message| routes_of(&message).len())
    }

    /// The same with only those routes whose place, counted over all virtual hosts, is in the range.
    #[must_use]
    pub fn with_routes(&self, range: std::ops::Range<usize>) -> Self {
        let Some(mut message) = self.message() else { return self.clone() };
        let mut at = 0;
        for host in list_mut(&mut message, HOSTS).into_iter().flatten() {
            let routes = host.as_message_mut().and_then(|host| list_mut(host, ROUTES));
            let Some(routes) = routes else { continue };
            routes.retain(|_| {
                at += 1;
                range.contains(&(at - 1))
            });
        }
        Self { body: wire::encode(&message).into(), ..self.clone() }
    }

    /// Of which of the tenant's upstreams or hostnames it is, or of which route if it has only one.
    pub fn culprit(&self) -> Option<String> {
        let kind = self.type_url.message().rsplit('.').next().unwrap_or_default();
        let routes = self.message().map(|message| routes_of(&message)).unwrap_or_default();
        match (kind, &routes[..]) {
            ("RouteConfiguration", [route]) => culprit::route(route),
            ("RouteConfiguration", _) => None,
            _ => culprit::of(kind, &self.name, &serde_json::Value::Null, ""),
        }
    }
}

/// The names of all routes.
fn routes_of(message: &DynamicMessage) -> Vec<String> {
    let hosts = children(message, HOSTS).into_iter();
    hosts.flat_map(|host| children(&host, ROUTES)).map(|route| text(&route, "name")).collect()
}

/// A list to be changed.
fn list_mut<'m>(message: &'m mut DynamicMessage, field: &str) -> Option<&'m mut Vec<Value>> {
    message.get_field_by_name_mut(field)?.as_list_mut()
}
