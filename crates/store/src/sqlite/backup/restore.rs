//! Restoring: everything is checked and made ready beside, and only then takes the old one's place.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use model::{AuditEntry, Millis, Requester};
use rusqlite::{Connection, TransactionBehavior, params};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::super::request::Tx;
use super::super::{OpenError, audit, audit_file, open, schema};
use super::{
    BackupError, CHUNK_BYTES, Difference, Manifest, difference, parse_head, shut_out, tell,
};
use crate::chain::{Check, Hash, RESTORE};

/// What is to be restored, and to where.
#[derive(Debug, Clone)]
pub struct Order<'a> {
    /// The backup.
    pub backup: &'a Path,
    /// The file of the store.
    pub database: &'a Path,
    /// The folder that a store already there is moved to; without it, such a store is refused.
    pub aside: Option<&'a Path>,
    /// Now.
    pub at: Millis,
    /// Who restores, for the audit log.
    pub by: Requester,
}

/// What was restored.
#[derive(Debug, Clone)]
pub struct Restored {
    /// What the backup said of itself.
    pub manifest: Manifest,
    /// The epoch from now on.
    pub epoch: u64,
    /// Operations that were in progress, and go on.
    pub in_progress: u64,
    /// The ids of the keys that private keys of callers and of the authority are sealed with.
    pub sealed_with: Vec<String>,
    /// The store whose place it took.
    pub replaced: Option<Replaced>,
}

/// A store that was moved aside.
#[derive(Debug, Clone)]
pub struct Replaced {
    /// To where.
    pub database: PathBuf,
    /// Its epoch and the revision last published, and the head of its audit log; unless it could
    /// not be read.
    pub told: Option<(u64, u64, String)>,
    /// What was done in it after the backup, unless it could not be read.
    pub difference: Option<Difference>,
}

/// A backup that can take the place of a store: everything is checked, and made ready beside it. What is
/// there is untouched until [`Ready::take_place`]; what is never asked to goes away with this.
#[derive(Debug)]
pub struct Ready {
    database: PathBuf,
    beside: Beside,
    /// What there will be.
    pub restored: Restored,
    _lock: File,
}

/// Restores a backup.
///
/// # Errors
/// The backup is damaged, of a newer release, or there is a store in use or in the way. What was
/// there before is untouched.
pub fn restore(order: &Order<'_>) -> Result<Restored, BackupError> {
    let ready = prepare(order)?;
    ready.keep_old()?;
    ready.take_place()?;
    Ok(ready.restored)
}

/// Makes a backup ready to take its place.
///
/// # Errors
/// The backup is damaged, of a newer release, or there is a store in use or in the way.
pub fn prepare(order: &Order<'_>) -> Result<Ready, BackupError> {
    let Order { backup, database, aside, .. } = *order;
    let lock = open::lock(database)?;
    if database.exists() && aside.is_none() {
        return Err(BackupError::Occupied(database.to_owned()));
    }
    let beside = Beside(with_suffix(database, ".restoring"));
    let manifest = unpack(backup, &beside.0)?;
    let mut replaced = database.exists().then(|| examine(database, &beside.0)).transpose()?;
    if let (Some(replaced), Some(aside)) = (&mut replaced, aside) {
        replaced.database = aside.join(database.file_name().unwrap_or_default());
    }
    let restored = begin(&beside.0, order, manifest, replaced)?;
    sync(&beside.0)?;
    Ok(Ready { database: database.to_owned(), beside, restored, _lock: lock })
}

impl Ready {
    /// Keeps the store whose place will be taken, where [`Replaced`] says; it stays in its place, too: at no
    /// moment is there none.
    ///
    /// # Errors
    /// There is something already.
    pub fn keep_old(&self) -> Result<(), BackupError> {
        let Some(Replaced { database: to, .. }) = &self.restored.replaced else { return Ok(()) };
        let failed = |source| BackupError::File { path: to.clone(), source };
        let folder = to.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder).map_err(failed)?;
        if to.exists() {
            return Err(failed(std::io::ErrorKind::AlreadyExists.into()));
        }
        if std::fs::hard_link(&self.database, to).is_err() {
            std::fs::copy(&self.database, to).map_err(failed)?;
        }
        sync(folder)
    }

    /// It is the store from now on.
    ///
    /// # Errors
    /// A file cannot be moved. The old one is still in its place.
    pub fn take_place(&self) -> Result<(), BackupError> {
        if let Some(Replaced { database: to, .. }) = &self.restored.replaced {
            self.move_log(to)?;
        }
        let database = &self.database;
        let failed = |source| BackupError::File { path: database.clone(), source };
        std::fs::rename(&self.beside.0, database).map_err(failed)?;
        sync(database.parent().unwrap_or(Path::new(".")))?;
        let Restored { manifest, epoch, .. } = &self.restored;
        tracing::info!(epoch, of = manifest.at, "restored");
        Ok(())
    }

    /// The log of what was replaced, in which nothing is that its file lacks, unless that cannot be read.
    fn move_log(&self, to: &Path) -> Result<(), BackupError> {
        for suffix in ["-wal", "-shm"] {
            let log = with_suffix(&self.database, suffix);
            let failed = |source| BackupError::File { path: log.clone(), source };
            if log.exists() {
                std::fs::rename(&log, with_suffix(to, suffix)).map_err(failed)?;
            }
        }
        Ok(())
    }
}

/// A file that goes when it is not needed, or no more: what is half made helps nobody.
#[derive(Debug)]
struct Beside(PathBuf);

