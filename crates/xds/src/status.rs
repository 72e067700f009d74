//! `envoy.service.status.v3.ClientStatusDiscoveryService`: how clients stand, resource by resource, in
//! a form that others can read. Names and versions are told, bodies never: they may hold secrets.

use std::net::SocketAddr;
use std::sync::Arc;

use http::Request;
use model::Node;
use tonic::Status;
use tonic::body::Body;
use tonic::transport::server::TcpConnectInfo;

use crate::beside::Answers;
use crate::identity::Identity;
use crate::metrics;
use crate::service::Ads;

mod matcher;
mod wire;

use wire::{ClientConfig, Question};

pub(crate) const FETCH: &str =
    "/envoy.service.status.v3.ClientStatusDiscoveryService/FetchClientStatus";
pub(crate) const STREAM: &str =
    "/envoy.service.status.v3.ClientStatusDiscoveryService/StreamClientStatus";

/// Resources in one answer about several clients: about 20 MB.
const RESOURCES_MAX: usize = 100_000;

/// How one client stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientStatus {
    /// Who it is.
    pub node: Arc<Node>,
    /// What it has, or should have.
    pub resources: Vec<ResourceStatus>,
}

/// How one resource of a client stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceStatus {
    /// Its type.
    pub type_url: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
    /// The version that the client has or should have; empty where it should be gone.
    pub version: String,
    /// Whether the client has it.
    pub condition: Condition,
}

/// Whether a client has a resource as it should.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// It has.
    Synced,
    /// It has not taken its first state yet.
    NotSent,
    /// It was sent, and has not answered.
    Stale,
    /// It refused it, in these words.
    Error(String),
}

/// Whom somebody may ask about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Who is on this machine, in clear: everybody.
    All,
    /// A proxy with a certificate: itself.
    Own(Arc<Identity>),
}

impl Scope {
    pub(crate) fn of(request: &Request<Body>) -> Result<Self, Status> {
        if let Some(identity) = request.extensions().get::<Arc<Identity>>() {
            return Ok(Self::Own(identity.clone()));
        }
        let peer =
            request.extensions().get::<TcpConnectInfo>().and_then(TcpConnectInfo::remote_addr);
        match peer.map(|peer: SocketAddr| peer.ip().to_canonical()) {
            Some(ip) if ip.is_loopback() => Ok(Self::All),
            _ => {
                metrics::stream_refused("status");
                Err(Status::permission_denied(
                    "how proxies stand is told on the machine itself, and to a proxy with a \
                     certificate about itself",
                ))
            }
        }
    }

    fn covers(&self, node: &Node) -> bool {
        match self {
            Self::All => true,
            Self::Own(identity) => (&identity.node, &identity.group) == (&node.id, &node.cluster),
        }
    }
}

/// Answers one question.
pub(crate) async fn tell(
    ads: Ads,
    scope: Scope,
    question: Question,
    answers: Answers,
) -> Result<(), Status> {
    let matchers = question.matchers()?;
    let wanted = |node: &Node| {
        let mut matchers = matchers.iter();
        scope.covers(node) && (matchers.len() == 0 || matchers.any(|it| it.matches(&node.id)))
    };
    let all = ads.directory().status(&wanted, RESOURCES_MAX).ok_or_else(|| {
        Status::resource_exhausted(format!(
            "more than {RESOURCES_MAX} resources in one answer: name fewer proxies by `node_matchers`"
        ))
    })?;
    answers.give(&wire::Answer { config: all.iter().map(ClientConfig::from).collect() }).await;
    Ok(())
}
