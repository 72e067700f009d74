//! The messages of `envoy.service.status.v3`, as far as they are spoken here.

use super::{ClientStatus, Condition, ResourceStatus};
use crate::wire::WireNode;

/// `ClientStatusRequest`.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Question {
    #[prost(message, repeated, tag = "1")]
    pub(super) node_matchers: Vec<NodeMatcher>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct NodeMatcher {
    #[prost(message, optional, tag = "1")]
    pub(super) node_id: Option<StringMatcher>,
    /// Not served: only whether there are any is read.
    #[prost(bytes = "bytes", repeated, tag = "2")]
    pub(super) node_metadatas: Vec<bytes::Bytes>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct StringMatcher {
    #[prost(oneof = "string_matcher::Pattern", tags = "1, 2, 3, 7")]
    pub(super) pattern: Option<string_matcher::Pattern>,
    #[prost(bool, tag = "6")]
    pub(super) ignore_case: bool,
}

/// What of `StringMatcher` is served; a regular expression is not.
pub(super) mod string_matcher {
    #[derive(Clone, PartialEq, prost::Oneof)]
    pub(crate) enum Pattern {
        #[prost(string, tag = "1")]
        Exact(String),
        #[prost(string, tag = "2")]
        Prefix(String),
        #[prost(string, tag = "3")]
        Suffix(String),
        #[prost(string, tag = "7")]
        Contains(String),
    }
}

/// `ClientStatusResponse`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Answer {
    #[prost(message, repeated, tag = "1")]
    pub(super) config: Vec<ClientConfig>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ClientConfig {
    #[prost(message, optional, tag = "1")]
    node: Option<WireNode>,
    #[prost(message, repeated, tag = "3")]
    configs: Vec<Config>,
}

/// `GenericXdsConfig`, without the resource itself.
#[derive(Clone, PartialEq, prost::Message)]
struct Config {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(string, tag = "3")]
    version: String,
    #[prost(enumeration = "ConfigStatus", tag = "6")]
    status: i32,
    #[prost(enumeration = "ClientResourceStatus", tag = "7")]
    client: i32,
    #[prost(message, optional, tag = "8")]
    error: Option<Failure>,
}

/// `UpdateFailureState`.
#[derive(Clone, PartialEq, prost::Message)]
struct Failure {
    #[prost(string, tag = "3")]
    details: String,
    #[prost(string, tag = "4")]
    version: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
enum ConfigStatus {
    Unknown = 0,
    Synced = 1,
    NotSent = 2,
    Stale = 3,
    Error = 4,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
enum ClientResourceStatus {
    Unknown = 0,
    Requested = 1,
    DoesNotExist = 2,
    Acked = 3,
    Nacked = 4,
}

impl From<&ClientStatus> for ClientConfig {
    fn from(status: &ClientStatus) -> Self {
        let configs = status.resources.iter().map(Config::from).collect();
        Self { node: Some(WireNode::from(&*status.node)), configs }
    }
}

impl From<&ResourceStatus> for Config {
    fn from(resource: &ResourceStatus) -> Self {
        let (status, client) = match resource.condition {
            Condition::Synced => (ConfigStatus::Synced, ClientResourceStatus::Acked),
            Condition::NotSent => (ConfigStatus::NotSent, ClientResourceStatus::Unknown),
            Condition::Stale => (ConfigStatus::Stale, ClientResourceStatus::Requested),
            Condition::Error(_) => (ConfigStatus::Error, ClientResourceStatus::Nacked),
        };
        let error = match &resource.condition {
            Condition::Error(details) => {
                Some(Failure { details: details.clone(), version: resource.version.clone() })
            }
            _ => None,
        };
        Self {
            type_url: resource.type_url.to_string(),
            name: resource.name.to_string(),
            version: resource.version.clone(),
            status: status.into(),
            client: client.into(),
            error,
        }
    }
}
