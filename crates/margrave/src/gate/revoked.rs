//! What was revoked, from whichever process, told to the streams of this one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use model::Millis;
use store::Nodes;
use xds::Ads;

use crate::clock;

/// Between two looks at the store: one step of an index.
const LOOK: Duration = Duration::from_millis(250);

/// Follows for ever. A store that cannot be read changes nothing.
pub async fn follow(nodes: &dyn Nodes, proxies: &Ads) {
    let mut known: BTreeMap<String, Millis> = BTreeMap::new();
    let mut after = 0;
    loop {
        let now = clock::now();
        match nodes.revocations(after, now).await {
            Ok(news) if news.is_empty() => {}
            Ok(news) => {
                after = news.last().map_or(after, |last| last.seq);
                known.retain(|_, not_after| *not_after > now);
                known.extend(news.into_iter().map(|it| (it.serial, it.not_after)));
                tracing::info!(certificates = known.len(), "certificates are revoked");
                proxies.revoke(Arc::new(known.keys().cloned().collect()));
                continue;
            }
            Err(error) => tracing::debug!(%error, "revocations were not read"),
        }
        tokio::time::sleep(LOOK).await;
    }
}
