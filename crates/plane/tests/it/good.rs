//! What was good last: served again after a restart, whatever has become of the store.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use keys::{Keyring, Seed};
use store::sqlite::GoodFile;
use store::{Kept, LastGood};

use crate::world::{PATIENCE, Running, World, spec, until};

fn ring(seed: u8) -> Keyring {
    Keyring::new(&Seed::new([seed; 32]), 1)
}

fn open(path: &Path, seed: u8) -> (Arc<GoodFile>, Option<String>) {
    let nonce = Arc::new(|| {
        static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);
        let mut nonce = [0; 24];
        nonce[..8].copy_from_slice(&NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes());
        nonce
    });
    let (file, ignored) = GoodFile::open(path, ring(seed), [7; 32], nonce).unwrap();
    (Arc::new(file), ignored)
}

/// A world whose planes keep what is good.
fn world() -> World {
    let mut world = World::new();
    world.last_good = Some(open(&world.folder().join("good.db"), 1).0);
    world
}

/// The same world after a restart of the process.
fn reopened(world: &mut World) {
    world.last_good = None;
    world.last_good = Some(open(&world.folder().join("good.db"), 1).0);
}

async fn kept_of(world: &World, owner: &str) -> Option<Kept> {
    let good = world.last_good.as_ref().unwrap().read().await.unwrap();
    good.kept.into_iter().find(|kept| kept.owner == owner)
}

