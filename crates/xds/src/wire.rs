//! The messages of `envoy.service.discovery.v3` that this crate speaks, written out: the few fields
//! it needs, so that nobody waits for ten thousand generated types.
//!
//! Names and versions arrive as bytes (on the wire a `string` is the same thing): they are parts of
//! the received message, not a hundred thousand allocations. A repeated message is `Bytes` too:
//! a resource is encoded once and shared by all streams.

use std::collections::BTreeMap;

use bytes::Bytes;
use model::Node;
use prost::{DecodeError, Message as _};

use crate::frames::Framed;
use crate::many::{Many, Trace, part};

/// What a client says.
pub(crate) trait Request: Sized + Send + 'static {
    /// The field that tells who the client is.
    const NODE: u32;

    /// Reads a message. Lists that are `known` are not gone through again.
    fn read(message: Bytes, known: impl Fn(&[u8]) -> Option<Trace>) -> Result<Self, DecodeError>;
}

/// `DeltaDiscoveryRequest`.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct DeltaRequest {
    pub(crate) node: Option<WireNode>,
    pub(crate) type_url: String,
    pub(crate) subscribe: Many<3>,
    pub(crate) unsubscribe: Many<4>,
    /// Names and versions.
    pub(crate) initial_versions: Many<5>,
    pub(crate) response_nonce: String,
    pub(crate) error_detail: Option<WireStatus>,
}

/// `DeltaDiscoveryRequest` without its lists.
#[derive(Clone, PartialEq, prost::Message)]
struct DeltaHead {
    #[prost(message, optional, tag = "1")]
    node: Option<WireNode>,
    #[prost(string, tag = "2")]
    type_url: String,
    #[prost(string, tag = "6")]
    response_nonce: String,
    #[prost(message, optional, tag = "7")]
    error_detail: Option<WireStatus>,
}

impl Request for DeltaRequest {
    const NODE: u32 = 1;

    fn read(message: Bytes, known: impl Fn(&[u8]) -> Option<Trace>) -> Result<Self, DecodeError> {
        let (lists, head) = part(&message, [3, 4, 5], known)?;
        let [subscribe, unsubscribe, initial_versions] = lists;
        let DeltaHead { node, type_url, response_nonce, error_detail } =
            DeltaHead::decode(&head[..])?;
        Ok(Self {
            node,
            type_url,
            subscribe: Many::of(&message, subscribe),
            unsubscribe: Many::of(&message, unsubscribe),
            initial_versions: Many::of(&message, initial_versions),
            response_nonce,
            error_detail,
        })
    }
}

impl Request for StateRequest {
    const NODE: u32 = 2;

    fn read(message: Bytes, known: impl Fn(&[u8]) -> Option<Trace>) -> Result<Self, DecodeError> {
        let ([names], head) = part(&message, [3], known)?;
        let StateRequestHead { version, node, type_url, response_nonce, error_detail } =
            StateRequestHead::decode(&head[..])?;
        let names = Many::of(&message, names);
        Ok(Self { version, node, names, type_url, response_nonce, error_detail })
    }
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
    #[prost(message, repeated, tag = "9")]
    pub(crate) errors: Vec<ResourceError>,
}

/// `ResourceError`: why a resource that was named is not there.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ResourceError {
    #[prost(message, optional, tag = "1")]
    name: Option<ResourceName>,
    #[prost(message, optional, tag = "2")]
    detail: Option<WireStatus>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ResourceName {
    #[prost(string, tag = "1")]
    name: String,
}

impl ResourceError {
    pub(crate) fn new(name: &str, detail: WireStatus) -> Self {
        let name = ResourceName { name: name.to_owned() };
        Self { name: Some(name), detail: Some(detail) }
    }
}

impl From<DeltaResponse> for Framed {
    fn from(response: DeltaResponse) -> Self {
        Self::new(&response, Bytes::new())
    }
}

/// `DiscoveryRequest` (state of the world).
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct StateRequest {
    pub(crate) version: String,
    pub(crate) node: Option<WireNode>,
    pub(crate) names: Many<3>,
    pub(crate) type_url: String,
    pub(crate) response_nonce: String,
    pub(crate) error_detail: Option<WireStatus>,
}

