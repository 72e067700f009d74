//! What waits for the proxies, and holds no worker: watched by a task that sleeps, and made due when
//! they have followed, so that its success is told at once. A watch that is lost costs no more than
//! the time until the next look.

use std::time::Duration;

use model::{Millis, OperationId};

use super::Worker;
use crate::Convergence;
use crate::carry::Awaited;

/// An operation that was left to wait.
#[derive(Debug)]
pub(super) struct Parked {
    operation: OperationId,
    awaits: Awaited,
    until: Millis,
}

impl Parked {
    pub(super) fn new(operation: OperationId, awaits: Awaited, until: Millis) -> Self {
        Self { operation, awaits, until }
    }

    /// Waits until the fleet has something to tell, or until the next look.
    pub(super) async fn watch(self, worker: &Worker) {
        let left = self.until.saturating_sub(worker.now()).max(0).unsigned_abs();
        let Awaited { instance, revision } = &self.awaits;
        let fleet = &worker.ports.fleet;
        let told = fleet.converged(instance, *revision, Duration::from_millis(left)).await;
        if matches!(told, Convergence::Behind { .. }) {
            return;
        }
        if let Err(error) = worker.ports.queue.wake(&self.operation, worker.now()).await {
            tracing::warn!(operation = %self.operation, %error, "not woken; it will be looked at");
        }
    }
}
