//! From the change feed into the caches, without proxies.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use plane::Convergence;
use render::Templates;
use serde_json::{Value, json};
use store::Blobs;

use crate::world::{PATIENCE, Running, Told, World, spec, until, with_template};

fn id(text: &str) -> model::InstanceId {
    text.parse().unwrap()
}

async fn ready(running: &Running) {
    until("ready", || running.plane.ready()).await;
}

#[tokio::test]
async fn a_start_without_tenants_is_ready_at_once_and_then_follows() {
    let world = World::new();
    let mut running = world.start();
    ready(&running).await;
    assert!(running.cache("").is_open());
    let revision = world.publish("a", Some(&spec("shop", "127.0.0.1:3000"))).await;
    let convergence = running.plane.converged(&id("a"), revision, PATIENCE).await;
    let notice = Some("published; no proxy connected in group default".to_owned());
    assert_eq!(convergence, Convergence::Live { proxies: 0, notice });
    let mut names: Vec<String> = running.held("a");
    names.iter_mut().for_each(|name| name.truncate(name.find(' ').unwrap()));
    names.sort();
    assert_eq!(names, ["a/default", "a/default", "internal/a", "internal/shop.example.com"]);
    let gone = world.publish("a", None).await;
    running.caught_up("a", gone).await;
    assert!(running.held("a").is_empty());
    assert!(running.plane.describe(&id("a")).is_none());
    running.end().await;
}

#[tokio::test]
async fn a_store_that_fails_empties_nothing() {
    let world = World::new();
    world.publish("a", Some(&spec("shop", "127.0.0.1:3000"))).await;
    world.store.is_down.store(true, Ordering::Relaxed);
    let mut running = world.start();
    tokio::time::timeout(Duration::from_millis(300), ready(&running)).await.unwrap_err();
    assert!(!running.cache("").is_open(), "proxies wait");
    world.store.is_down.store(false, Ordering::Relaxed);
    ready(&running).await;
    let held = running.held("a");
    assert_eq!(held.len(), 4);

    let revision = world.publish("a", Some(&spec("shop", "127.0.0.1:4000"))).await;
    running.caught_up("a", revision).await;
    let changed = running.held("a");
    world.store.is_down.store(true, Ordering::Relaxed);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(running.held("a"), changed);
    assert!(running.plane.ready());
    running.end().await;
}

#[tokio::test]
async fn only_what_changed_has_another_hash_and_a_restart_makes_the_same_versions() {
    let world = World::new();
    let mut running = world.start();
    let first = world.publish("a", Some(&spec("shop", "127.0.0.1:3000"))).await;
    running.caught_up("a", first).await;
    let before = running.held("a");
    let second = world.publish("a", Some(&spec("shop", "127.0.0.1:4000"))).await;
    running.caught_up("a", second).await;
    let after = running.held("a");
    let hash = |held: &str| held.rsplit_once('-').unwrap().1.to_owned();
    let known: Vec<String> = before.iter().map(|held| hash(held)).collect();
    let changed: Vec<&String> = after.iter().filter(|held| !known.contains(&hash(held))).collect();
    assert_eq!(changed.len(), 1, "its endpoints: {changed:?}");
    assert!(changed[0].starts_with(&format!("a/default 1.{second}-")), "{changed:?}");
    running.end().await;

    let mut restarted = world.start();
    ready(&restarted).await;
    assert_eq!(restarted.held("a"), after);
    restarted.end().await;
}

#[tokio::test]
async fn the_work_for_one_change_does_not_depend_on_how_many_instances_there_are() {
    const INSTANCES: u64 = 1_000;
    let world = World::new();
    let many = (0..INSTANCES).map(|n| (format!("i{n}"), spec(&format!("s{n}"), "127.0.0.1:3000")));
    world.publish_all(&many.collect::<Vec<_>>()).await;
    let mut running = world.start();
    ready(&running).await;
    assert_eq!(running.plane.renders(), INSTANCES);
    assert_eq!(running.plane.fleet().instances, INSTANCES as usize);
    let seq = running.cache("").seq();
    let revision = world.publish("i7", Some(&spec("s7", "127.0.0.1:4000"))).await;
    running.caught_up("i7", revision).await;
    assert_eq!(running.plane.renders(), INSTANCES + 1);
    assert_eq!(running.cache("").seq(), seq + 1);

    running.cache("elsewhere");
    until("the new group is open", || running.cache("elsewhere").is_open()).await;
    assert_eq!(running.cache("elsewhere").len(), running.cache("").len());
    running.end().await;
}

#[tokio::test]
async fn a_slow_name_delays_nobody_else_and_is_corrected() {
    let (world, told) = (World::new(), Arc::<Told>::default());
    let mut running = world.start_with(Templates::builtin(), told.clone());
    ready(&running).await;
    let slow = world.publish("slow", Some(&spec("slow", "slow.example:80"))).await;
    let quick = world.publish("quick", Some(&spec("quick", "127.0.0.1:80"))).await;
    running.caught_up("quick", quick).await;
    let Convergence::Live { notice: Some(notice), .. } =
        running.plane.converged(&id("slow"), slow, PATIENCE).await
    else {
        panic!("a slow name is published with what is known");
    };
    assert!(notice.contains("`slow.example` does not resolve"), "{notice}");
    let empty = running.held("slow");
    told.tell("slow.example", "10.1.2.3");
    until("corrected", || running.held("slow") != empty).await;
    assert!(running.plane.describe(&id("slow")).unwrap().notices.is_empty());
    running.end().await;
}

