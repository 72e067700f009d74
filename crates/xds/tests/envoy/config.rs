//! Envoy resources, written as JSON and encoded by Envoy's own descriptors.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use model::type_urls::{CLUSTER, ENDPOINT, LISTENER, ROUTE, SCOPED_ROUTE};
use model::{Resource, TypeUrl, Version};
use prost_reflect::prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage};
use serde_json::{Value, json};

static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../descriptors/envoy-1.40.binpb");
    let bytes = std::fs::read(path).expect("descriptors/envoy-1.40.binpb");
    DescriptorPool::decode(bytes.as_slice()).expect("a descriptor set")
});

/// A resource of `type_url`.
pub(crate) fn resource(type_url: &str, name: &str, json: Value) -> Resource {
    let type_url = TypeUrl::new(type_url);
    let descriptor = POOL.get_message_by_name(type_url.message()).expect("a known type");
    let message = DynamicMessage::deserialize(descriptor, json).expect("a valid resource");
    let body = message.encode_to_vec();
    let version = Version { epoch: 1, revision: 1, hash: Version::hash_of(&body) };
    Resource { type_url, name: name.into(), version, body: body.into() }
}

pub(crate) fn address(at: SocketAddr) -> Value {
    json!({"socket_address": {"address": at.ip().to_string(), "port_value": at.port()}})
}

/// How an Envoy asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// On one stream, of this `api_type`.
    Aggregated(&'static str),
    /// On a stream for each subscription.
    Single(&'static str),
    /// It polls.
    Polling,
    /// On one stream of delta, a cluster when a request names it: beside all of them, which it has asked for, too, or
    /// alone.
    OnDemand { beside_all: bool },
}

impl Way {
    /// Where an Envoy that asks in this way is told to ask.
    pub(crate) fn source(self) -> Value {
        let source = match self {
            Self::Aggregated(_) | Self::OnDemand { .. } => {
                return json!({"ads": {}, "resource_api_version": "V3"});
            }
            Self::Single(api) => json!({
                "api_type": api, "transport_api_version": "V3",
                "grpc_services": [{"envoy_grpc": {"cluster_name": "xds"}}],
            }),
            Self::Polling => json!({
                "api_type": "REST", "transport_api_version": "V3",
                "cluster_names": ["xds"], "refresh_delay": "0.1s", "request_timeout": "5s",
            }),
        };
        json!({"api_config_source": source, "resource_api_version": "V3"})
    }
}

fn filters(way: Way) -> Value {
    let filter = |name: &str, message: &str, config: Value| {
        let mut typed = json!({"@type": format!("type.googleapis.com/envoy.extensions.filters.http.{message}")});
        config
            .as_object()
            .into_iter()
            .flatten()
            .for_each(|(key, value)| typed[key] = value.clone());
        json!({"name": name, "typed_config": typed})
    };
    let router = filter("router", "router.v3.Router", json!({}));
    if !matches!(way, Way::OnDemand { .. }) {
        return json!([router]);
    }
    // Longer than any test waits: an answer comes because it was given, or not at all.
    let odcds = json!({"odcds": {"source": way.source(), "timeout": "600s"}});
    json!([filter("on_demand", "on_demand.v3.OnDemand", odcds), router])
}

/// The listener that keys its scopes by exposure and host.
pub(crate) fn listener(at: SocketAddr, way: Way) -> Resource {
    let mutation = json!({
        "@type": "type.googleapis.com/envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation",
        "mutations": [{"append": {
            "header": {"key": "x-scope", "value": "public/%REQ(:AUTHORITY)%"},
            "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
        }}],
    });
    let manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "public",
        "scoped_routes": {
            "name": "public",
            "scope_key_builder": {"fragments": [{"header_value_extractor": {
                "name": "x-scope", "element_separator": ",", "index": 0,
            }}]},
            "rds_config_source": way.source(),
            "scoped_rds": {"scoped_rds_config_source": way.source()},
        },
        "early_header_mutation_extensions": [{"name": "scope", "typed_config": mutation}],
        "http_filters": filters(way),
    });
    let filter = json!({"name": "http", "typed_config": manager});
    let json = json!({
        "name": "public", "address": address(at), "filter_chains": [{"filters": [filter]}],
    });
    resource(LISTENER, "public", json)
}

