//! Proxies after a restore: those that renewed since the backup stay; those that were revoked since stay shut
//! out where the replaced store tells of them, and can be shut out again where none does.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::path::PathBuf;
use std::sync::Arc;

use common::{OnDisk, now};
use model::{AccessHash, AuditEntry, Millis, NodeId, Requester};
use serde_json::json;
use store::contract::State;
use store::sqlite::backup::{Order, Reopened, copy, restore};
use store::{
    Certified, Join, JoinToken, Joins, KeptAuthority, Nodes, Renewal, Renews, Revocation, Revoked,
};

const DAY: Millis = 24 * 60 * 60 * 1000;

fn by() -> Requester {
    Requester {
        credential: "operator".to_owned(),
        originating_identity: None,
        request_identity: None,
    }
}

fn entry(action: &str, object: &str) -> AuditEntry {
    let (action, object) = (action.to_owned(), object.to_owned());
    AuditEntry { by: by(), action, object, owner: None, detail: json!({}) }
}

fn node(name: &str) -> NodeId {
    name.parse().unwrap()
}

fn certified(serial: &str, at: Millis) -> Certified {
    Certified { serial: serial.to_owned(), issued_at: at, not_after: at + DAY }
}

async fn join(store: &Arc<dyn State>, name: &str, serial: &str, at: Millis) {
    let secret = AccessHash([serial.as_bytes()[0]; 32]);
    let token = JoinToken {
        group: "eu".parse().unwrap(),
        node: Some(node(name)),
        created_at: at,
        created_by: "operator".to_owned(),
        expires_at: at + 1_000,
    };
    let made = store.create_join_token(token, secret, entry("join-token.create", "eu")).await;
    assert_eq!(made, Ok(true));
    let (certificate, entry) = (certified(serial, at), entry("node.join", name));
    let joined = store.join(Join { secret, node: node(name), certificate, entry }).await;
    assert_eq!(joined, Ok(Joins::Yes));
}

/// From the certificate of one moment to that of another.
async fn renew(
    store: &Arc<dyn State>,
    name: &str,
    old: (&str, Millis),
    new: (&str, Millis),
) -> Renews {
    let (old, new) = (certified(old.0, old.1), certified(new.0, new.1));
    let renewal = Renewal { node: node(name), group: "eu".parse().unwrap(), old, new };
    store.renew(renewal).await.unwrap()
}

async fn revoke(store: &Arc<dyn State>, name: &str, at: Millis) -> bool {
    store.revoke_node(&node(name), at, entry("node.revoke", name)).await.unwrap()
}

fn back_up(disk: &OnDisk) -> PathBuf {
    let (scratch, path) =
        (disk.path().with_extension("scratch"), disk.path().with_extension("backup"));
    let mut bytes = copy(&disk.path(), &scratch, now()).unwrap().header().into_bytes();
    bytes.extend(std::fs::read(&scratch).unwrap());
    std::fs::write(&path, bytes).unwrap();
    path
}

/// Two that renew and two that join after a backup; of each pair one is revoked then.
async fn life_after_a_backup(disk: &OnDisk, start: Millis) -> PathBuf {
    let store: Arc<dyn State> = Arc::new(disk.sqlite());
    join(&store, "stays", "1st", start).await;
    join(&store, "goes", "2nd", start).await;
    let backup = back_up(disk);
    assert_eq!(renew(&store, "stays", ("1st", start), ("since", start + 1_000)).await, Renews::Yes);
    assert_eq!(renew(&store, "goes", ("2nd", start), ("gone", start + 1_000)).await, Renews::Yes);
    join(&store, "new", "new", start + 1_000).await;
    join(&store, "bad", "bad", start + 1_000).await;
    assert!(revoke(&store, "goes", start + 2_000).await);
    assert!(revoke(&store, "bad", start + 2_000).await);
    backup
}

/// What was revoked is refused, and told to whoever follows; who was not goes on.
async fn are_shut_out(store: &Arc<dyn State>, start: Millis) {
    let at = start + 6_000;
    for (name, old) in [("goes", "gone"), ("goes", "2nd"), ("bad", "bad")] {
        let renewed = renew(store, name, (old, start + 1_000), ("no", at)).await;
        assert_eq!(renewed, Renews::Revoked, "{name}");
    }
    let told = store.revocations(0, at).await.unwrap();
    let before = |it: &Revocation, name: &str| matches!(&it.what, Revoked::Before(node, before) if node.as_str() == name && *before > start + 1_000);
    for name in ["goes", "bad"] {
        assert!(told.iter().any(|it| before(it, name)), "{name}: {told:?}");
        assert!(!revoke(store, name, at).await, "{name}: it is revoked already");
    }
}

