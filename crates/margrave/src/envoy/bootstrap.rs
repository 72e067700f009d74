//! What Envoy is told before it asks: who it is, where its control plane is, and its limits.

use std::net::{IpAddr, SocketAddr};

use serde_json::{Value, json};

use crate::config::Protocol;

/// The group of the proxy that `margrave dev` starts.
pub const GROUP: &str = "default";
/// The layer of the runtime that templates may make.
const RUNTIME: &str = "margrave";
/// The heap beyond which Envoy stops taking requests, in bytes. 20,000 services take about 2 GB.
const HEAP_BYTES_MAX: u64 = 4 << 30;
/// Connections of clients, over all listeners.
const CONNECTIONS_MAX: u64 = 50_000;

/// The facts of a bootstrap.
#[derive(Debug, Clone)]
pub struct Bootstrap {
    /// `node.id`.
    pub node: String,
    /// `node.cluster`.
    pub group: String,
    /// `node.locality.region`.
    pub region: String,
    /// `node.locality.zone`.
    pub zone: String,
    /// Where the control plane listens: an address or a name, and a port.
    pub xds: (String, u16),
    /// How it is connected to; `None`: in clear.
    pub transport_socket: Option<Value>,
    /// Where Envoy's admin interface shall listen.
    pub admin: SocketAddr,
    /// Delta, state of the world, or polling.
    pub protocol: Protocol,
    /// How it polls, if it does.
    pub polling: plane::Polling,
}

impl Bootstrap {
    /// Envoy's bootstrap, as JSON.
    pub fn json(&self) -> Value {
        json!({
            "node": {
                "id": self.node,
                "cluster": self.group,
                "locality": {"region": self.region, "zone": self.zone},
            },
            "admin": {"address": address(self.admin)},
            "dynamic_resources": self.dynamic(),
            "layered_runtime": self.runtime(),
            "static_resources": {"clusters": [self.control_plane()]},
            "stats_config": statistics(),
            "stats_flush_interval": "2s",
            "stats_sinks": [sink()],
            "deferred_stat_options": {"enable_deferred_creation_stats": true},
            "overload_manager": overload(),
        })
    }

    fn dynamic(&self) -> Value {
        let source = self.source();
        let mut dynamic = json!({"lds_config": source, "cds_config": source});
        let api_type = match self.protocol {
            Protocol::Delta => "DELTA_GRPC",
            Protocol::Sotw => "GRPC",
            Protocol::Rest => return dynamic,
        };
        // A plane that was restarted is found again within seconds, not after half a minute.
        let retry = json!({"retry_back_off": {"base_interval": "0.2s", "max_interval": "5s"}});
        dynamic["ads_config"] = json!({
            "api_type": api_type,
            "transport_api_version": "V3",
            "set_node_on_first_message_only": true,
            "grpc_services": [{"envoy_grpc": {"cluster_name": "xds", "retry_policy": retry}}],
        });
        dynamic
    }

    /// Where the control plane is, to a part of the configuration that comes from it.
    fn source(&self) -> Value {
        match self.protocol {
            Protocol::Delta | Protocol::Sotw => json!({"ads": {}, "resource_api_version": "V3"}),
            Protocol::Rest => json!({
                "api_config_source": self.polling.source(),
                "resource_api_version": "V3",
            }),
        }
    }

    /// What templates say of the runtime, and above it what an operator says to the proxy itself.
    fn runtime(&self) -> Value {
        let ours = json!({"name": RUNTIME, "rtds_config": self.source()});
        json!({"layers": [
            {"name": RUNTIME, "rtds_layer": ours},
            {"name": "admin", "admin_layer": {}},
        ]})
    }

    fn control_plane(&self) -> Value {
        let http2 = json!({"connection_keepalive": {"interval": "15s", "timeout": "5s"}});
        let (host, port) = &self.xds;
        let is_name = host.parse::<IpAddr>().is_err();
        let mut cluster = json!({
            "name": self.polling.cluster(),
            "type": if is_name { "STRICT_DNS" } else { "STATIC" },
            "connect_timeout": "2s",
            "typed_extension_protocol_options": {
                "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                    "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                    "explicit_http_config": {"http2_protocol_options": http2},
                },
            },
            "load_assignment": {
                "cluster_name": "xds",
                "endpoints": [{"lb_endpoints": [{"endpoint": {"address": {"socket_address": {
                    "address": host, "port_value": port,
                }}}}]}],
            },
        });
        if let Some(socket) = &self.transport_socket {
            cluster["transport_socket"] = socket.clone();
        }
        cluster
    }
}

fn address(address: SocketAddr) -> Value {
    json!({"socket_address": {
        "address": address.ip().to_string(),
        "port_value": address.port(),
    }})
}

/// What clients are answered is told to the control plane, which stops a roll-out that makes it worse.
fn sink() -> Value {
    json!({
        "name": "envoy.stat_sinks.metrics_service",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.config.metrics.v3.MetricsServiceConfig",
            "transport_api_version": "V3",
            "report_counters_as_deltas": true,
            "histogram_emit_mode": "SUMMARY",
            "batch_size": 500,
            "grpc_service": {"envoy_grpc": {"cluster_name": "xds"}},
        },
    })
}

/// Statistics of the proxy as a whole. Those of single services would grow with their number:
/// what a service does is in the access log.
fn statistics() -> Value {
    let prefixes = [
        "server.",
        "main_thread.",
        "listener.",
        "listener_manager.",
        "cluster_manager.",
        "control_plane.",
        "overload.",
        "runtime.",
        "cluster.xds.",
        "http.public.downstream_",
        "http.public.scoped_rds.",
        "http.public.no_",
        "http.internal.downstream_",
        "http.internal.scoped_rds.",
        "http.internal.no_",
    ];
    let patterns: Vec<_> = prefixes.iter().map(|prefix| json!({"prefix": prefix})).collect();
    json!({"stats_matcher": {"inclusion_list": {"patterns": patterns}}})
}

/// Envoy's edge guide: under pressure shrink first, then refuse, rather than die.
fn overload() -> Value {
    let heap = "envoy.resource_monitors.fixed_heap";
    let action = |name: &str, at: f64| {
        json!({
            "name": format!("envoy.overload_actions.{name}"),
            "triggers": [{"name": heap, "threshold": {"value": at}}],
        })
    };
    json!({
        "refresh_interval": "0.25s",
        "resource_monitors": [
            {"name": heap, "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.resource_monitors.fixed_heap.v3.FixedHeapConfig",
                "max_heap_size_bytes": HEAP_BYTES_MAX,
            }},
            {"name": "envoy.resource_monitors.global_downstream_max_connections", "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
                "max_active_downstream_connections": CONNECTIONS_MAX,
            }},
        ],
        "actions": [action("shrink_heap", 0.95), action("stop_accepting_requests", 0.98)],
    })
}