impl Drop for Beside {
    fn drop(&mut self) {
        // It is not there once it has taken its place.
        let _ = std::fs::remove_file(&self.0);
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn sync(path: &Path) -> Result<(), BackupError> {
    let failed = |source| BackupError::File { path: path.to_owned(), source };
    File::open(path).and_then(|file| file.sync_all()).map_err(failed)
}

/// Writes the store of a backup to `beside`, if it is whole and can be read.
fn unpack(backup: &Path, beside: &Path) -> Result<Manifest, BackupError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| BackupError::File { path, source }
    };
    let mut file =
        BufReader::with_capacity(CHUNK_BYTES, File::open(backup).map_err(failed(backup))?);
    let manifest = Manifest::read(backup, &mut file)?;
    if manifest.schema > schema::MIGRATIONS.len() {
        let (found, release) = (manifest.schema, Some(manifest.release));
        return Err(OpenError::Newer { found, known: schema::MIGRATIONS.len(), release }.into());
    }
    let mut out = open::private(beside).map_err(failed(beside))?;
    out.set_len(0).map_err(failed(beside))?;
    let (mut digest, mut bytes) = (Sha256::new(), 0);
    loop {
        let chunk = file.fill_buf().map_err(failed(backup))?;
        if chunk.is_empty() {
            break;
        }
        digest.update(chunk);
        out.write_all(chunk).map_err(failed(beside))?;
        bytes += chunk.len() as u64;
        let read = chunk.len();
        file.consume(read);
    }
    manifest.check(bytes, &Hash(digest.finalize().into()).to_string())?;
    inspect(beside, &manifest)?;
    Ok(manifest)
}

/// Whether the store can be read, and its audit log is what was written.
fn inspect(beside: &Path, manifest: &Manifest) -> Result<(), BackupError> {
    let conn = Connection::open(beside)?;
    let sound: String = conn.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if sound != "ok" {
        return Err(BackupError::Damaged(sound));
    }
    drop(conn);
    let heads = parse_head(&manifest.audit_head).filter(|head| head.seq > 0).into_iter().collect();
    match audit_file::verify(beside, Check::new(heads))? {
        Ok(_) => Ok(()),
        Err(broken) => Err(BackupError::Damaged(format!("its audit log: {broken}"))),
    }
}

/// What is about to be replaced. A store that cannot be read is replaced all the same: that may be
/// why it is. One that somebody reads for long is not.
fn examine(database: &Path, beside: &Path) -> Result<Replaced, BackupError> {
    let conn = Connection::open(database)?;
    conn.busy_timeout(open::STRANGER_WAIT)?;
    // So that the file alone is all of it, and one renaming replaces it whole.
    match conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0)) {
        Ok(false) => {}
        Ok(true) => return Err(BackupError::Read(database.to_owned())),
        Err(error) => tracing::warn!(%error, "the old store's log cannot be copied into its file"),
    }
    let told = tell(&conn).ok().map(|told| (told.epoch, told.revision, told.audit_head));
    drop(conn);
    let difference = difference::between(database, beside).ok();
    Ok(Replaced { database: PathBuf::new(), told, difference })
}

/// A restored store is another one than it was: its epoch is higher than all before, so that what
/// proxies are given is newer than all that they have; and its audit log says so.
fn begin(
    beside: &Path,
    order: &Order<'_>,
    manifest: Manifest,
    mut replaced: Option<Replaced>,
) -> Result<Restored, BackupError> {
    let mut conn = Connection::open(beside)?;
    schema::migrate(&mut conn)?;
    let told = replaced.as_ref().and_then(|replaced| replaced.told.clone());
    // One that cannot be read has nothing that could be kept.
    let known = replaced.as_mut().and_then(|replaced| replaced.difference.as_mut());
    if known.is_some() {
        shut_out::attach(&conn, order.database)?;
    }
    let told = told.as_ref();
    let epoch = told.map_or(0, |told| told.0).max(manifest.epoch) + 1;
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let shut_out = match known {
        Some(difference) if shut_out::carry(&tx, order.at)? => {
            difference.keep_shut_out();
            difference.shut_out.clone()
        }
        _ => Vec::new(),
    };
    tx.execute(
        "UPDATE main.meta SET epoch = ?1, writer = lower(hex(randomblob(8))), \
         ahead_revision = CASE WHEN ahead_epoch IS NULL THEN ?3 ELSE ahead_revision END, \
         ahead_epoch = coalesce(ahead_epoch, ?2)",
        params![epoch, manifest.epoch, manifest.revision],
    )?;
    let entry = AuditEntry {
        by: order.by.clone(),
        action: RESTORE.to_owned(),
        object: "platform".to_owned(),
        owner: None,
        detail: json!({
            "backup": {"at": manifest.at, "epoch": manifest.epoch, "revision": manifest.revision,
                       "head": manifest.audit_head, "release": manifest.release},
            "replaced": told.map(|(epoch, revision, head)| {
                json!({"epoch": epoch, "revision": revision, "head": head})
            }),
            "epoch": epoch,
            "shut_out": shut_out,
        }),
    };
    audit::append(&Tx::of(&tx), order.at, &entry)?;
    tx.commit()?;
    let open = "SELECT count(*) FROM operations WHERE state = 'in progress'";
    let in_progress = conn.query_row(open, [], |row| row.get(0))?;
    let sealed_with = sealed_with(&conn)?;
    conn.close().map_err(|(_, error)| error)?;
    Ok(Restored { manifest, epoch, in_progress, sealed_with, replaced })
}

fn sealed_with(conn: &Connection) -> Result<Vec<String>, BackupError> {
    let sql =
        "SELECT sealed_by FROM main.bindings UNION SELECT sealed_by FROM main.authority ORDER BY 1";
    let mut statement = conn.prepare(sql)?;
    let keys = statement.query_map([], |row| row.get(0))?;
    Ok(keys.collect::<rusqlite::Result<_>>()?)
}