/// `DiscoveryRequest` without its names.
#[derive(Clone, PartialEq, prost::Message)]
struct StateRequestHead {
    #[prost(string, tag = "1")]
    version: String,
    #[prost(message, optional, tag = "2")]
    node: Option<WireNode>,
    #[prost(string, tag = "4")]
    type_url: String,
    #[prost(string, tag = "5")]
    response_nonce: String,
    #[prost(message, optional, tag = "6")]
    error_detail: Option<WireStatus>,
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
    #[prost(message, repeated, tag = "7")]
    pub(crate) errors: Vec<ResourceError>,
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

/// The one resource this crate can write: a `RouteConfiguration`, a `ClusterLoadAssignment` or a
/// `Runtime` with a name and nothing in it. (They look the same.)
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

impl WireStatus {
    pub(crate) fn new(code: tonic::Code, message: &str) -> Self {
        Self { code: code.into(), message: message.to_owned() }
    }
}

/// `envoy.config.core.v3.Node`, the parts of [`Node`].
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct WireNode {
    #[prost(string, tag = "1")]
    pub(crate) id: String,
    #[prost(string, tag = "2")]
    cluster: String,
    #[prost(message, optional, tag = "3")]
    metadata: Option<Metadata>,
    #[prost(message, optional, tag = "4")]
    locality: Option<Locality>,
    #[prost(message, optional, tag = "8")]
    build: Option<BuildVersion>,
}

/// `google.protobuf.Struct`.
#[derive(Clone, PartialEq, prost::Message)]
struct Metadata {
    #[prost(btree_map = "string, message", tag = "1")]
    fields: BTreeMap<String, MetadataValue>,
}

/// `google.protobuf.Value`, where it is one word.
#[derive(Clone, PartialEq, prost::Message)]
struct MetadataValue {
    #[prost(double, optional, tag = "2")]
    number: Option<f64>,
    #[prost(string, optional, tag = "3")]
    text: Option<String>,
    #[prost(bool, optional, tag = "4")]
    truth: Option<bool>,
}

impl MetadataValue {
    fn into_text(self) -> Option<String> {
        let Self { number, text, truth } = self;
        let word = number.map(|number| number.to_string());
        text.or(word).or_else(|| truth.map(|truth| truth.to_string()))
    }
}

/// What is kept of a node's metadata: every stream remembers it. Further entries are left out, in
/// the order of their keys.
const METADATA_MAX: usize = 32;
/// A longer key or text is left out.
const METADATA_BYTES_MAX: usize = 128;

/// Of metadata, by its keys, what is kept.
pub(crate) fn words(
    fields: impl Iterator<Item = (String, Option<String>)>,
) -> BTreeMap<String, String> {
    let words = fields.filter_map(|(key, text)| {
        Some((key, text?)).filter(|(key, text)| {
            key.len() <= METADATA_BYTES_MAX && text.len() <= METADATA_BYTES_MAX
        })
    });
    words.take(METADATA_MAX).collect()
}

impl Metadata {
    fn into_words(self) -> BTreeMap<String, String> {
        words(self.fields.into_iter().map(|(key, value)| (key, value.into_text())))
    }
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

/// As others are told of it: without its metadata.
impl From<&Node> for WireNode {
    fn from(node: &Node) -> Self {
        let mut parts = node.envoy_version.split('.').map(str::parse);
        let mut part = || parts.next().and_then(Result::ok);
        let version =
            (|| Some(SemanticVersion { major: part()?, minor: part()?, patch: part()? }))();
        Self {
            id: node.id.clone(),
            cluster: node.cluster.clone(),
            locality: Some(Locality { region: node.region.clone(), zone: node.zone.clone() }),
            build: version.map(|version| BuildVersion { version: Some(version) }),
            metadata: None,
        }
    }
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
            metadata: node.metadata.unwrap_or_default().into_words(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_metadata_the_words_are_kept_and_only_so_many() {
        let value =
            |text: &str| MetadataValue { text: Some(text.to_owned()), ..Default::default() };
        let number = MetadataValue { number: Some(3.0), ..Default::default() };
        let truth = MetadataValue { truth: Some(true), ..Default::default() };
        let long = value(&"x".repeat(METADATA_BYTES_MAX + 1));
        let given = [("tier", value("gold")), ("rack", number), ("new", truth), ("long", long)];
        let mut fields: BTreeMap<_, _> =
            given.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        // A list or a struct, as it is read here.
        fields.insert("deep".to_owned(), MetadataValue::default());
        let node = WireNode { metadata: Some(Metadata { fields }), ..WireNode::default() };
        let node = Node::from(WireNode::decode(node.encode_to_vec().as_slice()).unwrap());
        let kept: Vec<_> = node.metadata.iter().map(|(k, v)| format!("{k}={v}")).collect();
        assert_eq!(kept, ["new=true", "rack=3", "tier=gold"]);

        let fields = (0..100).map(|n| (format!("{n:03}"), value("x"))).collect();
        let node = WireNode { metadata: Some(Metadata { fields }), ..WireNode::default() };
        assert_eq!(Node::from(node).metadata.len(), METADATA_MAX);
    }
}