#[tokio::test]
async fn a_refused_address_is_refused_before_and_after_it_is_published() {
    let world = World::new();
    let mut running = world.start();
    ready(&running).await;
    let wish = spec("shop", "169.254.169.254:80");
    let said = running.plane.check(&id("a"), &wish).await.unwrap_err();
    assert_eq!(
        said,
        "upstream `default`: 169.254.169.254:80 is the address of a cloud's metadata service"
    );
    let revision = world.publish("a", Some(&wish)).await;
    assert_eq!(
        running.plane.converged(&id("a"), revision, PATIENCE).await,
        Convergence::Rejected { reason: said }
    );
    assert!(running.held("a").is_empty());
    assert_eq!(running.plane.check(&id("a"), &spec("shop", "10.0.0.1:80")).await, Ok(()));
    running.end().await;
}

/// Endpoints with a factor that is the number in the document `weights`.
const ENDPOINTS_BY_SOURCE: &str = r#"{#-
resource: envoy.config.endpoint.v3.ClusterLoadAssignment
for_each: instance

The platform's own weight.
-#}
[{% for upstream in instance.upstreams %}
{"cluster_name": {{ upstream.cluster }}, "policy": {"overprovisioning_factor": {{ platform.sources.weights }}}},
{% endfor %}]"#;

#[tokio::test]
async fn what_templates_read_of_sources_follows_the_store() {
    let world = World::new();
    let write = async |revision: u64, value: Value| {
        let document = json!({"revision": revision, "value": value}).to_string();
        world.store.put("sources/weights", document.as_bytes()).await.unwrap();
    };
    write(1, json!(100)).await;
    let templates = with_template("endpoints.json.j2", ENDPOINTS_BY_SOURCE);
    let mut running = world.start_with(templates, Arc::default());
    ready(&running).await;
    let revision = world.publish("a", Some(&spec("shop", "127.0.0.1:80"))).await;
    running.caught_up("a", revision).await;
    let before = running.held("a");
    assert_eq!(before.len(), 4, "{before:?}");

    write(2, json!("many")).await;
    let is_quarantined =
        || running.plane.describe(&id("a")).is_some_and(|a| a.quarantine.is_some());
    until("refused: not a number", is_quarantined).await;
    assert_eq!(running.held("a"), before, "what it had stays");
    let newer = world.publish("a", Some(&spec("shop", "127.0.0.1:81"))).await;
    let refused = running.plane.converged(&id("a"), newer, PATIENCE).await;
    assert!(matches!(refused, Convergence::Rejected { .. }), "{refused:?}");

    write(3, json!(250)).await;
    let served = || running.plane.describe(&id("a")).and_then(|a| a.served);
    until("the newer one is served", || served() == Some(newer)).await;
    assert!(!is_quarantined());
    running.end().await;
}

#[tokio::test]
async fn a_restart_while_name_servers_are_down_empties_no_endpoints() {
    let (world, told) = (World::new(), Arc::<Told>::default());
    told.tell("shop.internal.example", "10.1.2.3");
    let mut running = world.start_with(Templates::builtin(), told);
    let wish = spec("shop", "shop.internal.example:80");
    let revision = world.publish("a", Some(&wish)).await;
    running.caught_up("a", revision).await;
    let hashes = |running: &Running| -> Vec<String> {
        let held = running.held("a").into_iter();
        held.map(|held| held.rsplit_once('-').unwrap().1.to_owned()).collect()
    };
    until("resolved", || running.plane.describe(&id("a")).unwrap().notices.is_empty()).await;
    let before = hashes(&running);
    let written = async {
        while world.store.get("resolver/answers").await.unwrap().is_none() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, written).await.unwrap();
    running.end().await;

    let mut restarted = world.start_with(Templates::builtin(), Arc::default());
    ready(&restarted).await;
    assert_eq!(hashes(&restarted), before);
    restarted.end().await;
}

#[tokio::test]
async fn a_store_that_was_restored_takes_away_what_it_does_not_know_but_not_nearly_all() {
    let world = World::new();
    let all = (0..40).map(|n| (format!("i{n:02}"), spec(&format!("s{n}"), "127.0.0.1:3000")));
    world.publish_all(&all.collect::<Vec<_>>()).await;
    let mut running = world.start();
    ready(&running).await;
    let instances = || running.plane.fleet().instances;
    for (hidden, left) in [(5, 35), (20, 35)] {
        world.store.restore_without(hidden);
        let revision = world.publish("i39", Some(&spec("s39", "127.0.0.1:4000"))).await;
        running.caught_up("i39", revision).await;
        until("the feed was read anew", || instances() == left).await;
    }
    assert!(running.held("i04").is_empty());
    assert_eq!(running.held("i10").len(), 4);
    assert_eq!(running.plane.fleet().removals_held, 15);
    let gone = running.plane.confirm_removals();
    assert_eq!((gone.instances, gone.proxies), (15, 0));
    assert_eq!((instances(), running.plane.fleet().removals_held), (20, 0));
    assert!(running.held("i10").is_empty());
    assert_eq!(running.held("i30").len(), 4);
    running.end().await;
}
