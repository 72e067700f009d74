//! An operation whose document cannot be read is ended, seen, and kept for whoever mends it.

mod common;

use std::time::Duration;

use common::OnDisk;
use model::{OperationKind, OperationState};
use store::contract::sample;
use store::{Accepted, Blobs, Queue, Store, StoreError};

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_ends_and_says_so() {
    for (spoil, readable) in [
        (
            "UPDATE operations SET document = json_set(document, '$.state', 'of a newer release')",
            true,
        ),
        ("UPDATE operations SET document = 'not JSON'", false),
    ] {
        let disk = OnDisk::fresh();
        let spec = sample::spec("shop", &["shop.example.com"]);
        let wish = sample::accept(OperationKind::Provision, "one", &spec, 1_000);
        let id = wish.operation.id.clone();
        let store = disk.sqlite();
        assert_eq!(store.accept(wish, None).await, Ok(Accepted::Yes));
        drop(store);
        let conn = rusqlite::Connection::open(disk.path()).unwrap();
        assert_eq!(conn.execute(spoil, []).unwrap(), 1);
        drop(conn);

        let store = disk.sqlite();
        assert!(matches!(store.operation(&id).await, Err(StoreError::Corrupt(_))));
        let lease = store.lease(2_000, Duration::from_secs(9)).await.unwrap().expect("a job");
        store.bury(&lease.fence, "it cannot be read", 2_000).await.unwrap();
        let ended = store.operation(&id).await.unwrap().expect("there");
        assert_eq!((ended.state, ended.finished_at), (OperationState::Failed, Some(2_000)));
        assert_eq!(ended.error.as_deref(), Some("it cannot be read"));
        assert_eq!(ended.target.is_some(), readable, "what can be read is kept");
        let kept = store.get(&format!("unreadable/operations/{id}")).await.unwrap();
        assert!(kept.is_some_and(|bytes| !bytes.is_empty()));
        assert_eq!(store.depth(2_000).await.map(|depth| depth.0), Ok(0));
    }
}