/// Neither the certificate nor the node is known any more, and both are as good as before.
async fn others_go_on(store: &Arc<dyn State>, start: Millis) {
    let at = start + 5_000;
    assert_eq!(renew(store, "stays", ("since", start + 1_000), ("a", at)).await, Renews::Yes);
    assert_eq!(renew(store, "new", ("new", start + 1_000), ("b", at)).await, Renews::Yes);
}

/// The authority of a platform.
async fn authority(disk: &OnDisk, name: &str) {
    let sealed = keys::Sealed::from_bytes(vec![1; 16]);
    let kept = KeptAuthority { certificate: name.as_bytes().to_vec(), sealed };
    disk.sqlite().keep_authority(kept).await.unwrap();
}

fn told(name: &str) -> Reopened {
    Reopened { kind: "node".to_owned(), id: name.to_owned(), name: name.to_owned(), space: None }
}

#[tokio::test(flavor = "multi_thread")]
async fn proxies_outlive_a_restore_and_the_revoked_stay_shut_out() {
    let (disk, start) = (OnDisk::fresh(), now() - 10_000);
    authority(&disk, "ours").await;
    let backup = life_after_a_backup(&disk, start).await;
    let (database, aside) = (disk.path(), disk.path().with_file_name("replaced"));
    let (backup, aside) = (backup.as_path(), Some(aside.as_path()));
    let order = Order { backup, database: &database, aside, at: start + 3_000, by: by() };
    let difference = restore(&order).unwrap().replaced.unwrap().difference.unwrap();
    assert_eq!(
        (&difference.reopened[..], &difference.shut_out[..]),
        (&[][..], &["bad".to_owned(), "goes".to_owned()][..])
    );
    let store: Arc<dyn State> = Arc::new(disk.sqlite());
    others_go_on(&store, start).await;
    are_shut_out(&store, start).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_platform_revoked_is_nothing_here() {
    let (disk, other, start) = (OnDisk::fresh(), OnDisk::fresh(), now() - 10_000);
    authority(&disk, "ours").await;
    let backup = life_after_a_backup(&disk, start).await;
    authority(&other, "theirs").await;
    life_after_a_backup(&other, start).await;
    let (database, aside) = (other.path(), other.path().with_file_name("replaced"));
    let (backup, aside) = (backup.as_path(), Some(aside.as_path()));
    let order = Order { backup, database: &database, aside, at: start + 3_000, by: by() };
    let difference = restore(&order).unwrap().replaced.unwrap().difference.unwrap();
    assert!(difference.shut_out.is_empty(), "{difference:?}");
    assert_eq!(difference.reopened, [told("bad"), told("goes")]);
    let store: Arc<dyn State> = Arc::new(other.sqlite());
    let at = start + 5_000;
    assert_eq!(renew(&store, "goes", ("gone", start + 1_000), ("a", at)).await, Renews::Yes);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nothing_tells_who_was_revoked_they_can_be_shut_out_again() {
    let (disk, elsewhere, start) = (OnDisk::fresh(), OnDisk::fresh(), now() - 10_000);
    let backup = life_after_a_backup(&disk, start).await;
    let database = elsewhere.path();
    let order =
        Order { backup: &backup, database: &database, aside: None, at: start + 3_000, by: by() };
    assert!(restore(&order).unwrap().replaced.is_none());
    let store: Arc<dyn State> = Arc::new(elsewhere.sqlite());
    others_go_on(&store, start).await;
    // Until somebody says so once more.
    for name in ["goes", "bad"] {
        assert!(revoke(&store, name, start + 5_000).await, "{name}");
    }
    are_shut_out(&store, start).await;
    // A name that nobody has is refused by a store that knows all that it signed.
    let fresh: Arc<dyn State> = Arc::new(OnDisk::fresh().sqlite());
    assert!(!revoke(&fresh, "bad", start + 5_000).await);
}
