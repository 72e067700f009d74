//! What `envoy --mode validate` is given: a bootstrap with resources as nearly in it as they would
//! come over xDS.

use std::sync::OnceLock;

use model::type_urls;
use prost_reflect::{DynamicMessage, ReflectMessage as _, Value};
use serde_json::{Value as Json, json};

use crate::header::TYPE_PREFIX;
use crate::message;
use crate::schema::schema;
use crate::{Specimen, wire};

/// Stands for the certificates that a proxy trusts: the file is the proxy's, and not here. Nobody
/// has its key.
const SOME_CA: &str = "-----BEGIN CERTIFICATE-----
MIIBejCCAR+gAwIBAgIUR3XKjHnZd72l2lN6RkVoZ/d7YJkwCgYIKoZIzj0EAwIw
ETEPMA0GA1UEAwwGbm9ib2R5MCAXDTI2MTEyMTEzNTUwM1oYDzIxMjYxMDI4MTM1
NTAzWjARMQ8wDQYDVQQDDAZub2JvZHkwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNC
AATy6XR3kBxbQHUuE3RYedT7ycUxSaI6XJ5XH5zVUbXtBhBVH7CaVSyeIz3jZsJ4
4SRVYVFvfKEGEIXxNT4DCkveo1MwUTAdBgNVHQ4EFgQU8qocI/0SSk09jr3dBHtk
cTIFzOYwHwYDVR0jBBgwFoAU8qocI/0SSk09jr3dBHtkcTIFzOYwDwYDVR0TAQH/
BAUwAwEB/zAKBggqhkjOPQQDAgNJADBGAiEAs9mZDlXM4u8HzU/v3UZsjZ5VGVCZ
OUrkz+G2BukfKpwCIQD/i4JE2uL5GKJJr1NVR/wVRfC6To71DXxyXJJbID3YNw==
-----END CERTIFICATE-----
";

const BOOTSTRAP: &str = "envoy.config.bootstrap.v3.Bootstrap";
const CLUSTER: &str = "envoy.config.cluster.v3.Cluster";
const SCOPE: &str = "envoy.config.route.v3.ScopedRouteConfiguration";
const MANAGER: &str =
    "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
const FILTER: &str = "envoy.extensions.filters.network.http_connection_manager.v3.HttpFilter";
/// Where messages lie that configure filters for HTTP.
const FILTERS: &str = "envoy.extensions.filters.http.";
/// Those of them that end a chain.
const LAST: [&str; 2] = [
    "envoy.extensions.filters.http.router.v3.Router",
    "envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec",
];
/// The cluster of the control plane: no instance's id has a slash before its name.
const XDS: &str = "margrave/xds";

/// A bootstrap, as protobuf, in which Envoy judges resources of any instances: clusters and
/// listeners as they are, load assignments in clusters of their own, route configurations in the
/// scopes of one listener, extensions that are filters for HTTP in another. Where it needs files of a proxy it has something in their place. What
/// refers to what is not looked at, as over xDS.
pub fn bootstrap<'s>(specimens: impl IntoIterator<Item = &'s Specimen>) -> Vec<u8> {
    let mut parts = Parts::default();
    for specimen in specimens {
        if let Some(mut message) = specimen.message() {
            stand_in(&mut message);
            parts.add(specimen.type_url.as_str(), message);
        }
    }
    wire::encode(&parts.bootstrap())
}

#[derive(Default)]
struct Parts {
    clusters: Vec<Value>,
    listeners: Vec<Value>,
    secrets: Vec<Value>,
    scopes: Vec<Value>,
    filters: Vec<Value>,
}

impl Parts {
    fn add(&mut self, type_url: &str, mut message: DynamicMessage) {
        match type_url {
            type_urls::CLUSTER => self.clusters.push(Value::Message(message)),
            type_urls::LISTENER => self.listeners.push(Value::Message(message)),
            type_urls::SECRET => self.secrets.push(Value::Message(message)),
            type_urls::ENDPOINT => {
                let name = format!("margrave/endpoints/{}", self.clusters.len());
                let mut cluster = made(CLUSTER, &json!({"name": name, "type": "STATIC"}));
                cluster.set_field_by_name("load_assignment", Value::Message(message));
                self.clusters.push(Value::Message(cluster));
            }
            type_urls::ROUTE => {
                let no = made("google.protobuf.BoolValue", &json!(false));
                message.set_field_by_name("validate_clusters", Value::Message(no));
                let name = self.scopes.len().to_string();
                let key = json!({"fragments": [{"string_key": name}]});
                let mut scope = made(SCOPE, &json!({"name": name, "key": key}));
                scope.set_field_by_name("route_configuration", Value::Message(message));
                self.scopes.push(Value::Message(scope));
            }
            type_urls::EXTENSION => self.filters.extend(filter(&message)),
            // Scopes are what the laws say and nothing else; other types Envoy takes as they are.
            _ => {}
        }
    }

    fn bootstrap(mut self) -> DynamicMessage {
        static SKELETON: OnceLock<DynamicMessage> = OnceLock::new();
        let mut bootstrap = SKELETON.get_or_init(|| made(BOOTSTRAP, &skeleton())).clone();
        if !self.scopes.is_empty() {
            let manager = with_scopes(std::mem::take(&mut self.scopes));
            self.listeners.push(Value::Message(listener("margrave/routes", &manager)));
        }
        if !self.filters.is_empty() {
            let manager = with_filters(std::mem::take(&mut self.filters));
            self.listeners.push(Value::Message(listener("margrave/extensions", &manager)));
        }
        if let Some(Value::Message(resources)) = bootstrap.get_field_by_name_mut("static_resources")
        {
            let mut add = |field: &str, more: Vec<Value>| {
                let list = resources.get_field_by_name_mut(field).and_then(Value::as_list_mut);
                list.into_iter().for_each(|list| list.extend_from_slice(&more));
            };
            add("clusters", self.clusters);
            add("listeners", self.listeners);
            add("secrets", self.secrets);
        }
        bootstrap
    }
}

