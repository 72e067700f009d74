//! What goes in and what comes out.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use model::{Caller, Hostname, InstanceId, Node, Spec, TypeUrl};
use serde::{Deserialize, Serialize};

use crate::NodeField;
use crate::library::Library;
use crate::shape::Shape;
use crate::shown::without_secrets;
use crate::sources::Sources;
use crate::{builtin, pipeline};

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
    /// Full names of messages that instances may use as extensions, beside those that reach nothing
    /// but their own requests (`descriptors/instance_extensions.txt`).
    #[serde(default)]
    pub shared_extensions: Vec<String>,
    /// Documents of file and other sources, by name.
    pub sources: Sources,
    /// Whether clients reach a listener at the port that it binds, and not through a load balancer
    /// at 80 or 443: a redirect to a path then names that port.
    #[serde(default)]
    pub direct: bool,
    /// The certificates that a proxy trusts when it verifies an upstream: a file on the proxy.
    #[serde(default = "default_trusted_ca")]
    pub trusted_ca: String,
    /// Where proxies write access logs: a file on the proxy, such as `/dev/stdout`; `None`: nowhere.
    #[serde(default)]
    pub access_log: Option<String>,
}

/// Where Debian and its relatives keep the certificates of the system.
pub const TRUSTED_CA: &str = "/etc/ssl/certs/ca-certificates.crt";

fn default_trusted_ca() -> String {
    TRUSTED_CA.to_owned()
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
    /// Who may call it where a route requires a binding.
    pub callers: &'a [Caller],
    /// Those of its hostnames that are not to answer in public. Sorted.
    pub withheld: &'a [Hostname],
}

/// A resource before it has a version.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    /// Its type.
    pub type_url: TypeUrl,
    /// Its name, made by the renderer.
    pub name: Arc<str>,
    /// The file name of the template that it is of.
    pub template: Arc<str>,
    /// The hash of its content, the same in every process.
    pub hash: u64,
    /// What of it Envoy's verdict can depend on.
    pub shape: Shape,
    /// Its protobuf encoding.
    pub body: Bytes,
    /// Its JSON, for people.
    pub json: serde_json::Value,
}

/// Why something was not rendered, said to whoever can mend it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
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
pub struct Templates(Arc<Library>);

impl Templates {
    /// The default templates, compiled into the binary.
    pub fn builtin() -> Self {
        Self(builtin::library())
    }

    /// The default templates as (file name, text), to start a set of one's own from.
    pub fn builtin_files() -> &'static [(&'static str, &'static str)] {
        builtin::FILES
    }

    /// Compiles templates, given as (file name, text); complains of all that are wrong.
    pub fn compile(files: &[(String, String)]) -> Result<Self, Vec<Complaint>> {
        Library::compile(files).map(|library| Self(Arc::new(library)))
    }

    /// The first 64 bits of the SHA-256 of names and texts: equal sets of templates are equal here.
    pub fn fingerprint(&self) -> u64 {
        self.0.fingerprint
    }

    /// The fields of a node by which any of these templates varies. Empty: all proxies of all
    /// groups get the same.
    pub fn varies_by(&self) -> &[NodeField] {
        &self.0.varies_by
    }

    /// Everything of one instance, for proxies like `node`.
    pub fn instance(
        &self,
        platform: &Platform,
        node: &Node,
        input: Input<'_>,
    ) -> Result<Vec<Draft>, Vec<Complaint>> {
        let rendered = pipeline::instance(&self.0, platform, node, input);
        without_secrets(platform.sources.redactor(), rendered)
    }

    /// What a group gets beside its instances: listeners.
    pub fn group(&self, platform: &Platform, node: &Node) -> Result<Vec<Draft>, Vec<Complaint>> {
        let rendered = pipeline::group(&self.0, platform, node);
        without_secrets(platform.sources.redactor(), rendered)
    }
}
