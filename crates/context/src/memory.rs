//! What names led to, kept over a restart: a plane that comes up while name servers are down must
//! not empty the endpoints of proxies that serve well.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::time::Duration;

use store::{Blobs, StoreError};

use crate::Resolver;

/// Where the answers are kept.
const KEY: &str = "resolver/answers";
/// Changed answers are written at most this often.
const WRITE_EVERY: Duration = Duration::from_secs(2);

impl Resolver {
    /// Reads the answers of an earlier life. They are used until a name is answered anew.
    pub async fn recall(&self, blobs: &dyn Blobs) -> Result<(), StoreError> {
        let Some(bytes) = blobs.get(KEY).await? else { return Ok(()) };
        match serde_json::from_slice::<HashMap<String, Vec<IpAddr>>>(&bytes) {
            Ok(answers) => self.table().remembered = answers,
            // Only a help: without it names are looked up, as at a first start.
            Err(error) => {
                tracing::warn!(%error, "remembered addresses are unreadable, and ignored")
            }
        }
        Ok(())
    }

    /// Writes answers down as they change, until the future is dropped.
    pub async fn remember(&self, blobs: &dyn Blobs) {
        loop {
            tokio::time::sleep(WRITE_EVERY).await;
            let Some(bytes) = self.unwritten() else { continue };
            if let Err(error) = blobs.put(KEY, &bytes).await {
                tracing::warn!(%error, "addresses are not remembered");
                self.table().dirty = true;
            }
        }
    }

    fn unwritten(&self) -> Option<Vec<u8>> {
        let mut table = self.table();
        if !std::mem::take(&mut table.dirty) {
            return None;
        }
        let answers: BTreeMap<&str, &[IpAddr]> = table.answers().collect();
        serde_json::to_vec(&answers).ok()
    }
}
