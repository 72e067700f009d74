//! How many names are reserved, told to the metrics.

use std::sync::Arc;
use std::time::Duration;

use store::Teams;
use tokio_util::sync::CancellationToken;

use crate::clock;

/// Reservations last for weeks.
const EVERY: Duration = Duration::from_secs(60);

/// Counts at the start, and each minute; the store keeps the gauge.
pub async fn count(teams: Arc<dyn Teams>, stop: CancellationToken) -> anyhow::Result<()> {
    loop {
        if let Err(error) = teams.reservations(clock::now()).await {
            tracing::warn!(%error, "cannot count the reserved names");
        }
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = stop.cancelled() => return Ok(()),
        }
    }
}
