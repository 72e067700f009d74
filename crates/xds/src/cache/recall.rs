//! Streams that are to end, so that their clients come back and may be served from elsewhere.

use std::collections::BTreeSet;

use tokio::sync::watch;

use super::Cache;
use crate::event::StreamId;

/// Who is recalled and has not ended yet.
#[derive(Debug, Default)]
pub(super) struct Recalls(watch::Sender<BTreeSet<StreamId>>);

impl Cache {
    /// Ends these streams of this cache. A client that comes back says what it has, so that this
    /// costs hardly a byte.
    pub fn recall(&self, streams: impl IntoIterator<Item = StreamId>) {
        self.recalls.0.send_modify(|recalled| recalled.extend(streams));
    }

    /// Completes when this stream is to end.
    pub(crate) async fn recalled(&self, stream: StreamId) {
        let mut news = self.recalls.0.subscribe();
        // The sender lives as long as the cache.
        let _ = news.wait_for(|recalled| recalled.contains(&stream)).await;
        self.recalls.0.send_if_modified(|recalled| {
            recalled.remove(&stream);
            false
        });
    }
}
