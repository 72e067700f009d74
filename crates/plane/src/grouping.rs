//! Which proxies get the same resources: those of one `node.cluster` that agree in whatever the
//! templates vary by.

use std::sync::Arc;

use model::Node;
use render::{Complaint, NodeField};

use crate::DEFAULT_GROUP;

/// The longest part of a group's name: as long as a DNS label.
const PART_BYTES_MAX: usize = 63;

/// How nodes become groups. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Grouping {
    /// What tells groups of one `node.cluster` apart.
    finer: Arc<[NodeField]>,
}

impl Grouping {
    /// By `node.cluster` and what templates vary by.
    pub(crate) fn new(varies_by: &[NodeField]) -> Result<Self, Vec<Complaint>> {
        if varies_by.contains(&NodeField::Id) {
            let message = "templates may not vary by `id`: each proxy would be a group of its own; \
                           vary by region, zone, envoy_version or metadata.KEY";
            let message = message.to_owned();
            return Err(vec![Complaint { message, ..Complaint::default() }]);
        }
        let finer = varies_by.iter().filter(|field| **field != NodeField::Cluster).cloned();
        Ok(Self { finer: finer.collect() })
    }

    /// The name of the group of a node: `edge`, or `edge,region=eu-west-1` where templates vary by
    /// region. The error is for whoever runs that proxy.
    pub(crate) fn name(&self, node: &Node) -> Result<String, String> {
        let mut name = part("cluster", &node.cluster)?.to_owned();
        if name.is_empty() {
            DEFAULT_GROUP.clone_into(&mut name);
        }
        for field in &*self.finer {
            let value = part(field, field.of(node))?;
            name += &format!(",{field}={value}");
        }
        Ok(name)
    }

    /// What the group of a node is rendered for: of the node what all of the group have.
    pub(crate) fn node(&self, name: &str, node: &Node) -> Node {
        let cluster = name.split(',').next().unwrap_or(name).to_owned();
        let mut shared = Node { cluster, ..Node::default() };
        self.finer.iter().for_each(|field| field.set(&mut shared, field.of(node)));
        shared
    }

    /// What of this does not tell groups apart.
    pub(crate) fn lacks<'a>(&self, varies_by: &'a [NodeField]) -> Option<&'a NodeField> {
        let is_known =
            |field: &NodeField| *field == NodeField::Cluster || self.finer.contains(field);
        varies_by.iter().find(|field| !is_known(field))
    }

    /// Why there may be many groups, if the templates are the reason.
    pub(crate) fn reason(&self) -> String {
        if self.finer.is_empty() {
            return String::new();
        }
        let fields: Vec<_> = self.finer.iter().map(ToString::to_string).collect();
        format!(": the templates vary by {}, and each value makes a group", fields.join(", "))
    }
}

fn part(what: impl std::fmt::Display, value: &str) -> Result<&str, String> {
    let is_safe = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    if value.len() <= PART_BYTES_MAX && value.bytes().all(is_safe) {
        return Ok(value);
    }
    Err(format!("node.{what} names a group: up to 63 of A-Z, a-z, 0-9, `-`, `_`, `.`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node() -> Node {
        let metadata = [("tier".to_owned(), "gold".to_owned())].into();
        Node {
            id: "p1".to_owned(),
            cluster: "edge".to_owned(),
            region: "eu-west-1".to_owned(),
            zone: "a".to_owned(),
            envoy_version: "1.40.2".to_owned(),
            metadata,
        }
    }

    #[test]
    fn a_group_is_named_by_what_its_proxies_have_in_common() {
        let tier = NodeField::Metadata("tier".into());
        let by = |fields: &[NodeField]| Grouping::new(fields).unwrap();
        let fine = by(&[NodeField::Cluster, NodeField::Region, NodeField::EnvoyVersion, tier]);
        for (grouping, node, name) in [
            (by(&[]), node(), "edge"),
            (by(&[NodeField::Cluster]), node(), "edge"),
            (by(&[]), Node::default(), "default"),
            (fine.clone(), node(), "edge,region=eu-west-1,envoy_version=1.40,metadata.tier=gold"),
            (fine, Node::default(), "default,region=,envoy_version=,metadata.tier="),
        ] {
            assert_eq!(grouping.name(&node).as_deref(), Ok(name));
        }
    }

    #[test]
    fn it_is_rendered_for_that_and_nothing_else() {
        let grouping = Grouping::new(&[NodeField::Region, NodeField::EnvoyVersion]).unwrap();
        let shared = grouping.node(&grouping.name(&node()).unwrap(), &node());
        let expected = Node {
            cluster: "edge".to_owned(),
            region: "eu-west-1".to_owned(),
            envoy_version: "1.40".to_owned(),
            ..Node::default()
        };
        assert_eq!(shared, expected);
    }

    #[test]
    fn what_cannot_name_a_group_is_refused() {
        let grouping = Grouping::new(&[NodeField::Region]).unwrap();
        for bad in ["eu west", "eu,zone=b", &"x".repeat(64)] {
            let refused = grouping.name(&Node { region: bad.to_owned(), ..node() });
            assert!(refused.unwrap_err().starts_with("node.region names a group"), "{bad}");
            let refused = grouping.name(&Node { cluster: bad.to_owned(), ..node() });
            assert!(refused.unwrap_err().starts_with("node.cluster names a group"), "{bad}");
        }
        assert!(Grouping::new(&[NodeField::Id]).is_err());
    }
}
