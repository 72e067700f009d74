//! A machine that cannot commit: nothing is half-done, reads go on, and the store mends by itself.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::process::Command;
use std::sync::Arc;

use common::{OnDisk, clock};
use model::OperationKind;
use store::contract::{State, sample};
use store::sqlite::{Options, Sqlite};
use store::{Accepted, Blobs, StoreError};

fn is_unavailable<T>(result: &Result<T, StoreError>) -> bool {
    matches!(result, Err(StoreError::Unavailable(_)))
}

/// Puts blobs of `size` bytes until one does not fit; the keys of those that did.
async fn fill(store: &dyn State, size: usize) -> Vec<String> {
    let mut put = Vec::new();
    loop {
        let key = format!("{size}/{}", put.len());
        match store.put(&key, &vec![1; size]).await {
            Ok(()) => put.push(key),
            result => {
                assert!(is_unavailable(&result), "{result:?}");
                return put;
            }
        }
    }
}

/// Accepts a new instance each, all at once; whether each was accepted.
async fn accept_many(
    store: &Arc<dyn State>,
    ids: impl Iterator<Item = String>,
) -> Vec<(String, bool)> {
    let mut racing = tokio::task::JoinSet::new();
    for id in ids {
        let spec = sample::spec("shop", &[&format!("{id}.example.com")]);
        let wish = sample::accept(OperationKind::Provision, &id, &spec, 1_000);
        let store = Arc::clone(store);
        racing.spawn(async move {
            let result = store.accept(wish, None).await;
            assert!(result == Ok(Accepted::Yes) || is_unavailable(&result), "{result:?}");
            (id, result.is_ok())
        });
    }
    racing.join_all().await
}

/// All of an accept is there, or nothing.
async fn assert_whole(store: &Arc<dyn State>, id: &str, accepted: bool) {
    let id = sample::instance_id(id);
    assert_eq!(store.instance(&id).await.unwrap().is_some(), accepted, "{id}");
    assert_eq!(store.operations(&id, 10).await.unwrap().len(), usize::from(accepted), "{id}");
    assert_eq!(store.claims(&id).await.unwrap().len(), usize::from(accepted), "{id}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_file_refuses_whole_requests_and_recovers() {
    let disk = OnDisk::fresh();
    let options = Options { pages_max: Some(100), ..Options::new(clock()) };
    let store: Arc<dyn State> = Arc::new(Sqlite::open(disk.path(), options).unwrap());
    let mut blobs = fill(&*store, 30_000).await;
    let answers = accept_many(&store, (0..40).map(|index| format!("full{index}"))).await;
    assert!(answers.iter().any(|(_, accepted)| !accepted), "100 pages hold it all");
    blobs.extend(fill(&*store, 100).await);
    for (id, accepted) in &answers {
        assert_whole(&store, id, *accepted).await;
    }
    blobs.sort();
    assert_eq!(store.list("").await.unwrap(), blobs, "what was refused is not there");

    store.delete("30000/0").await.unwrap();
    let later = accept_many(&store, ["later".to_owned()].into_iter()).await;
    assert_eq!(later, [("later".to_owned(), true)]);
    drop(store);
    let store: Arc<dyn State> = Arc::new(disk.sqlite());
    for (id, accepted) in answers.iter().chain(&later) {
        assert_whole(&store, id, *accepted).await;
    }
    let jobs = answers.iter().chain(&later).filter(|(_, accepted)| *accepted).count();
    assert_eq!(store.depth(1_000).await, Ok((jobs, 0)));
}

/// Set in the process that may not write long files.
const LIMITED: &str = "MARGRAVE_TEST_LIMITED";

/// A disk on which no file can grow beyond some 1 MiB: the system itself refuses to write. The log
/// reaches that before the store would make a checkpoint by its own rule.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_system_refuses_to_write_is_unavailable_until_there_is_room() {
    if std::env::var_os(LIMITED).is_some() {
        return write_under_the_limit().await;
    }
    let this = std::env::current_exe().unwrap();
    let name = "what_the_system_refuses_to_write_is_unavailable_until_there_is_room";
    let output = Command::new("sh")
        .args(["-c", r#"trap "" XFSZ; ulimit -f 2048; exec "$@""#, "sh"])
        .arg(this)
        .args(["--exact", name, "--nocapture"])
        .env(LIMITED, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}

async fn write_under_the_limit() {
    let disk = OnDisk::fresh();
    let store = disk.sqlite();
    let mut held = std::collections::BTreeMap::new();
    let (mut refused, mut after_refusal) = (0, 0);
    for round in 0..600_u32 {
        let (key, value) = (format!("k{}", round % 8), vec![round.to_le_bytes()[0]; 16_000]);
        let result = store.put(&key, &value).await;
        match result {
            Ok(()) => {
                after_refusal += u32::from(refused > 0);
                held.insert(key, value);
            }
            _ => {
                assert!(is_unavailable(&result), "{result:?}");
                refused += 1;
            }
        }
    }
    assert!(refused > 0, "9 MB went through a log of 2 MB at most");
    assert!(after_refusal > 400, "{after_refusal} writes after the first of {refused} refusals");
    drop(store);
    let store = disk.sqlite();
    for (key, value) in held {
        assert_eq!(store.get(&key).await, Ok(Some(value)), "{key}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_who_locks_the_file_is_waited_for_and_then_said() {
    let disk = OnDisk::fresh();
    let store: Arc<dyn State> = Arc::new(disk.sqlite());
    let stranger = rusqlite::Connection::open(disk.path()).unwrap();
    stranger.execute_batch("BEGIN IMMEDIATE").unwrap();
    let answers = accept_many(&store, ["one".to_owned()].into_iter()).await;
    assert_eq!(answers, [("one".to_owned(), false)]);
    assert_whole(&store, "one", false).await;
    stranger.execute_batch("ROLLBACK").unwrap();
    let answers = accept_many(&store, ["one".to_owned()].into_iter()).await;
    assert_eq!(answers, [("one".to_owned(), true)]);
}
