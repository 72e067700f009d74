//! The file of what was good last: what cannot be read now is left, what can never be is set aside.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use keys::{Keyring, Seed};
use model::{Node, Resource, TypeUrl, Version};
use store::sqlite::{GoodFile, OwnBlobs};
use store::{Blobs, Kept, LastGood, StoreError};

/// As a process opens it that is started for the so-manieth time.
fn open(path: &Path, start: u8) -> Result<(GoodFile, Option<String>), StoreError> {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let nonce = || {
        let mut nonce = [0; 24];
        nonce[..8].copy_from_slice(&NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes());
        nonce
    };
    GoodFile::open(path, Keyring::new(&Seed::new([1; 32]), 1), [start; 32], Arc::new(nonce))
}

fn kept(owner: &str) -> Kept {
    let body = b"body";
    let version = Version { epoch: 1, revision: 1, hash: Version::hash_of(body) };
    let resource = Resource {
        type_url: TypeUrl::new("type/a"),
        name: owner.into(),
        version,
        body: body.to_vec().into(),
    };
    let (group, owner) = ("default".to_owned(), owner.to_owned());
    Kept { group, node: Node::default(), owner, resources: vec![resource] }
}

/// A store that is away.
struct Away;

#[async_trait]
impl Blobs for Away {
    async fn get(&self, _: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(None)
    }
    async fn put(&self, _: &str, _: &[u8]) -> Result<(), StoreError> {
        Err(StoreError::Unavailable("away".to_owned()))
    }
    async fn delete(&self, _: &str) -> Result<(), StoreError> {
        Err(StoreError::Unavailable("away".to_owned()))
    }
    async fn list(&self, _: &str) -> Result<Vec<String>, StoreError> {
        Ok(Vec::new())
    }
}

fn blobs(own: GoodFile) -> OwnBlobs {
    OwnBlobs { store: Arc::new(Away), own }
}

#[tokio::test]
async fn what_cannot_be_used_now_is_left_for_a_start_that_can() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("good.db");
    let (file, _) = open(&path, 1).unwrap();
    file.keep((1, 1), vec![kept("a")]).await.unwrap();
    drop(file);
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN IMMEDIATE; COMMIT").unwrap();
    assert!(matches!(open(&path, 2), Err(StoreError::Unavailable(_))));
    drop(other);
    let (file, ignored) = open(&path, 3).unwrap();
    assert_eq!((file.read().await.unwrap().kept, ignored), (vec![kept("a")], None));
    // Nor is what is no file at all.
    std::fs::create_dir(folder.path().join("folder")).unwrap();
    assert!(matches!(open(&folder.path().join("folder"), 1), Err(StoreError::Unavailable(_))));
}

#[tokio::test]
async fn what_is_damaged_is_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("good.db");
    for text in ["no database, ", "nor is this, "] {
        let damaged = text.repeat(1000);
        std::fs::write(&path, &damaged).unwrap();
        let (file, ignored) = open(&path, 1).unwrap();
        assert!(ignored.is_some());
        assert_eq!(file.read().await.unwrap().kept, []);
        let aside = std::fs::read_to_string(folder.path().join("good.db.bad")).unwrap();
        assert!(aside == damaged, "what was there is there");
    }
}

#[tokio::test]
async fn what_a_process_remembers_outlives_it_also_where_nothing_was_ever_good() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("good.db");
    blobs(open(&path, 1).unwrap().0).put("a", b"1").await.unwrap();
    let again = blobs(open(&path, 2).unwrap().0);
    assert_eq!(again.get("a").await.unwrap().as_deref(), Some(&b"1"[..]));
}

#[tokio::test]
async fn what_is_of_another_store_is_forgotten_and_some_of_it_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("good.db");
    let (file, _) = open(&path, 1).unwrap();
    file.keep((3, 7), vec![kept("a")]).await.unwrap();
    let own = blobs(file.clone());
    for key in ["gate/revoked", "platform/base"] {
        own.put(key, b"1").await.unwrap();
    }
    drop(own);
    file.forget(&["gate/revoked", "gate/pass"]).unwrap();
    drop(file);
    let (file, ignored) = open(&path, 2).unwrap();
    let good = file.read().await.unwrap();
    assert_eq!((good.mark, good.kept, good.damaged, ignored), ((0, 0), Vec::new(), 0, None));
    let own = blobs(file);
    assert_eq!(own.get("gate/revoked").await.unwrap().as_deref(), Some(&b"1"[..]));
    assert_eq!(own.get("platform/base").await.unwrap(), None);
}
