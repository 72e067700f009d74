//! The embedded [`LastGood`]: a file of its own, sealed row by row. Without the keyring a copy of it
//! tells how many owners there are and how large what they have is, and nothing else.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use data_encoding::HEXLOWER;
use keys::{Keyring, Nonce, Place, Sealed, Secret};
use rusqlite::{Connection, OptionalExtension, params};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::good_row;
use super::open::private;
use crate::{Blobs, Good, Kept, LastGood, Mark, StoreError};

/// Where sealed rows lie.
const KIND: &str = "last good";
/// The row of the head.
const HEAD: &str = "head";
/// The form of the rows.
const FORM: u32 = 1;
/// A log that once was longer is cut to this, in bytes.
const LOG_KEPT_BYTES: u32 = 4 << 20;

/// Random bytes for a seal.
pub type NewNonce = Arc<dyn Fn() -> Nonce + Send + Sync>;

/// The file. Cheap to clone.
#[derive(Clone)]
pub struct GoodFile(Arc<Inner>);

struct Inner {
    path: PathBuf,
    conn: Mutex<Connection>,
    ring: Keyring,
    nonce: NewNonce,
    salt: [u8; 32],
}

/// What is known of the file as a whole.
#[derive(Serialize, Deserialize)]
struct Head {
    form: u32,
    mark: Mark,
    /// Names of rows are hashed with it.
    salt: [u8; 32],
}

impl GoodFile {
    /// Opens the file, and makes it if there is none. One that is damaged, or sealed by another keyring, is
    /// set aside (its name with `.bad`) and begun anew; the second says why, if so. `salt`: random bytes, for
    /// a new one.
    ///
    /// # Errors
    /// The file cannot be used now, as there is no permission, no room or no file descriptor: it is left as
    /// it is, for a start that can.
    pub fn open(
        path: &Path,
        ring: Keyring,
        salt: [u8; 32],
        nonce: NewNonce,
    ) -> Result<(Self, Option<String>), StoreError> {
        let (found, ignored) = match read_head(path, &ring) {
            Err(StoreError::Corrupt(why)) => {
                set_aside(path)?;
                (read_head(path, &ring)?, Some(why))
            }
            found => (found?, None),
        };
        let (conn, head) = found;
        let (path, is_new) = (path.to_owned(), head.is_none());
        let salt = head.map_or(salt, |head| head.salt);
        let inner = Inner { path, conn: Mutex::new(conn), ring, nonce, salt };
        if is_new {
            // By its salt alone rows are found again that are written before the first mark.
            inner.write_head(&inner.conn(), (0, 0))?;
        }
        Ok((Self(Arc::new(inner)), ignored))
    }

    /// Forgets what is of the store that was followed, as that is another now: all that was good, and of what
    /// [`OwnBlobs`] has written all but these.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn forget(&self, but: &[&str]) -> Result<(), StoreError> {
        let inner = &self.0;
        let mut conn = inner.conn();
        let tx = conn.transaction()?;
        let names: Vec<_> = but.iter().map(|key| inner.name(["blob", key])).collect();
        let marks = vec!["?"; names.len()].join(", ");
        let delete = format!("DELETE FROM blobs WHERE name NOT IN ({marks})");
        tx.execute(&delete, rusqlite::params_from_iter(names))?;
        tx.execute("DELETE FROM kept", [])?;
        inner.write_head(&tx, (0, 0))?;
        Ok(tx.commit()?)
    }

    async fn aside<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Inner, &mut Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let inner = Arc::clone(&self.0);
        let work = move || {
            let mut conn = inner.conn();
            work(&inner, &mut conn)
        };
        let gone = |error: tokio::task::JoinError| StoreError::Unavailable(error.to_string());
        tokio::task::spawn_blocking(work).await.map_err(gone)?
    }
}

/// The file and what it says of itself; `None` when it is new. `Corrupt`: it will never be read.
fn read_head(path: &Path, ring: &Keyring) -> Result<(Connection, Option<Head>), StoreError> {
    let corrupt = |why: String| StoreError::Corrupt(why);
    private(path).map_err(|error| StoreError::Unavailable(error.to_string()))?;
    let open = || {
        let conn = Connection::open(path)?;
        conn.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
        conn.pragma_update(None, "synchronous", "NORMAL")?;
        conn.pragma_update(None, "journal_size_limit", LOG_KEPT_BYTES)?;
        conn.execute_batch(
            "CREATE TABLE IF NOT EXISTS kept (name TEXT PRIMARY KEY, sealed BLOB NOT NULL) WITHOUT ROWID;
             CREATE TABLE IF NOT EXISTS blobs (name TEXT PRIMARY KEY, sealed BLOB NOT NULL) WITHOUT ROWID;",
        )?;
        let read = "SELECT sealed FROM kept WHERE name = ?1";
        let sealed: Option<Vec<u8>> = conn.query_row(read, [HEAD], |row| row.get(0)).optional()?;
        Ok((conn, sealed))
    };
    let (conn, sealed) = open().map_err(|error: rusqlite::Error| StoreError::from(error))?;
    let Some(sealed) = sealed else { return Ok((conn, None)) };
    let place = Place { kind: KIND, id: HEAD };
    let head = ring.open(place, &Sealed::from_bytes(sealed));
    let head = head.map_err(|error| corrupt(error.to_string()))?;
    let head: Head = serde_json::from_slice(head.expose())?;
    match head.form {
        FORM => Ok((conn, Some(head))),
        other => Err(corrupt(format!("it has the form {other}, and this release reads {FORM}"))),
    }
}

