//! A store in a temporary folder, and the wall clock.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use model::Millis;
use store::Clock;
use store::contract::{State, Subject};
use store::sqlite::{Options, Sqlite};

/// A SQLite store that goes away with its folder.
pub(crate) struct OnDisk {
    folder: tempfile::TempDir,
}

impl OnDisk {
    pub(crate) fn fresh() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder") }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("store.db")
    }

    pub(crate) fn sqlite(&self) -> Sqlite {
        Sqlite::open(self.path(), Options::new(clock())).expect("opens")
    }
}

#[async_trait]
impl Subject for OnDisk {
    async fn open(&self) -> Arc<dyn State> {
        Arc::new(self.sqlite())
    }

    fn now(&self) -> Millis {
        now()
    }
}

#[expect(clippy::disallowed_methods, reason = "here is where time is handed in")]
pub(crate) fn now() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    Millis::try_from(since.as_millis()).expect("before the year 292,278,994")
}

pub(crate) fn clock() -> Clock {
    Arc::new(now)
}
