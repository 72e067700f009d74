//! Turns: how much of what clients say at length is in memory at once.
//!
//! A client that comes back says what it has, megabytes of it, and after an outage all come back at
//! once. A large message is therefore not read before its turn, and turns are given, first come
//! first served, as far as a budget of bytes goes; meanwhile it is the client that keeps it, but for
//! what HTTP/2's window lets through. Small messages take no turn, and wait for none.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep};
use tonic::Status;

use crate::limits::Limits;
use crate::metrics;
use crate::speaking::Speaking;

/// A message of more bytes is read in turn. It is what a client may have sent in any case, as far
/// as HTTP/2's window is concerned.
pub(crate) const LARGE_BYTES: usize = 64 << 10;
/// A large message comes at least so fast, or its client makes room for others.
const PACE_BYTES_PER_SECOND: u64 = 64 << 10;
/// A message that has come is taken in at once, unless its cache is not open yet or others of its
/// node are in the way. Whoever waits for such longer than this is in nobody's way.
const KEPT: Duration = Duration::from_secs(30);

/// The budget that a server's streams share.
#[derive(Debug, Clone)]
pub(crate) struct Turns {
    budget: Arc<Semaphore>,
    bytes: u32,
    silence: Duration,
}

/// Completes when it is one's turn. Whoever drops it has left the queue.
pub(crate) type Waiting = Pin<Box<dyn Future<Output = Coming> + Send>>;

/// A large message whose turn it is, while it comes.
#[derive(Debug)]
pub(crate) struct Coming {
    permit: Option<OwnedSemaphorePermit>,
    bytes: usize,
    /// By when all of it must have come.
    ends: Instant,
    /// By when more of it must have come.
    goes_on: Instant,
    silence: Duration,
}

/// The turn of a large message that has come, until it is taken in.
#[derive(Debug)]
pub(crate) struct Turn {
    kept: AbortHandle,
    _speaking: Option<Speaking>,
}

/// Somebody in the queue.
struct Queued;

impl Turns {
    pub(crate) fn new(limits: &Limits) -> Self {
        let most = limits.turns_bytes.min(Semaphore::MAX_PERMITS);
        let bytes = u32::try_from(most).unwrap_or(u32::MAX);
        let budget = Arc::new(Semaphore::new(bytes as usize));
        Self { budget, bytes, silence: limits.turn_silence }
    }

    /// Waits for the turn of a message of so many bytes. One that is larger than all of the budget
    /// comes alone.
    pub(crate) fn wait(&self, bytes: usize) -> Waiting {
        let (budget, silence) = (self.budget.clone(), self.silence);
        let share = u32::try_from(bytes).unwrap_or(u32::MAX).min(self.bytes);
        Box::pin(async move {
            let queued = Queued::new();
            // Nobody closes the budget.
            let permit = budget.acquire_many_owned(share).await.ok();
            drop(queued);
            Coming::new(permit, bytes, silence)
        })
    }

    /// Bytes of the budget that are not taken.
    #[cfg(test)]
    pub(crate) fn free_bytes(&self) -> usize {
        self.budget.available_permits()
    }
}

impl Coming {
    fn new(permit: Option<OwnedSemaphorePermit>, bytes: usize, silence: Duration) -> Self {
        let now = Instant::now();
        let takes = Duration::from_secs(bytes as u64 / PACE_BYTES_PER_SECOND);
        let (ends, goes_on) = (now + silence + takes, now + silence);
        Self { permit, bytes, ends, goes_on, silence }
    }

    /// When its turn is over if nothing comes until then.
    pub(crate) fn patience(&self) -> Instant {
        self.ends.min(self.goes_on)
    }

    /// Some of it has come.
    pub(crate) fn came(&mut self) {
        self.goes_on = Instant::now() + self.silence;
    }

    /// The client stopped in the middle, or is slow.
    pub(crate) fn too_slow(&self) -> Status {
        metrics::stream_ended("turn");
        let bytes = self.bytes;
        Status::deadline_exceeded(format!(
            "a message of {bytes} bytes came too slowly, and others wait for their turn: come back"
        ))
    }

    /// All of it has come.
    pub(crate) fn whole(self, speaking: Option<Speaking>) -> Turn {
        let permit = self.permit;
        let kept = tokio::spawn(async move {
            sleep(KEPT).await;
            drop(permit);
        });
        Turn { kept: kept.abort_handle(), _speaking: speaking }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.kept.abort();
    }
}

impl Queued {
    fn new() -> Self {
        metrics::turns_waiting(1.0);
        Self
    }
}

impl Drop for Queued {
    fn drop(&mut self) {
        metrics::turns_waiting(-1.0);
    }
}
