//! A store that another process writes, followed: also where it is missing, damaged or replaced.

use std::sync::Arc;
use std::time::Duration;

use model::OperationKind;
use store::contract::sample;
use store::sqlite::{Follower, Options, Sqlite};
use store::{Blobs, Feed, Queue, Store, StoreError, Write};

const PATIENCE: Duration = Duration::from_secs(20);

fn open(path: &std::path::Path) -> Sqlite {
    Sqlite::open(path, Options::new(Arc::new(|| 1))).expect("opens")
}

#[tokio::test]
async fn it_is_read_while_it_is_written_and_never_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let follower = Follower::new(&path);
    let Err(StoreError::Unavailable(why)) = follower.changes(None, 10).await else {
        panic!("there is none yet")
    };
    assert!(why.contains("store.db"), "{why}");
    let store = open(&path);
    let page = follower.changes(None, 10).await.unwrap();
    assert!(page.reset && page.changes.is_empty());
    assert_eq!(Feed::epoch(&follower).await, Feed::epoch(&store).await);
    store.put("a", b"1").await.unwrap();
    assert_eq!(follower.get("a").await.unwrap().as_deref(), Some(&b"1"[..]));
    assert_eq!(follower.list("").await.unwrap(), ["a"]);
    assert!(follower.put("a", b"2").await.is_err() && follower.delete("a").await.is_err());
    follower.changed(&page.cursor, Duration::from_millis(1)).await;
}

#[tokio::test]
async fn a_file_in_its_place_is_seen_and_a_damaged_one_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let (path, other) = (folder.path().join("store.db"), folder.path().join("other.db"));
    drop(open(&path));
    let follower = Follower::new(&path);
    assert_eq!(follower.get("a").await.unwrap(), None);
    let store = open(&other);
    store.put("a", b"1").await.unwrap();
    drop(store);
    std::fs::rename(&other, &path).unwrap();
    assert_eq!(follower.get("a").await.unwrap().as_deref(), Some(&b"1"[..]));
    std::fs::write(&other, b"not a database at all".repeat(400)).unwrap();
    std::fs::rename(&other, &path).unwrap();
    assert!(follower.get("a").await.is_err());
    std::fs::remove_file(&path).unwrap();
    let cursor = store::Cursor("1.0.0".to_owned());
    tokio::time::timeout(PATIENCE, follower.changed(&cursor, Duration::from_millis(50)))
        .await
        .expect("it waits no longer than it is told");
}

/// Opening a store looks for a journal that was left; a pipe in its place answers nobody until somebody
/// writes into it, as a disk that hangs.
struct Hangs(std::path::PathBuf);

impl Hangs {
    fn at(path: &std::path::Path) -> Self {
        let pipe = path.with_extension("db-journal");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.expect("mkfifo").success());
        Self(pipe)
    }

    /// Answers whoever waits.
    fn end(self) {
        let writes = std::fs::File::options().write(true).open(&self.0).expect("somebody reads");
        std::fs::remove_file(&self.0).expect("removed");
        drop(writes);
    }
}

/// On one thread, which the disk must not hold.
#[tokio::test]
async fn a_disk_that_hangs_is_unavailable_and_holds_nobody_up() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    drop(open(&path));
    let disk = Hangs::at(&path);
    let follower = Follower::new(&path);
    let answer = tokio::time::timeout(PATIENCE, follower.get("a")).await.expect("it is given up");
    let Err(StoreError::Unavailable(why)) = answer else { panic!("{answer:?}") };
    assert!(why.contains("does not answer within"), "{why}");
    // The next is told at once, before its timer has had a turn.
    let next = tokio::time::timeout(Duration::ZERO, Feed::epoch(&follower)).await;
    assert!(matches!(next, Ok(Err(StoreError::Unavailable(_)))), "{next:?}");
    disk.end();
    let well = async {
        while follower.get("a").await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, well).await.expect("it is read again");
}

async fn publish(store: &Sqlite) {
    let spec = sample::spec("shop", &["shop.example.com"]);
    let wish = sample::accept(OperationKind::Provision, "shop", &spec, 1);
    let operation = wish.operation.clone();
    store.accept(wish, None).await.expect("the store answers");
    let fence = store.lease(1, PATIENCE).await.expect("the store answers").expect("ready").fence;
    store
        .save(sample::finish(&fence, &operation, vec![Write::Publish(spec)], 1))
        .await
        .expect("the store answers");
}

/// Reads are answered while somebody waits for news, and who waits is told of them.
#[tokio::test]
async fn who_waits_is_told_of_news_and_holds_nobody_up() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let store = open(&path);
    let follower = Arc::new(Follower::new(&path));
    let page = follower.changes(None, 10).await.unwrap();
    let waits = |follower: &Arc<Follower>| {
        let (follower, cursor) = (Arc::clone(follower), page.cursor.clone());
        tokio::spawn(async move { follower.changed(&cursor, PATIENCE * 3).await })
    };
    let waiting = [waits(&follower), waits(&follower)];
    follower.changed(&page.cursor, Duration::from_millis(60)).await;
    store.put("a", b"1").await.unwrap();
    assert_eq!(follower.get("a").await.unwrap().as_deref(), Some(&b"1"[..]));
    assert!(waiting.iter().all(|it| !it.is_finished()), "a document is no news of the feed");
    publish(&store).await;
    for waiting in waiting {
        tokio::time::timeout(PATIENCE, waiting).await.expect("it is told").unwrap();
    }
    let told = tokio::time::timeout(PATIENCE, follower.changed(&page.cursor, PATIENCE * 3));
    told.await.expect("what is news already is told at once");
}
