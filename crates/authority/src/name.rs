//! What a certificate calls a proxy: a URI in the manner of SPIFFE, which holds the platform, the group
//! and the node.

use std::fmt;
use std::str::FromStr;

use model::{GroupName, NodeId};

use crate::AuthorityError;

/// As long as a hostname.
const DOMAIN_CHARS_MAX: usize = 253;

/// The name of one platform among others: what its certificates begin with.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TrustDomain(String);

impl TrustDomain {
    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The DNS name that the platform's own servers have in their certificates.
    pub fn server(&self) -> String {
        format!("xds.{}", self.0)
    }

    /// The URI of the platform itself.
    pub(crate) fn uri(&self) -> String {
        format!("spiffe://{}", self.0)
    }
}

impl FromStr for TrustDomain {
    type Err = AuthorityError;

    fn from_str(text: &str) -> Result<Self, AuthorityError> {
        let is_plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.".contains(&b);
        let fits = (1..=DOMAIN_CHARS_MAX).contains(&text.len()) && text.bytes().all(is_plain);
        let refused =
            || AuthorityError::Authority(format!("has no domain of the form of `{text}`"));
        fits.then(|| Self(text.to_owned())).ok_or_else(refused)
    }
}

/// Who a proxy is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ProxyName {
    /// `node.cluster`: whose resources it gets.
    pub group: GroupName,
    /// `node.id`.
    pub node: NodeId,
}

impl ProxyName {
    /// As certificates say it.
    pub fn uri(&self, domain: &TrustDomain) -> String {
        format!("{}/group/{}/node/{}", domain.uri(), self.group, self.node)
    }

    /// Reads what [`ProxyName::uri`] writes, for this platform alone.
    pub fn parse(uri: &str, domain: &TrustDomain) -> Option<Self> {
        let path = uri.strip_prefix(&domain.uri())?.strip_prefix("/group/")?;
        let (group, node) = path.split_once("/node/")?;
        Some(Self { group: group.parse().ok()?, node: node.parse().ok()? })
    }
}

impl fmt::Display for ProxyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` of group `{}`", self.node, self.group)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_reads_back_in_its_own_platform_only() {
        let (ours, other) = ("edge.example".parse().unwrap(), "edge.examples".parse().unwrap());
        let name = ProxyName { group: "eu-1".parse().unwrap(), node: "eu-1-7f3a".parse().unwrap() };
        let uri = name.uri(&ours);
        assert_eq!(uri, "spiffe://edge.example/group/eu-1/node/eu-1-7f3a");
        assert_eq!(ProxyName::parse(&uri, &ours), Some(name));
        assert_eq!(ProxyName::parse(&uri, &other), None);
        for strange in ["/group/a/node/b/node/c", "/group//node/b", "/group/a/node/", "/node/b", ""]
        {
            let uri = format!("spiffe://edge.example{strange}");
            assert_eq!(ProxyName::parse(&uri, &ours), None, "{uri}");
        }
    }

    #[test]
    fn a_domain_is_lower_case_and_plain() {
        for bad in ["", "A", "a/b", "a b", "é"] {
            assert!(bad.parse::<TrustDomain>().is_err(), "{bad}");
        }
    }
}
