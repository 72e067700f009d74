//! What a proxy gets: opaque, versioned resources; and who it says it is.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// A protobuf type URL, such as `type.googleapis.com/envoy.config.cluster.v3.Cluster`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TypeUrl(Arc<str>);

/// The type URLs of the xDS services.
pub mod type_urls {
    /// LDS.
    pub const LISTENER: &str = "type.googleapis.com/envoy.config.listener.v3.Listener";
    /// SRDS.
    pub const SCOPED_ROUTE: &str =
        "type.googleapis.com/envoy.config.route.v3.ScopedRouteConfiguration";
    /// RDS.
    pub const ROUTE: &str = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration";
    /// CDS.
    pub const CLUSTER: &str = "type.googleapis.com/envoy.config.cluster.v3.Cluster";
    /// EDS.
    pub const ENDPOINT: &str = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment";
    /// SDS.
    pub const SECRET: &str = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret";
    /// ECDS.
    pub const EXTENSION: &str = "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig";
    /// RTDS.
    pub const RUNTIME: &str = "type.googleapis.com/envoy.service.runtime.v3.Runtime";
}

impl TypeUrl {
    /// A type URL from its text.
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// The whole URL.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The message's full name, after the last slash.
    pub fn message(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }
}

impl fmt::Display for TypeUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A resource's version: `<epoch>.<revision>-<content hash>`, where `revision` is the latest of what
/// decides about it: its owner's, and that at which its group was given what it is rendered with. So it
/// follows from what the store says alone. A higher epoch wins; within an epoch a proxy never goes
/// backwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// Raised by restore and migration.
    pub epoch: u64,
    /// The store's revision.
    pub revision: u64,
    /// The first 64 bits of the content's SHA-256.
    pub hash: u64,
}

impl Version {
    /// Whether it is of a later epoch or revision.
    pub fn is_after(self, other: Self) -> bool {
        (self.epoch, self.revision) > (other.epoch, other.revision)
    }

    /// The hash of a resource's bytes.
    pub fn hash_of(body: &[u8]) -> u64 {
        let digest = Sha256::digest(body);
        u64::from_be_bytes(std::array::from_fn(|i| digest[i]))
    }

    /// Reads a version that a proxy reported; `None` when it is not one of ours.
    pub fn parse(text: &str) -> Option<Self> {
        let (order, hash) = text.split_once('-')?;
        let (epoch, revision) = order.split_once('.')?;
        Some(Self {
            epoch: epoch.parse().ok()?,
            revision: revision.parse().ok()?,
            hash: u64::from_str_radix(hash, 16).ok()?,
        })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}-{:016x}", self.epoch, self.revision, self.hash)
    }
}

/// One Envoy object on its way to a proxy. Cheap to clone: its bytes are shared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// Its type.
    pub type_url: TypeUrl,
    /// Its name, unique within its type and group.
    pub name: Arc<str>,
    /// Its version.
    pub version: Version,
    /// Its protobuf encoding, the value of an `Any` of `type_url`.
    pub body: Bytes,
}

/// The identity that a proxy presents on xDS (`envoy.config.core.v3.Node`, the parts we use).
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Node {
    /// `node.id`: one proxy.
    pub id: String,
    /// `node.cluster`: the group's name.
    pub cluster: String,
    /// `node.locality.region`.
    pub region: String,
    /// `node.locality.zone`.
    pub zone: String,
    /// `node.user_agent_build_version`, as `major.minor.patch`; empty when not told.
    pub envoy_version: String,
    /// Of `node.metadata` what is a text, a number or a truth value, as text.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_reads_back_and_is_ordered_by_epoch_then_revision() {
        let older = Version { epoch: 1, revision: 9, hash: 0xffff };
        let newer = Version { epoch: 2, revision: 3, hash: 1 };
        assert_eq!(Version::parse(&older.to_string()), Some(older));
        assert!(newer > older);
        assert_eq!(Version::parse("42"), None);
    }
}