/// With the control plane that resources name as their source; it is never asked.
fn skeleton() -> Json {
    json!({
        "node": {"id": "validate", "cluster": "validate"},
        "dynamic_resources": {"ads_config": {
            "api_type": "DELTA_GRPC", "transport_api_version": "V3",
            "grpc_services": [{"envoy_grpc": {"cluster_name": XDS}}],
        }},
        "static_resources": {"clusters": [{
            "name": XDS, "type": "STATIC", "connect_timeout": "1s",
            "load_assignment": {"cluster_name": XDS},
            "typed_extension_protocol_options": {
                "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                    "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                    "explicit_http_config": {"http2_protocol_options": {}},
                },
            },
        }]},
    })
}

/// A connection manager whose scopes are these.
fn with_scopes(scopes: Vec<Value>) -> DynamicMessage {
    let mut manager = made(
        MANAGER,
        &json!({
            "stat_prefix": "validate",
            "scoped_routes": {
                "name": "validate",
                "scope_key_builder": {"fragments": [
                    {"header_value_extractor": {"name": "x", "element_separator": ",", "index": 0}},
                ]},
                "scoped_route_configurations_list": {},
            },
            "http_filters": [router()],
        }),
    );
    if let Some(Value::Message(routes)) = manager.get_field_by_name_mut("scoped_routes")
        && let Some(Value::Message(list)) =
            routes.get_field_by_name_mut("scoped_route_configurations_list")
    {
        list.set_field_by_name("scoped_route_configurations", Value::List(scopes));
    }
    manager
}

/// A connection manager whose filters are these, before the router.
fn with_filters(mut filters: Vec<Value>) -> DynamicMessage {
    let json = json!({"stat_prefix": "validate", "route_config": {}});
    let mut manager = made(MANAGER, &json);
    filters.push(Value::Message(made(FILTER, &router())));
    manager.set_field_by_name("http_filters", Value::List(filters));
    manager
}

fn router() -> Json {
    json!({"name": "router", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router",
    }})
}

/// An extension as the filter that it configures, if that is one for HTTP and not the last of its
/// chain: of any other only the place that names it could say whether it is good there.
fn filter(extension: &DynamicMessage) -> Option<Value> {
    let config = message::child(extension, "typed_config")?;
    let url = message::text(&config, "type_url");
    let kind = url.rsplit('/').next()?;
    if !kind.starts_with(FILTERS) || LAST.contains(&kind) {
        return None;
    }
    let mut filter = made(FILTER, &json!({"name": message::text(extension, "name")}));
    filter.set_field_by_name("typed_config", Value::Message(config));
    Some(Value::Message(filter))
}

/// A listener with this connection manager.
fn listener(name: &str, manager: &DynamicMessage) -> DynamicMessage {
    let mut filter = made(
        "envoy.config.listener.v3.Filter",
        &json!({"name": "manager", "typed_config": {"@type": format!("{TYPE_PREFIX}{MANAGER}")}}),
    );
    if let Some(Value::Message(any)) = filter.get_field_by_name_mut("typed_config") {
        any.set_field_by_name("value", Value::Bytes(wire::encode(manager).into()));
    }
    let mut chain = made("envoy.config.listener.v3.FilterChain", &json!({}));
    chain.set_field_by_name("filters", Value::List(vec![Value::Message(filter)]));
    let mut listener = made(
        "envoy.config.listener.v3.Listener",
        &json!({
            "name": name,
            "address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}},
        }),
    );
    listener.set_field_by_name("filter_chains", Value::List(vec![Value::Message(chain)]));
    listener
}

/// A message that is written here.
#[expect(clippy::expect_used, reason = "written here, and made by every test")]
fn made(name: &str, json: &Json) -> DynamicMessage {
    let kind = schema().message(name).expect("Envoy has it");
    message::read(json, kind).expect("it fits")
}

/// Puts something in the place of files that are a proxy's: the certificates that it trusts, and
/// the log that it writes.
fn stand_in(message: &mut DynamicMessage) {
    if let Some(mut inner) = wire::open(message) {
        stand_in(&mut inner);
        message.set_field_by_name("value", Value::Bytes(wire::encode(&inner).into()));
        return;
    }
    match message.descriptor().full_name() {
        "envoy.extensions.transport_sockets.tls.v3.CertificateValidationContext" => {
            if let Some(Value::Message(source)) = message.get_field_by_name_mut("trusted_ca")
                && source.has_field_by_name("filename")
            {
                source.set_field_by_name("inline_string", Value::String(SOME_CA.to_owned()));
            }
        }
        "envoy.extensions.access_loggers.file.v3.FileAccessLog" => {
            message.set_field_by_name("path", Value::String("/dev/null".to_owned()));
        }
        _ => {}
    }
    message.fields_mut().for_each(|(_, value)| stand_in_all(value));
}

fn stand_in_all(value: &mut Value) {
    match value {
        Value::Message(message) => stand_in(message),
        Value::List(items) => items.iter_mut().for_each(stand_in_all),
        Value::Map(entries) => {
            entries.values_mut().for_each(stand_in_all);
        }
        _ => {}
    }
}