/// Names the cluster of a request, where that is known by it alone.
pub(crate) const CLUSTER_HEADER: &str = "x-to";

/// One owner's wish.
#[derive(Clone)]
pub(crate) struct Tenant {
    pub(crate) name: String,
    pub(crate) hosts: Vec<String>,
    pub(crate) upstream: SocketAddr,
    /// The cluster's name, after the tenant's.
    pub(crate) cluster: &'static str,
    /// Seen in the header `x-says`.
    pub(crate) says: String,
    /// What a change of the cluster changes.
    pub(crate) connect_timeout: &'static str,
    /// Further fields of the cluster.
    pub(crate) checks: Value,
    /// A regex that all requests must match.
    pub(crate) regex: &'static str,
}

impl Tenant {
    pub(crate) fn new(name: &str, upstream: SocketAddr) -> Self {
        Self {
            name: name.to_owned(),
            hosts: vec![format!("{name}.test")],
            upstream,
            cluster: "main",
            says: "1".to_owned(),
            connect_timeout: "1s",
            checks: json!([]),
            regex: "/.*",
        }
    }

    pub(crate) fn resources(&self, way: Way) -> Vec<Resource> {
        let cluster = format!("{}/{}", self.name, self.cluster);
        let route = format!("public/{}", self.name);
        let to = match way {
            Way::OnDemand { .. } => json!({"cluster_header": CLUSTER_HEADER}),
            _ => json!({"cluster": cluster}),
        };
        let mut all = vec![
            resource(
                CLUSTER,
                &cluster,
                json!({
                    "name": cluster, "type": "EDS", "connect_timeout": self.connect_timeout,
                    "eds_cluster_config": {"eds_config": way.source()}, "health_checks": self.checks,
                }),
            ),
            resource(
                ENDPOINT,
                &cluster,
                json!({
                    "cluster_name": cluster,
                    "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(self.upstream)}}]}],
                }),
            ),
            resource(
                ROUTE,
                &route,
                json!({
                    "name": route,
                    "virtual_hosts": [{"name": "all", "domains": self.hosts, "routes": [{
                        "name": "all", "match": {"safe_regex": {"regex": self.regex}},
                        "route": to,
                        "response_headers_to_add": [{"header": {"key": "x-says", "value": self.says}}],
                    }]}],
                }),
            ),
        ];
        all.extend(self.hosts.iter().map(|host| {
            let name = format!("public/{host}");
            resource(
                SCOPED_ROUTE,
                &name,
                json!({
                    "name": name, "route_configuration_name": route,
                    "key": {"fragments": [{"string_key": name}]},
                }),
            )
        }));
        all
    }
}

/// Writes resources as JSON, by Envoy's own descriptors.
pub(crate) struct Json;

impl xds::Json for Json {
    fn any(&self, type_url: &TypeUrl, body: &[u8]) -> Result<String, String> {
        let descriptor = POOL.get_message_by_name(type_url.message()).ok_or("an unknown type")?;
        let message = DynamicMessage::decode(descriptor, body).map_err(|e| e.to_string())?;
        let mut json = serde_json::to_value(&message).map_err(|e| e.to_string())?;
        json["@type"] = type_url.as_str().into();
        Ok(json.to_string())
    }
}

/// The names of what is in `old` and not in `new`.
pub(crate) fn gone(old: &[Resource], new: &[Resource]) -> Vec<(TypeUrl, Arc<str>)> {
    let key = |resource: &Resource| (resource.type_url.clone(), resource.name.clone());
    let kept: Vec<_> = new.iter().map(key).collect();
    old.iter().map(key).filter(|key| !kept.contains(key)).collect()
}
