//! Which commits sync, as SQLite itself is told.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use model::OperationKind;
use rusqlite::Connection;
use rusqlite::trace::{TraceEvent, TraceEventCodes};

use super::{Options, Sqlite};
use crate::contract::sample;
use crate::{Blobs, Queue, Store};

/// What a connection was told, as far as it bears on syncing.
#[derive(Default)]
struct Told {
    level: String,
    /// Inside a transaction a change of level means nothing.
    open: bool,
    /// The level of each commit.
    commits: Vec<String>,
}

impl Told {
    fn note(&mut self, sql: &str) {
        if let Some(level) = sql.strip_prefix("PRAGMA synchronous=") {
            assert!(!self.open, "too late for this transaction");
            self.level = level.trim_matches(['\'', ';', ' ']).to_owned();
        } else if sql.starts_with("BEGIN IMMEDIATE") {
            self.open = true;
        } else if sql.starts_with("COMMIT") {
            self.open = false;
            self.commits.push(self.level.clone());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_but_leases_are_synced() {
    let told = Arc::new(Mutex::new(Told::default()));
    let watch = |conn: &mut Connection| {
        let level: i64 = conn.pragma_query_value(None, "synchronous", |row| row.get(0)).unwrap();
        assert_eq!(level, 2, "a store opens with FULL");
        "FULL".clone_into(&mut told.lock().unwrap().level);
        let told = Arc::clone(&told);
        let note = move |event: TraceEvent<'_>| {
            if let TraceEvent::Stmt(_, sql) = event {
                told.lock().unwrap().note(sql);
            }
        };
        conn.trace_v2(TraceEventCodes::SQLITE_TRACE_STMT, Some(note)).unwrap();
    };
    let folder = tempfile::tempdir().unwrap();
    let options = Options::new(Arc::new(|| 1_000));
    let store = Sqlite::open_watched(&folder.path().join("store.db"), options, watch).unwrap();

    let spec = sample::spec("shop", &["shop.example.com"]);
    let wish = sample::accept(OperationKind::Provision, "one", &spec, 1_000);
    let operation = wish.operation.clone();
    store.accept(wish, None).await.unwrap();
    let fence = store.lease(1_000, Duration::from_secs(1)).await.unwrap().expect("ready").fence;
    store.extend(&fence, 3_000).await.unwrap();
    store.save(sample::save(&fence, &operation, vec![], 1_000)).await.unwrap();
    store.release(&fence, 1_000).await.unwrap();
    store.put("key", b"value").await.unwrap();
    store.sweep(1_000).await.unwrap();
    let commits = told.lock().unwrap().commits.clone();
    assert_eq!(commits, ["FULL", "NORMAL", "NORMAL", "FULL", "NORMAL", "FULL", "FULL"]);
}
