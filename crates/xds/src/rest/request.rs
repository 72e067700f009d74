//! What a poll says: a `DiscoveryRequest` in proto3 JSON, of which nothing must be there.

use model::Node;
use serde::Deserialize;
use serde_json::Value;

use crate::names::NAME_BYTES_MAX;
use crate::wire::words;

/// A `DiscoveryRequest`. Fields that say nothing here are not looked at: an `error_detail` may have
/// any shape.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Poll {
    #[serde(alias = "versionInfo")]
    version_info: Option<String>,
    node: Option<WireNode>,
    #[serde(alias = "resourceNames")]
    resource_names: Option<Vec<String>>,
    #[serde(alias = "typeUrl")]
    type_url: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct WireNode {
    id: Option<String>,
    cluster: Option<String>,
    metadata: Option<serde_json::Map<String, Value>>,
    locality: Option<Locality>,
    #[serde(alias = "userAgentBuildVersion")]
    user_agent_build_version: Option<BuildVersion>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Locality {
    region: Option<String>,
    zone: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct BuildVersion {
    version: Option<SemanticVersion>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct SemanticVersion {
    #[serde(alias = "majorNumber")]
    major_number: Option<u32>,
    #[serde(alias = "minorNumber")]
    minor_number: Option<u32>,
    patch: Option<u32>,
}

impl Poll {
    /// Reads the body of a poll of a type; an empty one says nothing. The error is a sentence.
    pub(super) fn read(body: &[u8], type_url: &str, names_max: usize) -> Result<Self, String> {
        let poll: Self = match body.trim_ascii() {
            b"" => Self::default(),
            [first, ..] if *first != b'{' => {
                return Err("the body is not a DiscoveryRequest: it is no JSON object".to_owned());
            }
            text => serde_json::from_slice(text)
                .map_err(|error| format!("the body is not a DiscoveryRequest: {error}"))?,
        };
        let said = poll.type_url.as_deref().unwrap_or_default();
        if !said.is_empty() && said != type_url {
            return Err(format!("this path is about {type_url}, and type_url says something else"));
        }
        let names = poll.resource_names.as_deref().unwrap_or_default();
        if names.len() > names_max {
            return Err(format!("resource_names has more than {names_max} names"));
        }
        if names.iter().any(|name| name.len() > NAME_BYTES_MAX) {
            return Err(format!("a resource name has {NAME_BYTES_MAX} bytes at most"));
        }
        Ok(poll)
    }

    /// The version that the client has; empty when it has none.
    pub(super) fn version(&self) -> &str {
        self.version_info.as_deref().unwrap_or_default()
    }

    /// The names that it asks for, each once and sorted; none: everything.
    pub(super) fn names(&self) -> Option<Vec<&str>> {
        let names = self.resource_names.as_deref().unwrap_or_default();
        let mut names: Vec<&str> = names.iter().map(String::as_str).collect();
        names.sort_unstable();
        names.dedup();
        (!names.is_empty() && !names.contains(&"*")).then_some(names)
    }

    /// Who it says it is.
    pub(super) fn node(&mut self) -> Node {
        let node = self.node.take().unwrap_or_default();
        let locality = node.locality.unwrap_or_default();
        let version = node.user_agent_build_version.and_then(|build| build.version);
        let version = version.map_or_else(String::new, |v| {
            let part = |part: Option<u32>| part.unwrap_or_default();
            let (major, minor) = (part(v.major_number), part(v.minor_number));
            format!("{major}.{minor}.{}", part(v.patch))
        });
        Node {
            id: node.id.unwrap_or_default(),
            cluster: node.cluster.unwrap_or_default(),
            region: locality.region.unwrap_or_default(),
            zone: locality.zone.unwrap_or_default(),
            envoy_version: version,
            metadata: words(node.metadata.unwrap_or_default().into_iter().map(|(key, value)| {
                let word = match value {
                    Value::String(text) => Some(text),
                    Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
                    _ => None,
                };
                (key, word)
            })),
        }
    }
}
