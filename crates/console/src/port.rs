//! What the console shows of the control plane, in its own words; the binary wires it.

use async_trait::async_trait;
use model::InstanceId;
use serde::Serialize;

/// How an instance stands in the fleet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Standing {
    /// The latest published revision.
    pub revision: u64,
    /// The revision that proxies are given.
    pub served: Option<u64>,
    /// Why these differ.
    pub quarantine: Option<String>,
    /// What its team should know.
    pub notices: Vec<String>,
    /// How many proxies have the latest revision; absent when they refuse it.
    pub have: Option<usize>,
    /// Of how many that are connected and heard from.
    pub ready: Option<usize>,
}

/// A view of the control plane. Nothing here changes anything, or waits.
#[async_trait]
pub trait View: Send + Sync {
    /// How an instance stands; `None` when it is not published.
    async fn standing(&self, id: &InstanceId) -> Option<Standing>;
}
