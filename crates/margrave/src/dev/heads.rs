//! The head of the audit log, told to the log stream: whoever keeps that stream elsewhere can catch
//! also the owner of the store at changing what was written.

use std::sync::Arc;
use std::time::Duration;

use store::{Audit, AuditHead};
use tokio_util::sync::CancellationToken;

/// What happens within it could be changed unseen; a line each is nothing to a log stream.
const EVERY: Duration = Duration::from_secs(60);

/// Tells the head, once there is one: at the start, each minute in which it has changed, and at the end.
pub async fn tell(log: Arc<dyn Audit>, stop: CancellationToken) -> anyhow::Result<()> {
    let mut told = Some(AuditHead::default());
    loop {
        tell_once(log.as_ref(), &mut told).await;
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = stop.cancelled() => break,
        }
    }
    tell_once(log.as_ref(), &mut told).await;
    Ok(())
}

async fn tell_once(log: &dyn Audit, told: &mut Option<AuditHead>) {
    match log.head().await {
        Ok(head) if *told == Some(head) => {}
        Ok(head) => {
            tracing::info!(target: "audit", %head, "audit head");
            *told = Some(head);
        }
        Err(error) => tracing::warn!(%error, "cannot read the head of the audit log"),
    }
}
