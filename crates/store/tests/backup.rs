//! A backup and the way back.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use common::{OnDisk, now};
use model::{AuditEntry, InstanceState, OperationKind, OperationState, Requester};
use store::chain::{Broken, Check};
use store::contract::{State, sample};
use store::sqlite::backup::{BackupError, Manifest, Order, Restored, copy, restore};
use store::sqlite::verify;
use store::{Audit, Recovery, Store, Write};

/// A backup of what is there, as a file beside it.
fn back_up(disk: &OnDisk) -> PathBuf {
    let (scratch, path) =
        (disk.path().with_extension("scratch"), disk.path().with_extension("backup"));
    let manifest = copy(&disk.path(), &scratch, 7_000).unwrap();
    let mut bytes = manifest.header().into_bytes();
    bytes.extend(std::fs::read(&scratch).unwrap());
    std::fs::write(&path, bytes).unwrap();
    std::fs::remove_file(&scratch).unwrap();
    path
}

fn bring(backup: &Path, to: &OnDisk, replace: bool) -> Result<Restored, BackupError> {
    let aside = to.path().with_file_name("replaced");
    let by = Requester {
        credential: "operator".to_owned(),
        originating_identity: None,
        request_identity: None,
    };
    let aside = replace.then_some(aside.as_path());
    restore(&Order { backup, database: &to.path(), aside, at: 8_000, by })
}

async fn publish(store: &Arc<dyn State>, id: &str, hostname: &str) {
    let spec = sample::spec(id, &[hostname]);
    let known = store.instance(&sample::instance_id(id)).await.unwrap();
    let kind = if known.is_some() { OperationKind::Update } else { OperationKind::Provision };
    let wish = sample::accept(kind, id, &spec, now());
    let operation = wish.operation.clone();
    store.accept(wish, known.map(|it| it.updated_at)).await.unwrap();
    let fence = store.lease(now(), Duration::from_secs(60)).await.unwrap().expect("ready").fence;
    let writes = vec![Write::Publish(spec)];
    store.save(sample::finish(&fence, &operation, writes, now())).await.unwrap();
}

async fn remove(store: &Arc<dyn State>, id: &str) {
    let instance = store.instance(&sample::instance_id(id)).await.unwrap().unwrap();
    let wish = sample::accept(OperationKind::Deprovision, id, &instance.spec, now());
    let operation = wish.operation.clone();
    store.accept(wish, Some(instance.updated_at)).await.unwrap();
    let fence = store.lease(now(), Duration::from_secs(60)).await.unwrap().expect("ready").fence;
    let gone = vec![Write::Unpublish, Write::ReleaseAll, Write::State(InstanceState::Deleted)];
    store.save(sample::finish(&fence, &operation, gone, now())).await.unwrap();
}

