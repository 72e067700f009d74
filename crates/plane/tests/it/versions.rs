//! A version follows from what the store says: a plane that was not there gives the same content the
//! same version.

use std::collections::BTreeMap;

use crate::rollouts::{HARMLESS, hashes, of, two_groups};
use crate::world::{Running, World, spec, until};

/// What a plane has in its groups, by type and name, but for where upstreams answer.
fn versions(running: &Running) -> BTreeMap<(String, String), String> {
    let groups = ["", "eu", "us"].into_iter().flat_map(|group| {
        let entries = running.cache(group).dump(None).into_iter();
        entries.map(move |it| {
            let name = format!("{group} {} {}", it.owner, it.resource.name);
            ((it.resource.type_url.to_string(), name), it.resource.version.to_string())
        })
    });
    groups.collect()
}

/// A plane that was never there, with what its groups are given.
async fn fresh(world: &World, like: &Running) -> Running {
    let running = world.start();
    running.plane.follow_editions(world.editions());
    until("it has all", || {
        running.plane.ready() && versions(&running).len() == versions(like).len()
    })
    .await;
    running
}

/// A fresh plane has what this one has, also in a moment.
async fn is_the_same(world: &World, running: &Running, why: &str) {
    let mut fresh = fresh(world, running).await;
    until(why, || versions(&fresh) == versions(running)).await;
    fresh.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plane_that_was_not_there_gives_the_same_versions() {
    let (world, running, rolling) = two_groups("canary=eu; rest=*").await;
    let other = world.publish("two", Some(&spec("two", "127.0.0.1:9"))).await;
    running.caught_up("two", other).await;
    let first = versions(&running);
    // Of these only where upstreams answer becomes another: the rest has the bytes that it had.
    let changed = world.publish("one", Some(&spec("one", "127.0.0.1:10"))).await;
    running.caught_up("one", changed).await;
    let second = versions(&running);
    let kept: Vec<_> = second.iter().filter(|(name, _)| name.1 == "eu one internal/one").collect();
    assert!(!kept.is_empty(), "{second:?}");
    for (name, version) in kept {
        let before = &first[name];
        assert_eq!(version.rsplit('-').next(), before.rsplit('-').next(), "its bytes are the same");
        assert!(version.starts_with(&format!("1.{changed}-")), "{version} is not dated anew");
    }
    is_the_same(&world, &running, "after a change").await;

    let before = of(&running, "us");
    rolling.offer(&world, HARMLESS).await;
    rolling.ended(1).await;
    until("everybody has the other edition", || {
        hashes(&of(&running, "us")) != hashes(&before) && of(&running, "us") == of(&running, "eu")
    })
    .await;
    is_the_same(&world, &running, "after a roll-out").await;
    rolling.rollouts.revert(None, "ann", None).await.unwrap();
    rolling.ended(2).await;
    until("it is back", || hashes(&of(&running, "us")) == hashes(&before)).await;
    is_the_same(&world, &running, "after the way back").await;
    world.publish("two", None).await;
    until("it is gone", || running.held("two").is_empty()).await;
    is_the_same(&world, &running, "after a removal").await;
    rolling.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_polls_or_comes_back_is_sent_nothing_for_another_date() {
    let (world, running, rolling) = two_groups("").await;
    let cache = running.cache("eu");
    let seq = cache.seq();
    // The same once more: a revision more, and nothing to send.
    let again = world.publish("one", Some(&spec("one", "127.0.0.1:9"))).await;
    running.caught_up("one", again).await;
    until("it is dated anew", || of(&running, "eu")[0].contains(&format!("1.{again}-"))).await;
    assert_eq!(cache.seq(), seq, "something was sent");
    rolling.stop().await;
}
