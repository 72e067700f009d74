//! Bindings end by themselves: what has expired leaves the change feed, and with it the proxies.

use std::sync::Arc;
use std::time::Duration;

use store::Bindings;
use tokio_util::sync::CancellationToken;

use crate::clock;

/// The longest that is waited between two looks: shorter than any binding lives, so that a new one
/// needs no telling; and a clock that is set is not believed for longer.
const LOOK_MAX: Duration = Duration::from_secs(5);

/// Looks whenever something is due.
pub async fn run(bindings: Arc<dyn Bindings>, stop: CancellationToken) -> anyhow::Result<()> {
    loop {
        let wait = look(bindings.as_ref()).await;
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = stop.cancelled() => return Ok(()),
        }
    }
}

/// How long nothing will be due.
async fn look(bindings: &dyn Bindings) -> Duration {
    let expired = match bindings.expire(clock::now()).await {
        Ok(expired) => expired,
        Err(error) => {
            tracing::warn!(%error, "bindings cannot expire now; tried again in a moment");
            return LOOK_MAX;
        }
    };
    if expired.expired > 0 {
        tracing::info!(bindings = expired.expired, "expired");
    }
    let Some(next) = expired.next else { return LOOK_MAX };
    let wait = next.saturating_sub(clock::now()).max(0).unsigned_abs();
    Duration::from_millis(wait).min(LOOK_MAX)
}
