//! A backup: one file with a line of what it is, a line that tells of the store in it, and the
//! store itself, as it was at one moment.

mod difference;
mod restore;
mod shut_out;

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use model::Millis;
use rusqlite::{Connection, OpenFlags};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use difference::{Difference, Named, Reopened};
pub use restore::{Order, Ready, Replaced, Restored, prepare, restore};

use super::{OpenError, audit, open, schema};
use crate::chain::Hash;
use crate::{AuditHead, StoreError};

/// The first line of a backup.
const MAGIC: &str = "margrave-backup 1";
/// The longest second line, in bytes; a wrapped keyring has some kilobytes.
const MANIFEST_BYTES_MAX: u64 = 1 << 20;
/// Read at a time, in bytes.
const CHUNK_BYTES: usize = 1 << 16;

/// What a backup says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// The release that made it.
    pub release: String,
    /// When, in milliseconds since the Unix epoch.
    pub at: Millis,
    /// The store's schema.
    pub schema: usize,
    /// The store's epoch.
    pub epoch: u64,
    /// The revision last published.
    pub revision: u64,
    /// Instances that are not deleted.
    pub instances: u64,
    /// The last entry of the audit log, as `SEQ:HASH`.
    pub audit_head: String,
    /// The length of the store in bytes.
    pub bytes: u64,
    /// The SHA-256 of the store.
    pub sha256: String,
    /// The keys of secrets, wrapped by a passphrase.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keyring: Option<String>,
}

/// Why there is no backup, or none was restored. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// A file cannot be used.
    #[error("cannot use {}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is something else.
    #[error("{} is no backup of this product: it does not begin with `{MAGIC}`", .0.display())]
    NotABackup(PathBuf),
    /// It is not what was written.
    #[error("the backup is damaged: {0}")]
    Damaged(String),
    /// There is a store already.
    #[error(
        "{} exists: restoring would take the place of a living state. With --replace it is moved \
         aside first", .0.display()
    )]
    Occupied(PathBuf),
    /// Somebody reads the store that is to be replaced, and does not end.
    #[error(
        "another process has been reading {} for long, so that it cannot be moved aside whole: end that, and restore \
         again", .0.display()
    )]
    Read(PathBuf),
    /// A store cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A store cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<rusqlite::Error> for BackupError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Open(error.into())
    }
}

impl Manifest {
    /// The lines that come before the store.
    pub fn header(&self) -> String {
        let manifest = serde_json::to_string(self).unwrap_or_default();
        format!("{MAGIC}\n{manifest}\n")
    }

    /// Whether the store that followed is the one that is told of.
    fn check(&self, bytes: u64, sha256: &str) -> Result<(), BackupError> {
        if bytes != self.bytes {
            let said = self.bytes;
            return Err(BackupError::Damaged(format!("it holds {bytes} bytes and says {said}")));
        }
        if sha256 != self.sha256 {
            return Err(BackupError::Damaged("its checksum is another than it says".to_owned()));
        }
        Ok(())
    }

    /// Reads those lines, and leaves `file` where the store begins.
    ///
    /// # Errors
    /// It is no backup, or one that this release cannot read.
    pub fn read(path: &Path, file: &mut impl BufRead) -> Result<Self, BackupError> {
        let failed = |source| BackupError::File { path: path.to_owned(), source };
        let mut magic = Vec::new();
        file.take(MAGIC.len() as u64 + 1).read_until(b'\n', &mut magic).map_err(failed)?;
        if magic != format!("{MAGIC}\n").as_bytes() {
            return Err(BackupError::NotABackup(path.to_owned()));
        }
        let mut line = Vec::new();
        file.take(MANIFEST_BYTES_MAX).read_until(b'\n', &mut line).map_err(failed)?;
        serde_json::from_slice(&line)
            .map_err(|error| BackupError::Damaged(format!("its second line: {error}")))
    }
}

/// Copies the store at `database`, which may be in use, as it is at this moment, to `scratch`, which
/// is made anew for its owner alone; and tells what a backup of it says. Writers are not waited
/// for, and do not wait.
///
/// # Errors
/// Either file cannot be used, or the store is damaged.
pub fn copy(database: &Path, scratch: &Path, at: Millis) -> Result<Manifest, BackupError> {
    let failed = |source| BackupError::File { path: scratch.to_owned(), source };
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    if !database.exists() {
        let source = std::io::ErrorKind::NotFound.into();
        return Err(BackupError::File { path: database.to_owned(), source });
    }
    let conn = Connection::open_with_flags(database, flags)?;
    open::private(scratch).and_then(|file| file.set_len(0)).map_err(failed)?;
    conn.execute("VACUUM INTO ?1", [scratch.to_string_lossy()])?;
    drop(conn);
    let mut conn = Connection::open(scratch)?;
    schema::migrate(&mut conn)?;
    let told = tell(&conn)?;
    conn.close().map_err(|(_, error)| error)?;
    let file = File::open(scratch).map_err(failed)?;
    file.sync_all().map_err(failed)?;
    let (bytes, sha256) = digest(BufReader::new(file)).map_err(failed)?;
    let release = schema::RELEASE.to_owned();
    Ok(Manifest { release, at, bytes, sha256, keyring: None, ..told })
}

/// Reads a whole backup, and tells what it says of itself.
///
/// # Errors
/// It is no backup, or damaged.
pub fn read(path: &Path) -> Result<Manifest, BackupError> {
    let failed = |source| BackupError::File { path: path.to_owned(), source };
    let mut file = BufReader::with_capacity(CHUNK_BYTES, File::open(path).map_err(failed)?);
    let manifest = Manifest::read(path, &mut file)?;
    let (bytes, sha256) = digest(file).map_err(failed)?;
    manifest.check(bytes, &sha256)?;
    Ok(manifest)
}

/// What a store says of itself.
fn tell(conn: &Connection) -> Result<Manifest, BackupError> {
    let (epoch, revision) = conn
        .query_row("SELECT epoch, revision FROM meta", [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let living = "SELECT count(*) FROM instances WHERE state NOT IN ('deleted', 'failed')";
    Ok(Manifest {
        release: String::new(),
        at: 0,
        schema: schema::version(conn)?,
        epoch,
        revision,
        instances: conn.query_row(living, [], |row| row.get(0))?,
        audit_head: audit::head(conn)?.to_string(),
        bytes: 0,
        sha256: String::new(),
        keyring: None,
    })
}

fn digest(mut file: impl Read) -> std::io::Result<(u64, String)> {
    let (mut digest, mut bytes, mut chunk) = (Sha256::new(), 0, vec![0; CHUNK_BYTES]);
    loop {
        let read = file.read(&mut chunk)?;
        if read == 0 {
            return Ok((bytes, Hash(digest.finalize().into()).to_string()));
        }
        bytes += read as u64;
        digest.update(&chunk[..read]);
    }
}

/// The head of a log that has one.
fn parse_head(text: &str) -> Option<AuditHead> {
    text.parse().ok()
}
