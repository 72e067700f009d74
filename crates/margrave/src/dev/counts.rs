//! How many names are reserved and how many bindings there are, told to the metrics.

use std::sync::Arc;
use std::time::Duration;

use store::{Bindings, Teams};
use tokio_util::sync::CancellationToken;

use crate::clock;

/// Reservations last for weeks; and to count is to walk along all of them.
const EVERY: Duration = Duration::from_secs(60);

/// Counts at the start, and each minute; the store keeps the gauges.
pub async fn run(
    teams: Arc<dyn Teams>,
    bindings: Arc<dyn Bindings>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    loop {
        if let Err(error) = teams.reservations(clock::now()).await {
            tracing::warn!(%error, "cannot count the reserved names");
        }
        if let Err(error) = bindings.bindings_count().await {
            tracing::warn!(%error, "cannot count the bindings");
        }
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = stop.cancelled() => return Ok(()),
        }
    }
}
