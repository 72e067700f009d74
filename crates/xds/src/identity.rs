//! Who is on the other end of a connection, where a certificate says so.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::Node;
use tokio::sync::watch;
use tokio::time::Instant;
use tonic::Status;

use crate::metrics;

/// A proxy, as its certificate names it. It is in the extensions of every request that comes over TLS,
/// as an `Arc`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// `node.id`.
    pub node: String,
    /// `node.cluster`.
    pub group: String,
    /// The number of the certificate.
    pub serial: String,
    /// When the certificate ends, and with it every stream that was opened with it.
    pub until: Instant,
}

/// The numbers of certificates that were revoked and have not ended by themselves.
pub type Revoked = Arc<BTreeSet<String>>;

impl Identity {
    /// Whether what a client says of itself is what its certificate says.
    pub(crate) fn admits(&self, node: &Node) -> Result<(), Status> {
        if (self.node.as_str(), self.group.as_str()) == (node.id.as_str(), node.cluster.as_str()) {
            return Ok(());
        }
        metrics::stream_refused("identity");
        let Self { node: id, group, .. } = self;
        Err(Status::permission_denied(format!(
            "the certificate is of node `{id}` in group `{group}`, and the client says that it is \
             node.id `{}` in node.cluster `{}`: let it say what its certificate says",
            clip(&node.id),
            clip(&node.cluster)
        )))
    }

    /// Whether the certificate is still good.
    pub(crate) fn stands(&self, revoked: &Revoked) -> Result<(), Status> {
        let why = match () {
            () if revoked.contains(&self.serial) => "was revoked",
            () if Instant::now() >= self.until => "has expired",
            () => return Ok(()),
        };
        let Self { node, serial, .. } = self;
        Err(Status::permission_denied(format!("the certificate {serial} of node `{node}` {why}")))
    }

    /// Waits until the certificate is good no more, and tells why.
    pub(crate) async fn ends(&self, mut revoked: watch::Receiver<Revoked>) -> Status {
        loop {
            if let Err(status) = self.stands(&revoked.borrow_and_update()) {
                return status;
            }
            tokio::select! {
                () = tokio::time::sleep_until(self.until) => {}
                changed = revoked.changed() => if changed.is_err() {
                    return std::future::pending().await;
                }
            }
        }
    }
}

/// As much of a client's own text as a message has room for.
fn clip(text: &str) -> String {
    text.chars().take(128).flat_map(char::escape_debug).collect()
}
