//! What two caches with the same sequence numbers promise.

use bytes::Bytes;
use model::{Resource, Version};

use super::*;
use crate::Change;

const SCOPE: &str = "type.googleapis.com/envoy.config.route.v3.ScopedRouteConfiguration";

fn resource(name: &str, revision: u64, body: &str) -> Resource {
    let body = Bytes::from(body.to_owned());
    let version = Version { epoch: 1, revision, hash: Version::hash_of(&body) };
    Resource { type_url: TypeUrl::new(SCOPE), name: name.into(), version, body }
}

fn change(owner: &str, set: &[Resource], remove: &[&str]) -> Change {
    let remove = remove.iter().map(|name| (TypeUrl::new(SCOPE), Arc::from(*name))).collect();
    Change { owner: owner.into(), set: set.to_vec(), remove }
}

/// `owner name revision body` of all that there is, by name.
fn held(cache: &Cache) -> Vec<String> {
    let line = |entry: crate::Entry| {
        let crate::Entry { owner, resource, .. } = entry;
        let body = String::from_utf8_lossy(&resource.body).into_owned();
        format!("{owner} {} {} {body}", resource.name, resource.version.revision)
    };
    cache.dump(None).into_iter().map(line).collect()
}

fn wire(cache: &Cache, name: &str) -> *const u8 {
    let state = cache.read();
    let key = state.find(state.table_of(SCOPE).unwrap(), name).unwrap();
    state.slot(key).content.as_ref().unwrap().resource().as_ptr()
}

/// A cache in which `a` has `x` and `y`, and its fork.
fn pair() -> (Cache, Cache) {
    let main = Cache::default();
    main.apply(vec![change("a", &[resource("x", 5, "1"), resource("y", 5, "1")], &[])]);
    main.apply(vec![change("b", &[resource("z", 6, "1")], &[])]);
    main.apply(vec![change("b", &[], &["z"])]);
    let fork = main.fork();
    (main, fork)
}

#[test]
fn a_fork_has_the_same_bytes_and_goes_its_own_way_at_the_same_numbers() {
    let (main, fork) = pair();
    let _history = main.stand(false);
    assert_eq!((held(&main), main.seq()), (held(&fork), fork.seq()));
    assert_eq!(wire(&main, "x"), wire(&fork, "x"));
    assert!(fork.is_fork() && !main.is_fork() && !fork.is_open());

    let staged = change("a", &[resource("x", 7, "2"), resource("w", 7, "1")], &["y"]);
    assert_eq!(fork.apply(vec![staged]), main.pass());
    assert_eq!(main.read().logged(main.seq()), None);
    assert_eq!(held(&main), ["a x 5 1", "a y 5 1"]);
    assert_eq!(held(&fork), ["a w 7 1", "a x 7 2"]);

    assert_eq!(main.follow(&fork, &"a".into(), &[]), fork.pass());
    assert_eq!(held(&main), held(&fork));
    assert_eq!(wire(&main, "x"), wire(&fork, "x"));
    let id = main.read().logged(main.seq());
    assert_eq!(main.read().owner(id.unwrap()).as_ref(), "a");
}

#[test]
fn what_went_back_in_the_fork_costs_nobody_else_a_byte() {
    let (main, fork) = pair();
    fork.apply(vec![change("a", &[resource("x", 7, "bad")], &[])]);
    main.pass();
    fork.apply(vec![change("a", &[resource("x", 7, "1")], &[])]);
    let changed = |cache: &Cache| cache.get(&TypeUrl::new(SCOPE), "x").unwrap().changed;
    let before = changed(&main);
    main.follow(&fork, &"a".into(), &[]);
    assert_eq!(held(&main), ["a x 7 1", "a y 5 1"], "at the version that the refused one had");
    assert_eq!(changed(&main), before);
}

#[test]
fn a_name_that_moves_does_so_when_its_new_owner_follows() {
    let (main, fork) = pair();
    fork.apply(vec![change("b", &[resource("x", 8, "b")], &[])]);
    main.pass();
    assert_eq!(held(&main), ["a x 5 1", "a y 5 1"]);
    main.follow(&fork, &"b".into(), &[]);
    fork.pass();
    assert_eq!(held(&main), ["b x 8 b", "a y 5 1"]);
    assert_eq!(held(&main), held(&fork));
    fork.apply(vec![change("c", &[resource("y", 9, "c")], &[])]);
    main.pass();
    main.follow(&fork, &"a".into(), &[]);
    fork.pass();
    assert_eq!(held(&main), ["b x 8 b"], "an old owner that follows first lets go");
}

#[test]
fn a_name_that_moved_and_is_gone_is_gone_for_whoever_has_it() {
    let (main, fork) = pair();
    let _history = main.stand(false);
    fork.apply(vec![change("b", &[resource("x", 8, "b")], &[])]);
    main.pass();
    let gone = change("b", &[], &["x"]);
    let names = gone.remove.clone();
    fork.apply(vec![gone]);
    main.follow(&fork, &"b".into(), &names);
    assert_eq!(held(&main), ["a y 5 1"]);
    assert_eq!(held(&main), held(&fork));
    let state = main.read();
    let b = state.logged(main.seq()).unwrap();
    assert_eq!(state.lost(b).len(), 1, "streams hear of it");
}

#[tokio::test]
async fn who_is_recalled_hears_of_it_and_nobody_else_does() {
    let cache = Cache::default();
    let (one, two) = (crate::StreamId(1), crate::StreamId(2));
    cache.recall([one]);
    cache.recalled(one).await;
    let waits = async |stream| {
        tokio::select! {
            biased;
            () = cache.recalled(stream) => false,
            () = std::future::ready(()) => true,
        }
    };
    assert!(waits(two).await);
    cache.recall([two]);
    assert!(!waits(two).await);
    assert!(waits(one).await, "once is enough");
}
