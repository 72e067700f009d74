//! What the tests of this crate share.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use store::{Blobs, StoreError};
use tokio::sync::Notify;

/// Blobs in memory, and news of each write.
#[derive(Default)]
pub(crate) struct Kept(Mutex<BTreeMap<String, Vec<u8>>>, pub(crate) Notify);

impl Kept {
    fn with<T>(&self, act: impl FnOnce(&mut BTreeMap<String, Vec<u8>>) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[async_trait::async_trait]
impl Blobs for Kept {
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.with(|kept| kept.get(key).cloned()))
    }
    async fn put(&self, key: &str, value: &[u8]) -> Result<(), StoreError> {
        self.with(|kept| kept.insert(key.to_owned(), value.to_vec()));
        self.1.notify_one();
        Ok(())
    }
    async fn delete(&self, key: &str) -> Result<(), StoreError> {
        self.with(|kept| kept.remove(key));
        Ok(())
    }
    async fn list(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        Ok(self.with(|kept| kept.keys().filter(|key| key.starts_with(prefix)).cloned().collect()))
    }
}
