//! Answers that were written out, for all who poll the same: a fleet does so within moments.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::OnceCell;

/// Answers that are kept. Beyond it all are forgotten: what is still polled is written again once.
const SHEETS_MAX: usize = 256;
/// Their bytes.
const BYTES_MAX: usize = 128 << 20;

/// Type and digest: what is the same is written the same, in whatever group.
pub(super) type Key = (Arc<str>, u64);

/// The answers.
#[derive(Default)]
pub(super) struct Sheets(Mutex<HashMap<Key, Arc<OnceCell<Bytes>>>>);

impl Sheets {
    /// The answer of a key, written by the first who asks; others wait for that one.
    pub(super) async fn get(
        &self,
        key: Key,
        write: impl FnOnce() -> Result<Bytes, String> + Send + 'static,
    ) -> Result<Bytes, String> {
        let cell = {
            let mut sheets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let bytes = sheets.values().filter_map(|cell| cell.get()).map(Bytes::len);
            if sheets.len() >= SHEETS_MAX || bytes.sum::<usize>() > BYTES_MAX {
                sheets.clear();
            }
            sheets.entry(key).or_default().clone()
        };
        let written = cell.get_or_try_init(|| async {
            // A large world takes a while, in which others are to be served.
            let writing = tokio::task::spawn_blocking(write).await;
            writing.unwrap_or_else(|_| Err("it could not be written".to_owned()))
        });
        written.await.cloned()
    }
}
