//! The messages of `envoy.service.discovery.v3` that this crate speaks, written out: the few fields
//! it needs, so that nobody waits for ten thousand generated types.
//!
//! Names and versions arrive as `Bytes` (on the wire a `string` is the same thing): they are slices
//! of the received message, not a hundred thousand allocations. A repeated message is `Bytes` too:
//! a resource is encoded once and shared by all streams.

use bytes::Bytes;
use model::Node;

use crate::frames::Framed;

/// `DeltaDiscoveryRequest`.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct DeltaRequest {
    #[prost(message, optional, tag = "1")]
    pub(crate) node: Option<WireNode>,
    #[prost(string, tag = "2")]
    pub(crate) type_url: String,
    #[prost(bytes = "bytes", repeated, tag = "3")]
    pub(crate) subscribe: Vec<Bytes>,
    #[prost(bytes = "bytes", repeated, tag = "4")]
    pub(crate) unsubscribe: Vec<Bytes>,
    #[prost(message, repeated, tag = "5")]
    pub(crate) initial_versions: Vec<Held>,
    #[prost(string, tag = "6")]
    pub(crate) response_nonce: String,
    #[prost(message, optional, tag = "7")]
    pub(crate) error_detail: Option<WireStatus>,
}

/// One entry of `initial_resource_versions`.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Held {
    #[prost(bytes = "bytes", tag = "1")]
    pub(crate) name: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    pub(crate) version: Bytes,
}

/// `DeltaDiscoveryResponse`. `resources` are encoded `Resource` messages.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct DeltaResponse {
    #[prost(string, tag = "1")]
    pub(crate) system_version: String,
    #[prost(bytes = "bytes", repeated, tag = "2")]
    pub(crate) resources: Vec<Bytes>,
    #[prost(string, tag = "4")]
    pub(crate) type_url: String,
    #[prost(string, tag = "5")]
    pub(crate) nonce: String,
    #[prost(string, repeated, tag = "6")]
    pub(crate) removed: Vec<String>,
}

impl From<DeltaResponse> for Framed {
    fn from(response: DeltaResponse) -> Self {
        Self::new(&response, Bytes::new())
    }
}

/// `DiscoveryRequest` (state of the world).
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct StateRequest {
    #[prost(string, tag = "1")]
    pub(crate) version: String,
    #[prost(message, optional, tag = "2")]
    pub(crate) node: Option<WireNode>,
    #[prost(bytes = "bytes", repeated, tag = "3")]
    pub(crate) names: Vec<Bytes>,
    #[prost(string, tag = "4")]
    pub(crate) type_url: String,
    #[prost(string, tag = "5")]
    pub(crate) response_nonce: String,
    #[prost(message, optional, tag = "6")]
    pub(crate) error_detail: Option<WireStatus>,
}

/// `DiscoveryResponse` without its resources.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct StateHead {
    #[prost(string, tag = "1")]
    pub(crate) version: String,
    #[prost(string, tag = "4")]
    pub(crate) type_url: String,
    #[prost(string, tag = "5")]
    pub(crate) nonce: String,
}

/// `DiscoveryResponse`: its resources are encoded already, and may be shared by all streams.
#[derive(Debug)]
pub(crate) struct StateResponse {
    pub(crate) head: StateHead,
    pub(crate) resources: Bytes,
}

impl From<StateResponse> for Framed {
    fn from(response: StateResponse) -> Self {
        Self::new(&response.head, response.resources)
    }
}

/// `Resource`, written only to encode one.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct WireResource {
    #[prost(string, tag = "1")]
    pub(crate) version: String,
    #[prost(string, tag = "3")]
    pub(crate) name: String,
}

/// The one resource this crate can write: a `RouteConfiguration`, or a `ClusterLoadAssignment`, with
/// a name and nothing in it. (They look the same.)
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Blank {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
}

/// `google.rpc.Status`, without its details.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct WireStatus {
    #[prost(int32, tag = "1")]
    pub(crate) code: i32,
    #[prost(string, tag = "2")]
    pub(crate) message: String,
}

/// `envoy.config.core.v3.Node`, the parts of [`Node`].
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct WireNode {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(string, tag = "2")]
    cluster: String,
    #[prost(message, optional, tag = "4")]
    locality: Option<Locality>,
    #[prost(message, optional, tag = "8")]
    build: Option<BuildVersion>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Locality {
    #[prost(string, tag = "1")]
    region: String,
    #[prost(string, tag = "2")]
    zone: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct BuildVersion {
    #[prost(message, optional, tag = "1")]
    version: Option<SemanticVersion>,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
struct SemanticVersion {
    #[prost(uint32, tag = "1")]
    major: u32,
    #[prost(uint32, tag = "2")]
    minor: u32,
    #[prost(uint32, tag = "3")]
    patch: u32,
}

impl From<WireNode> for Node {
    fn from(node: WireNode) -> Self {
        let locality = node.locality.unwrap_or_default();
        let version = node.build.and_then(|build| build.version);
        Self {
            id: node.id,
            cluster: node.cluster,
            region: locality.region,
            zone: locality.zone,
            envoy_version: version
                .map_or_else(String::new, |v| format!("{}.{}.{}", v.major, v.minor, v.patch)),
        }
    }
}
