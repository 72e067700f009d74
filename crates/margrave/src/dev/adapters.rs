//! What broker and worker need of the control plane, in their own words.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use model::{InstanceId, Spec};
use plane::Plane;

/// The plane as the worker sees it.
pub struct PlaneFleet(pub Arc<Plane>);

#[async_trait]
impl worker::Fleet for PlaneFleet {
    async fn check(&self, instance: &InstanceId, spec: &Spec) -> Result<(), String> {
        self.0.check(instance, spec)
    }

    async fn converged(
        &self,
        instance: &InstanceId,
        revision: u64,
        within: Duration,
    ) -> worker::Convergence {
        use plane::Convergence as Plane;
        match self.0.converged(instance, revision, within).await {
            Plane::Live { proxies, notice } => worker::Convergence::Live { proxies, notice },
            Plane::Behind { have, ready, why } => worker::Convergence::Behind { have, ready, why },
            Plane::Rejected { reason } => worker::Convergence::Rejected { reason },
        }
    }
}
