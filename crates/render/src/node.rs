//! What templates may see of a proxy.

use std::fmt;
use std::sync::Arc;

use model::Node;

/// What templates may see of a proxy. Proxies of a group that agree in the fields that a template
/// set varies by get the same resources.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NodeField {
    /// `node.id`.
    Id,
    /// `node.cluster`, the group.
    Cluster,
    /// `node.region`.
    Region,
    /// `node.zone`.
    Zone,
    /// `node.envoy_version`.
    EnvoyVersion,
    /// `node.metadata`, one key of it.
    Metadata(Arc<str>),
}

impl NodeField {
    /// What a node has there; empty when it tells nothing.
    pub fn of<'n>(&self, node: &'n Node) -> &'n str {
        match self {
            Self::Id => &node.id,
            Self::Cluster => &node.cluster,
            Self::Region => &node.region,
            Self::Zone => &node.zone,
            Self::EnvoyVersion => minor(&node.envoy_version),
            Self::Metadata(key) => node.metadata.get(&**key).map_or("", String::as_str),
        }
    }

    /// Makes `node` tell this.
    pub fn set(&self, node: &mut Node, value: &str) {
        let value = value.to_owned();
        match self {
            Self::Id => node.id = value,
            Self::Cluster => node.cluster = value,
            Self::Region => node.region = value,
            Self::Zone => node.zone = value,
            Self::EnvoyVersion => node.envoy_version = value,
            Self::Metadata(key) => _ = node.metadata.insert(key.to_string(), value),
        }
    }
}

impl fmt::Display for NodeField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id => f.write_str("id"),
            Self::Cluster => f.write_str("cluster"),
            Self::Region => f.write_str("region"),
            Self::Zone => f.write_str("zone"),
            Self::EnvoyVersion => f.write_str("envoy_version"),
            Self::Metadata(key) => write!(f, "metadata.{key}"),
        }
    }
}

/// `1.40` of `1.40.3`: what Envoy understands changes with its minor version.
fn minor(version: &str) -> &str {
    version.match_indices('.').nth(1).map_or(version, |(at, _)| &version[..at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_is_told_and_what_a_node_lacks_is_empty() {
        let metadata = |key: &str| NodeField::Metadata(key.into());
        let fields = [NodeField::Id, NodeField::Cluster, NodeField::Region, NodeField::Zone];
        let all = fields.into_iter().chain([NodeField::EnvoyVersion, metadata("a"), metadata("b")]);
        let mut node = Node::default();
        for field in all {
            assert_eq!(field.of(&node), "", "{field}");
            field.set(&mut node, "1.40");
            assert_eq!(field.of(&node), "1.40", "{field}");
        }
    }

    #[test]
    fn patches_of_envoy_are_the_same_to_templates() {
        for (told, seen) in [("1.40.3", "1.40"), ("1.40", "1.40"), ("", ""), ("2", "2")] {
            let node = Node { envoy_version: told.to_owned(), ..Node::default() };
            assert_eq!(NodeField::EnvoyVersion.of(&node), seen);
        }
    }
}