/// Names it `.bad`, with its log, in place of whichever was that before: somebody may want to know.
fn set_aside(path: &Path) -> Result<(), StoreError> {
    let named = |end: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(end);
        name
    };
    for end in ["-shm", "-wal", ""] {
        match std::fs::rename(named(end), named(&format!(".bad{end}"))) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(StoreError::Unavailable(error.to_string()));
            }
            _ => {}
        }
    }
    Ok(())
}

impl Inner {
    fn conn(&self) -> MutexGuard<'_, Connection> {
        self.conn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_head(&self, tx: &Connection, mark: Mark) -> Result<(), StoreError> {
        let head = Head { form: FORM, mark, salt: self.salt };
        self.write(tx, HEAD, serde_json::to_vec(&head)?)
    }

    /// The name of a row, which tells nothing of whose it is.
    fn name(&self, parts: [&str; 2]) -> String {
        let mut hash = Sha256::new_with_prefix(self.salt);
        for part in parts {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        HEXLOWER.encode(&hash.finalize())
    }

    fn seal(&self, name: &str, text: Vec<u8>) -> Result<Sealed, StoreError> {
        let place = Place { kind: KIND, id: name };
        let sealed = self.ring.seal(place, &(self.nonce)(), &Secret::new(text));
        sealed.map_err(|error| StoreError::TooLarge(error.to_string()))
    }

    fn unseal(&self, name: &str, sealed: Vec<u8>) -> Option<Secret> {
        self.ring.open(Place { kind: KIND, id: name }, &Sealed::from_bytes(sealed)).ok()
    }

    fn write(&self, tx: &Connection, name: &str, text: Vec<u8>) -> Result<(), StoreError> {
        let sealed = self.seal(name, text)?;
        tx.prepare_cached("INSERT OR REPLACE INTO kept (name, sealed) VALUES (?1, ?2)")?
            .execute(params![name, sealed.as_bytes()])?;
        Ok(())
    }

    fn keep(&self, conn: &mut Connection, mark: Mark, kept: &[Kept]) -> Result<(), StoreError> {
        let tx = conn.transaction()?;
        self.write_head(&tx, mark)?;
        for one in kept {
            let name = self.name([&one.group, &one.owner]);
            if one.resources.is_empty() {
                tx.prepare_cached("DELETE FROM kept WHERE name = ?1")?.execute([name])?;
            } else {
                self.write(&tx, &name, good_row::encode(one)?)?;
            }
        }
        Ok(tx.commit()?)
    }

    fn read(&self, conn: &Connection) -> Result<Good, StoreError> {
        let mut good = Good::default();
        let mut statement = conn.prepare("SELECT name, sealed FROM kept")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (name, sealed): (String, Vec<u8>) = (row.get(0)?, row.get(1)?);
            let Some(text) = self.unseal(&name, sealed) else {
                good.damaged += 1;
                continue;
            };
            if name == HEAD {
                let head: Option<Head> = serde_json::from_slice(text.expose()).ok();
                good.mark = head.map_or((0, 0), |head| head.mark);
            } else if let Some(kept) = good_row::decode(text.expose()) {
                good.kept.push(kept);
            } else {
                good.damaged += 1;
            }
        }
        Ok(good)
    }
}

#[async_trait]
impl LastGood for GoodFile {
    async fn read(&self) -> Result<Good, StoreError> {
        self.aside(|inner, conn| inner.read(conn)).await
    }

    async fn keep(&self, mark: Mark, kept: Vec<Kept>) -> Result<(), StoreError> {
        self.aside(move |inner, conn| inner.keep(conn, mark, &kept)).await
    }

    async fn bytes(&self) -> u64 {
        std::fs::metadata(&self.0.path).map_or(0, |found| found.len())
    }
}

/// The documents of a store that is only read, and beside them what this process itself writes, in
/// its own file.
pub struct OwnBlobs {
    /// The store's.
    pub store: Arc<dyn Blobs>,
    /// This process's.
    pub own: GoodFile,
}

#[async_trait]
impl Blobs for OwnBlobs {
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let name = key.to_owned();
        let read = move |inner: &Inner, conn: &mut Connection| {
            let name = inner.name(["blob", &name]);
            let mut statement = conn.prepare_cached("SELECT sealed FROM blobs WHERE name = ?1")?;
            let sealed: Option<Vec<u8>> =
                statement.query_row([&name], |row| row.get(0)).optional()?;
            Ok(sealed.and_then(|sealed| inner.unseal(&name, sealed)))
        };
        match self.own.aside(read).await? {
            Some(own) => Ok(Some(own.expose().to_vec())),
            None => self.store.get(key).await,
        }
    }

    async fn put(&self, key: &str, value: &[u8]) -> Result<(), StoreError> {
        super::blobs::check(key, value)?;
        let (key, value) = (key.to_owned(), value.to_vec());
        let write = move |inner: &Inner, conn: &mut Connection| {
            let name = inner.name(["blob", &key]);
            let sealed = inner.seal(&name, value)?;
            conn.prepare_cached("INSERT OR REPLACE INTO blobs (name, sealed) VALUES (?1, ?2)")?
                .execute(params![name, sealed.as_bytes()])?;
            Ok(())
        };
        self.own.aside(write).await
    }

    async fn delete(&self, key: &str) -> Result<(), StoreError> {
        let key = key.to_owned();
        let delete = move |inner: &Inner, conn: &mut Connection| {
            let name = inner.name(["blob", &key]);
            conn.prepare_cached("DELETE FROM blobs WHERE name = ?1")?.execute([name])?;
            Ok(())
        };
        self.own.aside(delete).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        self.store.list(prefix).await
    }
}
