//! Watches over one job: extends its lease while it moves, and drops it at once when the lease is
//! lost, so that two workers never carry out one operation for longer than they must.

use std::sync::atomic::Ordering;
use std::time::Duration;

use store::{Lease, StoreError};

use super::Worker;
use super::parked::Parked;
use crate::carry::{Left, UNREADABLE_AGAIN_MS, Watch, carry};
use crate::config::millis;
use crate::metrics;

/// Doublings of the pause between two tries of a store that does not answer.
const PAUSE_DOUBLINGS_MAX: u32 = 5;
/// The first such pause.
const PAUSE: Duration = Duration::from_millis(100);

/// Carries out a job under its lease, and gives the lease back when it is to be taken up later;
/// what the fleet could tell that would have it taken up sooner.
pub(super) async fn guard(worker: &Worker, lease: Lease, watch: &Watch) -> Option<Parked> {
    let operation = &lease.job.operation_id;
    watch.moved_at.store(worker.now(), Ordering::Relaxed);
    let left = tokio::select! {
        biased;
        lost = heartbeat(worker, &lease, watch) => Err(lost),
        lost = told_to_stop(worker, &lease, watch) => Err(lost),
        left = persist(worker, &lease, watch) => left,
    };
    match left {
        Ok(Left::Ended(_)) => {}
        Ok(Left::Until(at)) => {
            if let Err(error) = worker.ports.queue.release(&lease.fence, at).await {
                tracing::warn!(%operation, %error, "a lease was not given back; it will run out");
            }
            let operation = operation.clone();
            return watch.awaits.get().map(|awaits| Parked::new(operation, awaits.clone(), at));
        }
        Err("fenced") if made_way(worker, &lease).await => {
            metrics::lease_lost("revoked");
            tracing::info!(%operation, "an operation was left to what came in its place");
        }
        Err(lost) => {
            metrics::lease_lost(lost);
            tracing::warn!(%operation, lost, "a job was dropped");
        }
    }
    None
}

/// Ends nothing itself: a step that has begun comes to its end, so that none of its effects can
/// arrive after those of whoever goes on.
async fn told_to_stop(worker: &Worker, lease: &Lease, watch: &Watch) -> &'static str {
    worker.ports.queue.revoked(&lease.fence).await;
    watch.drain.store(true, Ordering::Relaxed);
    std::future::pending().await
}

/// Whether the lease was revoked, and not merely lost: then who waits for its end may begin.
async fn made_way(worker: &Worker, lease: &Lease) -> bool {
    worker.ports.queue.release(&lease.fence, worker.now()).await.is_ok()
}

/// Carries out the job again and again while the store cannot be reached. Nothing is lost by
/// beginning anew from what it has.
async fn persist(worker: &Worker, lease: &Lease, watch: &Watch) -> Result<Left, &'static str> {
    let mut failures = 0;
    loop {
        let limits = &worker.config.limits;
        match carry(&worker.ports, limits, worker.pipelines.as_ref(), lease, watch).await {
            Ok(left) => return Ok(left),
            Err(StoreError::Fenced) => return Err("fenced"),
            Err(error @ StoreError::Unavailable(_)) => {
                failures += 1;
                metrics::store_failed();
                tracing::warn!(operation = %lease.job.operation_id, %error, failures, "not saved");
                tokio::time::sleep(pause(worker, failures)).await;
            }
            // Nothing that waiting a little would mend; nor is it ever given up.
            Err(error) => {
                metrics::store_failed();
                tracing::error!(operation = %lease.job.operation_id, %error, "cannot be carried out");
                return Ok(Left::Until(worker.now() + UNREADABLE_AGAIN_MS));
            }
        }
    }
}

/// Returns when the lease is lost, with the reason.
async fn heartbeat(worker: &Worker, lease: &Lease, watch: &Watch) -> &'static str {
    let mut until = lease.until;
    loop {
        let left = u64::try_from(until - worker.now()).unwrap_or(0);
        tokio::time::sleep(worker.config.beat.min(Duration::from_millis(left))).await;
        let now = worker.now();
        if now >= until {
            return "expired";
        }
        if now - watch.moved_at.load(Ordering::Relaxed) >= millis(worker.config.stuck) {
            return "stuck";
        }
        let longer = now + millis(worker.config.lease);
        match worker.ports.queue.extend(&lease.fence, longer).await {
            Ok(()) => until = longer,
            Err(StoreError::Fenced) => return "fenced",
            Err(error) => tracing::warn!(%error, "a lease was not extended"),
        }
    }
}

/// How long to leave a store alone that has failed this often in a row.
pub(super) fn pause(worker: &Worker, failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(PAUSE_DOUBLINGS_MAX);
    let jitter = (worker.ports.jitter)().clamp(0.0, 1.0);
    (PAUSE * (1 << doublings)).mul_f64(0.5 + jitter / 2.0)
}
