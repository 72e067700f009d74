//! Watches over one job: extends its lease while it moves, and drops it at once when the lease is
//! lost, so that two workers never carry out one operation for longer than they must.

use std::sync::atomic::Ordering;
use std::time::Duration;

use store::{Lease, StoreError};

use super::Worker;
use super::parked::Parked;
use crate::carry::{Left, POISON, Watch, carry, is_poison};
use crate::config::millis;
use crate::metrics;

/// Tries of an operation that cannot be read or written, spread over half an hour.
const UNREADABLE_TRIES_MAX: u32 = 5;
/// Before the second of them, in half; doubled before each further one.
const UNREADABLE_AGAIN_MS: i64 = 60_000;
/// Doublings of the pause between two tries of a store that does not answer.
const PAUSE_DOUBLINGS_MAX: u32 = 5;
/// The first such pause.
const PAUSE: Duration = Duration::from_millis(100);

/// Carries out a job under its lease, and gives the lease back when it is to be taken up later;
/// what the fleet could tell that would have it taken up sooner.
pub(super) async fn guard(worker: &Worker, lease: Lease, watch: &Watch) -> Option<Parked> {
    let operation = &lease.job.operation_id;
    watch.moved_at.store(worker.now(), Ordering::Relaxed);
    let is_poison = is_poison(&lease);
    let left = tokio::select! {
        biased;
        lost = heartbeat(worker, &lease, watch) => Err(lost),
        lost = told_to_stop(worker, &lease, watch) => Err(lost),
        left = persist(worker, &lease, watch), if !is_poison => left,
        lost = bury(worker, &lease, POISON), if is_poison => Err(lost),
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
            Err(error) => return Err(unreadable(worker, lease, &error).await),
        }
    }
}

/// What cannot be read, or written, may be so again once the release that wrote it is back: it is
/// tried a few times, ever more rarely, and then ended for all to see.
async fn unreadable(worker: &Worker, lease: &Lease, error: &StoreError) -> &'static str {
    let operation = &lease.job.operation_id;
    metrics::store_failed();
    tracing::error!(%operation, %error, tries = lease.tries, "cannot be carried out");
    if lease.tries >= UNREADABLE_TRIES_MAX {
        let why = "the platform cannot read what it has stored of this operation";
        return bury(worker, lease, why).await;
    }
    // Held without being worked on, so that the next lease counts this one.
    let again = worker.now() + (UNREADABLE_AGAIN_MS << lease.tries);
    if let Err(error) = worker.ports.queue.extend(&lease.fence, again).await {
        tracing::warn!(%operation, %error, "a lease was not extended");
    }
    "unreadable"
}

/// Ends what cannot be carried out.
async fn bury(worker: &Worker, lease: &Lease, why: &str) -> &'static str {
    let operation = &lease.job.operation_id;
    match worker.ports.queue.bury(&lease.fence, why, worker.now()).await {
        Ok(()) => tracing::error!(%operation, why, "an operation was given up"),
        Err(error) => tracing::error!(%operation, %error, "an operation cannot even be given up"),
    }
    "buried"
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