fn ids(named: &[store::sqlite::backup::Named]) -> Vec<&str> {
    named.iter().map(|it| it.id.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn yesterday_comes_back_and_is_told_from_today() {
    let disk = OnDisk::fresh();
    let store: Arc<dyn State> = Arc::new(disk.sqlite());
    for id in ["a", "b", "d"] {
        publish(&store, id, &format!("{id}.example.com")).await;
    }
    // Being worked on when the backup is made.
    let spec = sample::spec("w", &["w.example.com"]);
    let waiting = sample::accept(OperationKind::Provision, "w", &spec, now());
    store.accept(waiting.clone(), None).await.unwrap();
    assert!(store.lease(now(), Duration::from_secs(600)).await.unwrap().is_some());
    let head = store.head().await.unwrap();
    let backup = back_up(&disk);

    publish(&store, "a", "new.example.com").await;
    publish(&store, "c", "c.example.com").await;
    remove(&store, "d").await;
    let late = store.head().await.unwrap();
    let last = store.changes(None, 100).await.unwrap().changes.last().unwrap().revision;
    drop(store);

    let restored = bring(&backup, &disk, true).unwrap();
    assert_eq!((restored.epoch, restored.in_progress), (2, 1));
    assert_eq!(restored.manifest.audit_head, head.to_string());
    assert_eq!(
        (restored.manifest.epoch, restored.manifest.revision, restored.manifest.instances),
        (1, 3, 4)
    );
    let replaced = restored.replaced.unwrap();
    assert_eq!(replaced.told, Some((1, last, late.to_string())));
    let difference = replaced.difference.unwrap();
    assert_eq!(ids(&difference.unknown), ["c"]);
    assert_eq!(ids(&difference.back), ["d"]);
    assert!(ids(&difference.older).contains(&"a"), "{difference:?}");
    assert!(!ids(&difference.older).contains(&"b"), "{difference:?}");

    // What was replaced is whole, where it was said to be.
    let old = verify(&replaced.database, Check::new(vec![late])).unwrap();
    assert_eq!(old, Ok(late));
    // The log goes on from the backup, and tells of the restore.
    let found = verify(&disk.path(), Check::new(vec![head])).unwrap().unwrap();
    assert_eq!(found.seq, head.seq + 1);
    let told = verify(&disk.path(), Check::new(vec![late])).unwrap().unwrap_err();
    assert!(matches!(told, Broken::Cut { restored: Some(at), .. } if at == head.seq + 1), "{told}");

    let store: Arc<dyn State> = Arc::new(disk.sqlite());
    assert_eq!(store.epoch().await, Ok(2));
    assert!(store.instance(&sample::instance_id("c")).await.unwrap().is_none());
    let lease = store.lease(now(), Duration::from_secs(60)).await.unwrap().expect("it goes on");
    assert_eq!(lease.job.operation_id, waiting.operation.id);
    let writes = vec![Write::Publish(spec)];
    let save = sample::finish(&lease.fence, &waiting.operation, writes, now());
    assert_eq!(store.save(save).await, Ok(Some(4)), "revisions go on from the backup's");
    let ended = store.operation(&waiting.operation.id).await.unwrap().unwrap();
    assert_eq!(ended.state, OperationState::Succeeded);
    let mut check = Check::default();
    let filter = store::AuditFilter { limit: 100, ..Default::default() };
    for record in store.entries(filter).await.unwrap().records {
        check.next(&record).unwrap();
    }
    drop(store);
    what_is_ahead_is_decided(&disk).await;

    // And again: the epoch rises above both.
    let again = bring(&backup, &disk, true);
    assert!(matches!(again, Err(BackupError::File { .. })), "what was moved aside is not lost");
    std::fs::remove_dir_all(disk.path().with_file_name("replaced")).unwrap();
    assert_eq!(bring(&backup, &disk, true).unwrap().epoch, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_under_load_is_of_one_moment() {
    let disk = OnDisk::fresh();
    let store: Arc<dyn State> = Arc::new(disk.sqlite());
    let writer = {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            for index in 0.. {
                publish(&store, &format!("i{index}"), &format!("i{index}.example.com")).await;
            }
        })
    };
    for round in 0..5 {
        while store.head().await.unwrap().seq < 10 * (round + 1) {
            tokio::task::yield_now().await;
        }
        let path = disk.path().with_extension("scratch");
        let manifest = copy(&disk.path(), &path, 7_000).unwrap();
        let head = verify(&path, Check::default()).unwrap().unwrap();
        assert_eq!(head.to_string(), manifest.audit_head);
        std::fs::remove_file(&path).unwrap();
    }
    writer.abort();
    let _ = writer.await;
    let fresh = OnDisk::fresh();
    drop(store);
    let backup = back_up(&disk);
    assert!(bring(&backup, &fresh, false).unwrap().replaced.is_none());
    assert_eq!(fresh.sqlite().epoch().await, Ok(2));
}

#[tokio::test]
async fn what_is_not_whole_is_refused_and_changes_nothing() {
    let disk = OnDisk::fresh();
    let store: Arc<dyn State> = Arc::new(disk.sqlite());
    publish(&store, "a", "a.example.com").await;
    drop(store);
    let backup = back_up(&disk);
    let whole = std::fs::read(&backup).unwrap();
    let header = whole.iter().enumerate().filter(|(_, byte)| **byte == b'\n').nth(1).unwrap().0 + 1;
    let flipped = |at: usize| {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        bytes
    };
    let newer = String::from_utf8_lossy(&whole[..header]).replace("\"schema\":", "\"schema\":9");
    let newer =
        [newer.replace("\"release\":\"", "\"release\":\"9.").as_bytes(), &whole[header..]].concat();
    let before = std::fs::read(disk.path()).unwrap();
    for (bytes, why) in [
        (b"".to_vec(), "is no backup"),
        (b"SQLite format 3\0".to_vec(), "is no backup"),
        (whole[..header - 40].to_vec(), "its second line"),
        (whole[..header].to_vec(), "it holds 0 bytes"),
        (whole[..whole.len() - 1].to_vec(), "bytes and says"),
        (flipped(header + 5_000), "checksum"),
        (flipped(whole.len() - 1), "checksum"),
        (newer, "newer release 9."),
    ] {
        std::fs::write(&backup, bytes).unwrap();
        for to in [&disk, &OnDisk::fresh()] {
            let refused = bring(&backup, to, true).unwrap_err().to_string();
            assert!(refused.contains(why), "{why}: {refused}");
            assert!(!to.path().with_file_name("replaced").exists(), "{why}");
            assert!(!to.path().with_extension("db.restoring").exists(), "{why}");
        }
    }
    assert_eq!(std::fs::read(disk.path()).unwrap(), before);
    std::fs::write(&backup, &whole).unwrap();
    let refused = bring(&backup, &disk, false).unwrap_err().to_string();
    assert!(refused.contains("--replace"), "{refused}");
    let in_use = disk.sqlite();
    assert!(matches!(bring(&backup, &disk, true), Err(BackupError::Open(_))));
    drop(in_use);
    assert!(matches!(bring(Path::new("/none"), &disk, true), Err(BackupError::File { .. })));
    assert!(copy(Path::new("/none"), &backup, 1).is_err());
}

#[tokio::test]
async fn a_store_that_cannot_be_read_is_replaced() {
    let disk = OnDisk::fresh();
    let store: Arc<dyn State> = Arc::new(disk.sqlite());
    publish(&store, "a", "a.example.com").await;
    drop(store);
    let backup = back_up(&disk);
    std::fs::write(disk.path(), "not a database, but what a bad disk left\n".repeat(100)).unwrap();
    let restored = bring(&backup, &disk, true).unwrap();
    let replaced = restored.replaced.unwrap();
    assert_eq!((replaced.told, replaced.difference), (None, None));
    assert!(std::fs::read_to_string(&replaced.database).unwrap().starts_with("not a database"));
    assert!(disk.sqlite().instance(&sample::instance_id("a")).await.unwrap().is_some());
}

/// Its file alone would not be all of it, and between two renamings it would be neither.
#[tokio::test]
async fn a_store_that_is_read_for_long_is_not_moved() {
    let disk = OnDisk::fresh();
    let store: Arc<dyn State> = Arc::new(disk.sqlite());
    publish(&store, "a", "a.example.com").await;
    let backup = back_up(&disk);
    let reader = rusqlite::Connection::open(disk.path()).unwrap();
    reader.execute_batch("BEGIN; SELECT epoch FROM meta").unwrap();
    publish(&store, "b", "b.example.com").await;
    drop(store);
    let refused = bring(&backup, &disk, true).unwrap_err().to_string();
    assert!(refused.contains("has been reading"), "{refused}");
    assert!(disk.sqlite().instance(&sample::instance_id("b")).await.unwrap().is_some());
    reader.execute_batch("COMMIT").unwrap();
    let restored = bring(&backup, &disk, true).unwrap();
    assert_eq!(ids(&restored.replaced.unwrap().difference.unwrap().unknown), ["b"]);
}

#[cfg(unix)]
#[test]
fn its_copies_are_for_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let disk = OnDisk::fresh();
    drop(disk.sqlite());
    let scratch = disk.path().with_extension("scratch");
    let manifest = copy(&disk.path(), &scratch, 7_000).unwrap();
    assert_eq!(std::fs::metadata(&scratch).unwrap().permissions().mode() & 0o777, 0o600);
    let header = manifest.header();
    let read = Manifest::read(&scratch, &mut header.as_bytes()).unwrap();
    assert_eq!(read, manifest);
    let backup = back_up(&disk);
    let fresh = OnDisk::fresh();
    bring(&backup, &fresh, false).unwrap();
    assert_eq!(std::fs::metadata(fresh.path()).unwrap().permissions().mode() & 0o777, 0o600);
}

/// The backup is remembered until an operator confirms, also when the platform was started again.
async fn what_is_ahead_is_decided(disk: &OnDisk) {
    let by = Requester {
        credential: "operator".to_owned(),
        originating_identity: None,
        request_identity: None,
    };
    let entry = AuditEntry {
        by,
        action: "fleet.confirm-removal".to_owned(),
        object: "platform".to_owned(),
        owner: None,
        detail: serde_json::json!({}),
    };
    let before = disk.sqlite().head().await.unwrap();
    assert_eq!(disk.sqlite().restored_from().await, Ok(Some((1, 3))));
    disk.sqlite().confirm(9_000, entry).await.unwrap();
    assert_eq!(disk.sqlite().restored_from().await, Ok(None));
    assert_eq!(disk.sqlite().head().await.unwrap().seq, before.seq + 1);
}