async fn is_kept(world: &World, running: &Running, owner: &str) {
    let mut held = running.held(owner);
    held.sort();
    let deadline = std::time::Instant::now() + PATIENCE;
    loop {
        let kept = kept_of(world, owner).await.map_or(Vec::new(), |kept| kept.resources);
        let line = |it: model::Resource| format!("{} {}", it.name, it.version);
        let mut kept: Vec<String> = kept.into_iter().map(line).collect();
        kept.sort();
        if kept == held {
            return;
        }
        assert!(std::time::Instant::now() < deadline, "{owner} has {held:?}, and kept is {kept:?}");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

fn sorted(running: &Running) -> Vec<String> {
    let mut held = running.held("a");
    held.sort();
    held
}

#[tokio::test]
async fn a_restart_without_the_store_serves_the_same_bytes_and_versions() {
    let mut world = world();
    let mut running = world.start();
    world.publish("a", Some(&spec("shop", "127.0.0.1:3000"))).await;
    let second = world.publish("a", Some(&spec("shop", "127.0.0.1:4000"))).await;
    running.caught_up("a", second).await;
    is_kept(&world, &running, "a").await;
    let (held, all) = (sorted(&running), running.cache("").dump(None));
    is_kept(&world, &running, "platform/group").await;
    running.end().await;

    reopened(&mut world);
    world.store.is_down.store(true, Ordering::Relaxed);
    let mut again = world.start();
    until("proxies are answered", || again.plane.ready()).await;
    assert_eq!(sorted(&again), held);
    let bodies = |all: Vec<xds::Entry>| {
        all.into_iter().map(|it| (it.resource.name, it.resource.body)).collect::<Vec<_>>()
    };
    let mut now = again.cache("").dump(None);
    now.sort_by(|a, b| {
        (&a.resource.type_url, &a.resource.name).cmp(&(&b.resource.type_url, &b.resource.name))
    });
    let mut all = all;
    all.sort_by(|a, b| {
        (&a.resource.type_url, &a.resource.name).cmp(&(&b.resource.type_url, &b.resource.name))
    });
    assert_eq!(bodies(now), bodies(all));

    let seq = again.cache("").seq();
    world.store.is_down.store(false, Ordering::Relaxed);
    again.caught_up("a", second).await;
    assert_eq!(sorted(&again), held, "what was read is the same");
    assert!(again.cache("").seq() - seq <= 2, "nothing was sent");
    let third = world.publish("a", None).await;
    again.caught_up("a", third).await;
    until("it is gone", || again.held("a").is_empty()).await;
    is_kept(&world, &again, "a").await;
    again.end().await;
}

#[tokio::test]
async fn what_the_store_lost_is_held_against_what_was_served_before() {
    let mut world = world();
    let all = (0..40).map(|n| (format!("i{n:02}"), spec(&format!("s{n}"), "127.0.0.1:3000")));
    world.publish_all(&all.collect::<Vec<_>>()).await;
    let mut running = world.start();
    running.caught_up("i39", 40).await;
    for n in 0..40 {
        is_kept(&world, &running, &format!("i{n:02}")).await;
    }
    running.end().await;
    reopened(&mut world);
    world.store.restore_without(20);
    let mut again = world.start();
    until("the store was read", || again.plane.fleet().instances == 20).await;
    until("the rest is held", || again.plane.fleet().removals_held == 20).await;
    assert_eq!(again.held("i00").len(), 4);
    assert_eq!(again.plane.confirm_removals().instances, 20);
    assert!(again.held("i00").is_empty());
    assert_eq!(again.held("i30").len(), 4);
    again.end().await;
}

#[tokio::test]
async fn a_store_that_is_behind_is_not_believed_until_it_has_come_as_far() {
    let world = world();
    let mut running = world.start();
    let first = world.publish("a", Some(&spec("shop", "127.0.0.1:3000"))).await;
    running.caught_up("a", first).await;
    is_kept(&world, &running, "a").await;
    let before = kept_of(&world, "a").await.unwrap();
    running.end().await;
    // Another replica had read on.
    let mut ahead = before.clone();
    for resource in &mut ahead.resources {
        let body = [&resource.body[..], b"\x9a\x06\x00"].concat();
        resource.version.hash = model::Version::hash_of(&body);
        resource.version.revision = first + 2;
        resource.body = body.into();
    }
    world.last_good.as_ref().unwrap().keep((1, first + 2), vec![ahead]).await.unwrap();
    let mut again = world.start();
    until("proxies are answered", || again.plane.ready()).await;
    until("the store was read", || again.plane.fleet().revision == first).await;
    assert!(again.held("a").iter().all(|it| it.contains(&format!(" 1.{}-", first + 2))));
    world.publish("b", Some(&spec("other", "127.0.0.1:3000"))).await;
    let third = world.publish("a", Some(&spec("shop", "127.0.0.1:5000"))).await;
    again.caught_up("a", third).await;
    assert_eq!(again.held("b").len(), 4);
    again.end().await;
}

#[tokio::test]
async fn what_is_damaged_or_not_ours_is_left_out_and_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("good.db");
    let kept = |owner: &str, body: &str| {
        let version = model::Version {
            epoch: 1,
            revision: 1,
            hash: model::Version::hash_of(body.as_bytes()),
        };
        let (type_url, name) = (model::TypeUrl::new("type/a"), owner.into());
        let resource = model::Resource { type_url, name, version, body: body.to_owned().into() };
        let (group, owner) = ("default".to_owned(), owner.to_owned());
        Kept { group, node: model::Node::default(), owner, resources: vec![resource] }
    };
    let (file, ignored) = open(&path, 1);
    assert_eq!(ignored, None);
    file.keep((1, 1), vec![kept("a", "canary-secret"), kept("b", "other")]).await.unwrap();
    drop(file);
    let (file, ignored) = open(&path, 1);
    assert_eq!((file.read().await.unwrap().kept.len(), ignored), (2, None));
    drop(file);
    for end in ["", "-wal"] {
        let bytes = std::fs::read(folder.path().join(format!("good.db{end}"))).unwrap_or_default();
        for word in ["canary-secret", "default", "type/a"] {
            assert!(!bytes.windows(word.len()).any(|it| it == word.as_bytes()), "{word}");
        }
    }
    let (file, ignored) = open(&path, 2);
    assert!(ignored.unwrap().contains("which the keyring does not have"));
    assert_eq!(file.read().await.unwrap().kept, []);
    drop(file);
    std::fs::write(&path, b"no database".repeat(1000)).unwrap();
    let (file, ignored) = open(&path, 2);
    assert!(ignored.is_some());
    file.keep((1, 1), vec![kept("a", "1")]).await.unwrap();
    assert_eq!(file.read().await.unwrap().kept.len(), 1);
}
