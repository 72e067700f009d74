//! The store of another process, only read: for replicas of the control plane.
//!
//! Its file may be missing, or unreadable, or another than a moment ago (a restore puts one in the
//! place of the old): each read looks which it is, and what cannot be read now may be read later. Its disk
//! may hang: all of that happens on a thread of its own, and what is late counts as what cannot be read.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use model::Millis;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::aside::Aside;
use super::reader::keep_statements;
use super::{authority, blobs, editions, feed, nodes, recovery, schema};
use crate::{
    Blobs, Changes, Cursor, EditionFeed, Feed, KeptAuthority, NodeFeed, Revocation, Standing,
    StoreError,
};

/// How long a read waits for the log to be recovered by another process.
const BUSY: Duration = Duration::from_secs(1);

/// The feed and the documents of a store that another process writes.
pub struct Follower(Aside);

/// A connection to the file that was there.
pub(super) struct Opened {
    file: (u64, u64),
    conn: Connection,
}

impl Opened {
    /// A connection to the file that is there now.
    pub(super) fn of<'a>(
        open: &'a mut Option<Self>,
        path: &Path,
    ) -> Result<&'a Connection, StoreError> {
        let failed =
            |error: String| StoreError::Unavailable(format!("{}: {error}", path.display()));
        let found = std::fs::metadata(path).map_err(|error| failed(error.to_string()))?;
        let file = (found.dev(), found.ino());
        let kept = open.take().filter(|opened| opened.file == file);
        let opened = match kept {
            Some(opened) => opened,
            None => Self { file, conn: connect(path).map_err(failed)? },
        };
        Ok(&open.insert(opened).conn)
    }
}

impl Follower {
    /// Of the store at `path`, which need not be there (yet).
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(Aside::of(path.into()))
    }
}

/// Reads only, and yet may recover a log that a process which was killed has left.
fn connect(path: &Path) -> Result<Connection, String> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let open = || {
        let conn = Connection::open_with_flags(path, flags)?;
        conn.busy_timeout(BUSY)?;
        conn.pragma_update(None, "query_only", true)?;
        // The log is its writer's: whoever goes last here leaves it as it is.
        conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        keep_statements(&conn)?;
        Ok(conn)
    };
    let conn = open().map_err(|error: rusqlite::Error| error.to_string())?;
    schema::check(&conn)?;
    Ok(conn)
}

#[async_trait]
impl Feed for Follower {
    async fn epoch(&self) -> Result<u64, StoreError> {
        Ok(self.0.read(feed::opening).await?.0)
    }

    async fn changes(&self, cursor: Option<Cursor>, limit: usize) -> Result<Changes, StoreError> {
        self.0.read(move |conn| feed::changes(conn, cursor.as_ref(), limit)).await
    }

    async fn changed(&self, cursor: &Cursor, timeout: Duration) {
        let seen = feed::Position::of(cursor).map(|seen| (seen.epoch, seen.revision));
        // What cannot be read now is no news: the next read will tell why.
        let is_news =
            move |conn: &Connection| feed::opening(conn).is_ok_and(|last| seen != Some(last));
        self.0.wait(timeout, is_news).await;
    }

    fn may_lag(&self) -> bool {
        true
    }

    async fn restored_from(&self) -> Result<Option<(u64, u64)>, StoreError> {
        self.0.read(recovery::restored_from).await
    }
}

#[async_trait]
impl EditionFeed for Follower {
    async fn edition(&self, number: u64) -> Result<Option<Vec<u8>>, StoreError> {
        self.0.read(move |conn| editions::content(conn, number)).await
    }

    async fn standing(&self) -> Result<Standing, StoreError> {
        self.0.read(editions::now).await
    }
}

#[async_trait]
impl NodeFeed for Follower {
    async fn authority(&self) -> Result<Option<KeptAuthority>, StoreError> {
        self.0.read(authority::get).await
    }

    async fn revocations(&self, after: i64, now: Millis) -> Result<Vec<Revocation>, StoreError> {
        self.0.read(move |conn| nodes::revocations(conn, after, now)).await
    }
}

#[async_trait]
impl Blobs for Follower {
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let key = key.to_owned();
        self.0.read(move |conn| blobs::get(conn, &key)).await
    }

    async fn put(&self, _: &str, _: &[u8]) -> Result<(), StoreError> {
        Err(StoreError::Unavailable("this process only reads it".to_owned()))
    }

    async fn delete(&self, _: &str) -> Result<(), StoreError> {
        Err(StoreError::Unavailable("this process only reads it".to_owned()))
    }

    async fn list(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        let prefix = prefix.to_owned();
        self.0.read(move |conn| blobs::list(conn, &prefix)).await
    }
}
