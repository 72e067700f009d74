//! What goes in and what comes out.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use model::{InstanceId, Node, Spec, TypeUrl};
use serde::{Deserialize, Serialize};

/// Upstream name → where it answers now, resolved and allowed. A missing or empty entry becomes an
/// empty load assignment.
pub type Endpoints = BTreeMap<String, Vec<SocketAddr>>;

/// Facts of the platform that templates see as `platform`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Platform {
    /// The zone of default hostnames.
    pub zone: String,
    /// Where the internal listener binds.
    pub internal: SocketAddr,
    /// Where the public listener binds.
    pub public: SocketAddr,
    /// Trusted proxies in front of the public listener (`xff_num_trusted_hops`).
    pub trusted_hops: u32,
    /// Whether proxies subscribe to scopes, routes and clusters only when asked for them.
    pub on_demand: bool,
    /// Names of clusters that every instance may refer to.
    pub shared_clusters: Vec<String>,
    /// Documents of file and other sources, by name.
    pub sources: BTreeMap<String, serde_json::Value>,
}

/// One instance to render.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// Its id, part of the names of its resources.
    pub id: &'a InstanceId,
    /// What it shall be.
    pub spec: &'a Spec,
    /// Where its upstreams answer.
    pub endpoints: &'a Endpoints,
}

/// A resource before it has a version.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    /// Its type.
    pub type_url: TypeUrl,
    /// Its name, made by the renderer.
    pub name: Arc<str>,
    /// The hash of its content, the same in every process.
    pub hash: u64,
    /// Its protobuf encoding.
    pub body: Bytes,
    /// Its JSON, for people.
    pub json: serde_json::Value,
}

/// Why something was not rendered, said to whoever can mend it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Complaint {
    /// The template's file name.
    pub template: String,
    /// The line in the template, where known.
    pub line: Option<usize>,
    /// The resource's type and name, where known.
    pub resource: Option<String>,
    /// The field, as `virtual_hosts[0].routes[1].match.path`, where known.
    pub field: Option<String>,
    /// The tenant's route or upstream that it came from, where known.
    pub culprit: Option<String>,
    /// What is wrong and how to mend it.
    pub message: String,
}

/// A compiled set of templates. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Templates {}

impl Templates {
    /// The default templates, compiled into the binary.
    pub fn builtin() -> Self {
        Self {}
    }

    /// Compiles templates, given as (file name, text); complains of all that are wrong.
    pub fn compile(_files: &[(String, String)]) -> Result<Self, Vec<Complaint>> {
        Ok(Self {})
    }

    /// Everything of one instance, for proxies like `node`.
    pub fn instance(
        &self,
        _platform: &Platform,
        _node: &Node,
        _input: Input<'_>,
    ) -> Result<Vec<Draft>, Vec<Complaint>> {
        Ok(Vec::new())
    }

    /// What a group gets beside its instances: listeners.
    pub fn group(&self, _platform: &Platform, _node: &Node) -> Result<Vec<Draft>, Vec<Complaint>> {
        Ok(Vec::new())
    }
}
