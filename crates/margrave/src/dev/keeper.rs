//! What operators do with the platform as a whole, for the broker.

use std::io::Cursor;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use broker::{BackupFile, Content, LetGo};
use keys::Secret;
use model::{AuditEntry, Millis};
use plane::Plane;
use store::sqlite::backup;
use store::{Recovery, StoreError};
use tokio::io::AsyncReadExt;

use crate::{clock, wrapped};

/// The keeper of a platform whose state is here.
pub struct Keeper {
    /// Where is written what was decided.
    pub recovery: Arc<dyn Recovery>,
    /// Who carries it out.
    pub plane: Arc<Plane>,
    /// The state folder.
    pub state: PathBuf,
    /// The store.
    pub database: PathBuf,
    /// Where a backup is put together: on the disk that the store is on.
    pub scratch: PathBuf,
}

#[async_trait]
impl broker::Keeper for Keeper {
    async fn backup(&self, passphrase: Option<Secret>) -> Result<BackupFile, String> {
        let (database, scratch) = (self.database.clone(), self.scratch.clone());
        let state = self.state.clone();
        let copy = move || -> anyhow::Result<_> {
            let mut manifest = backup::copy(&database, &scratch, clock::now())?;
            if let Some(passphrase) = passphrase {
                manifest.keyring = wrapped::wrap(&state, &passphrase)?;
            }
            let file = std::fs::File::open(&scratch)?;
            // What is open can be read, and nothing stays behind.
            std::fs::remove_file(&scratch)?;
            Ok((manifest, file))
        };
        let copied = tokio::task::spawn_blocking(copy).await.map_err(|error| error.to_string())?;
        let (manifest, file) = copied.map_err(|error| format!("{error:#}"))?;
        let header = manifest.header().into_bytes();
        let bytes = header.len() as u64 + manifest.bytes;
        let file = tokio::fs::File::from_std(file);
        let content: Content = Box::pin(Cursor::new(header).chain(file));
        Ok(BackupFile { bytes, content })
    }

    async fn confirm_removals(&self, at: Millis, entry: AuditEntry) -> Result<LetGo, StoreError> {
        self.recovery.confirm(at, entry).await?;
        let plane::LetGo { instances, proxies } = self.plane.confirm_removals();
        Ok(LetGo { instances, proxies })
    }
}
