//! Streams whose clients are to be served from elsewhere: they move there, or end, so that their clients
//! come back.

use std::collections::BTreeSet;

use tokio::sync::watch;

use super::Cache;
use crate::event::StreamId;

/// Streams that are recalled at once. Of more the oldest, which have most likely ended already, stay.
const RECALLED_MAX: usize = 10_000;

/// Who is recalled and has not heard of it yet.
#[derive(Debug, Default)]
pub(super) struct Recalls(watch::Sender<BTreeSet<StreamId>>);

/// A stream that listens.
struct Listener<'a> {
    recalls: &'a Recalls,
    stream: StreamId,
}

impl Drop for Listener<'_> {
    fn drop(&mut self) {
        self.recalls.0.send_if_modified(|recalled| {
            recalled.remove(&self.stream);
            false
        });
    }
}

impl Cache {
    /// These streams of this cache move to the one that their client is assigned now, or end. A client
    /// that comes back says what it has, so that this costs hardly a byte.
    pub fn recall(&self, streams: impl IntoIterator<Item = StreamId>) {
        self.recalls.0.send_modify(|recalled| {
            recalled.extend(streams);
            while recalled.len() > RECALLED_MAX {
                recalled.pop_first();
            }
        });
    }

    /// Completes when this stream is to move, or to end.
    pub(crate) async fn recalled(&self, stream: StreamId) {
        let _listener = Listener { recalls: &self.recalls, stream };
        let mut news = self.recalls.0.subscribe();
        // The sender lives as long as the cache.
        let _ = news.wait_for(|recalled| recalled.contains(&stream)).await;
    }
}
