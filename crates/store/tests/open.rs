//! Opening a file: whose it is, and which release wrote it.

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{OnDisk, clock};
use model::{InstanceState, OperationKind, OperationState};
use store::contract::{State, sample};
use store::sqlite::{OpenError, Options, Sqlite};
use store::{Accepted, Blobs, Queue, Store, Write};

#[test]
fn a_file_in_use_is_refused_in_clear_words() {
    let disk = OnDisk::fresh();
    let store = disk.sqlite();
    let refused = Sqlite::open(disk.path(), Options::new(clock())).err().expect("refused");
    assert!(matches!(refused, OpenError::InUse { pid: Some(_), .. }), "{refused:?}");
    let words = refused.to_string();
    assert!(words.contains("store.db is in use by another process"), "{words}");
    assert!(words.contains(&std::process::id().to_string()), "{words}");
    drop(store);
    drop(disk.sqlite());
}

#[test]
fn a_file_of_a_newer_release_is_refused_and_left_alone() {
    let disk = OnDisk::fresh();
    drop(disk.sqlite());
    let conn = rusqlite::Connection::open(disk.path()).unwrap();
    conn.pragma_update(None, "user_version", 1_000).unwrap();
    let refused = Sqlite::open(disk.path(), Options::new(clock())).err().expect("refused");
    assert!(matches!(refused, OpenError::Newer { found: 1_000, .. }), "{refused:?}");
    assert!(refused.to_string().contains("newer release"), "{refused}");
    let version: i64 = conn.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    assert_eq!(version, 1_000);
}

#[test]
fn what_is_not_a_store_is_refused_and_left_alone() {
    let disk = OnDisk::fresh();
    let text = "not a database, but somebody's notes\n".repeat(100);
    std::fs::write(disk.path(), &text).unwrap();
    let refused = Sqlite::open(disk.path(), Options::new(clock())).err().expect("refused");
    assert!(matches!(refused, OpenError::Sqlite(_)), "{refused:?}");
    assert_eq!(std::fs::read_to_string(disk.path()).unwrap(), text);

    let nowhere = disk.path().join("below/a/file");
    let refused = Sqlite::open(nowhere, Options::new(clock())).err().expect("refused");
    assert!(matches!(refused, OpenError::File { .. }), "{refused:?}");
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn the_files_are_for_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let disk = OnDisk::fresh();
    let store = disk.sqlite();
    store.put("key", b"value").await.unwrap();
    for file in std::fs::read_dir(disk.path().parent().unwrap()).unwrap() {
        let file = file.unwrap();
        let mode = file.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{:?} has mode {mode:o}", file.file_name());
    }
}

/// A file as the first schema left it, with an instance that is being updated. It never changes:
/// every later schema must serve it.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_the_first_schema_is_served() {
    let disk = OnDisk::fresh();
    let conn = rusqlite::Connection::open(disk.path()).unwrap();
    conn.execute_batch(include_str!("fixtures/schema-1.sql")).unwrap();
    drop(conn);

    let store = disk.sqlite();
    let instance = store.instance(&sample::instance_id("one")).await.unwrap().expect("there");
    assert_eq!((instance.state, instance.revision), (InstanceState::Ready, Some(1)));
    let lease = store.lease(2_000, Duration::from_secs(1)).await.unwrap().expect("a job");
    let operation = store.operation(&lease.job.operation_id).await.unwrap().expect("there");
    let target = operation.target.clone().expect("an update");
    let save = sample::finish(&lease.fence, &operation, vec![Write::Publish(target)], 2_000);
    assert_eq!(store.save(save).await, Ok(Some(2)));
    let ended = store.operation(&operation.id).await.unwrap().expect("there");
    assert_eq!(ended.state, OperationState::Succeeded);
    let page = store.changes(None, 10).await.unwrap();
    let good = page.changes[0].good.as_ref().expect("revision 1 was good");
    assert_eq!((good.0, &good.1), (1, &instance.spec));
}

/// What was released is not edited: migrated or made anew, a file has the same tables.
#[test]
fn a_migrated_file_and_a_new_one_are_alike() {
    let schema = |disk: &OnDisk| {
        drop(disk.sqlite());
        let conn = rusqlite::Connection::open(disk.path()).unwrap();
        let mut tables = conn.prepare("SELECT sql FROM sqlite_schema ORDER BY name").unwrap();
        let rows = tables.query_map([], |row| row.get::<_, Option<String>>(0)).unwrap();
        rows.map(Result::unwrap).collect::<Vec<_>>()
    };
    let (old, new) = (OnDisk::fresh(), OnDisk::fresh());
    let conn = rusqlite::Connection::open(old.path()).unwrap();
    conn.execute_batch(include_str!("fixtures/schema-1.sql")).unwrap();
    drop(conn);
    assert_eq!(schema(&old), schema(&new));
}

/// An operation in progress without a job cannot come from this code; it is found all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_job_is_swept_and_its_old_lease_is_worth_nothing() {
    let disk = OnDisk::fresh();
    let spec = sample::spec("shop", &["shop.example.com"]);
    let wish = sample::accept(OperationKind::Provision, "one", &spec, 1_000);
    let store = disk.sqlite();
    assert_eq!(store.accept(wish.clone(), None).await, Ok(Accepted::Yes));
    let dead = store.lease(1_000, Duration::from_secs(1)).await.unwrap().expect("ready");
    drop(store);
    rusqlite::Connection::open(disk.path()).unwrap().execute("DELETE FROM jobs", []).unwrap();

    let store: Arc<dyn State> = Arc::new(disk.sqlite());
    assert_eq!(store.lease(9_000, Duration::from_secs(1)).await, Ok(None));
    assert_eq!(store.sweep(2_000).await, Ok(1));
    assert_eq!(store.sweep(2_000).await, Ok(0));
    let save = sample::save(&dead.fence, &wish.operation, vec![], 2_000);
    assert_eq!(store.save(save).await, Err(store::StoreError::Fenced));
    let living = store.lease(2_000, Duration::from_secs(1)).await.unwrap().expect("swept");
    assert_eq!(living.job, dead.job);
    assert!(living.fence.number > dead.fence.number);
}

#[tokio::test]
async fn what_was_leased_when_a_process_died_is_due_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let spec = sample::spec("shop", &["shop.example.com"]);
    let clock: store::Clock = Arc::new(|| 1_000);
    let long = Duration::from_secs(3_600);
    let open = || Sqlite::open(&path, Options::new(clock.clone())).unwrap();
    let state = open();
    let wish = sample::accept(OperationKind::Provision, "one", &spec, 1_000);
    state.accept(wish, None).await.unwrap();
    assert!(state.lease(1_000, long).await.unwrap().is_some());
    assert_eq!(state.lease(1_001, long).await, Ok(None), "it is held");
    drop(state);
    assert!(open().lease(1_001, long).await.unwrap().is_some(), "its holder is gone");
}
