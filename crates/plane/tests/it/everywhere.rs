//! What an edition or a spec would do is asked for the proxies of all replicas.

use std::sync::Arc;

use model::Node;
use plane::{Limits, Planned, Policy, Rollouts, Wish};
use render::Templates;
use xds::Directory as _;

use crate::gate::{NEW_IN_THIS_RELEASE, with_routes};
use crate::line::id;
use crate::world::{Running, World, spec, until};

/// In the routes of every service.
const PLACE: &str = "\"most_specific_header_mutations_wins\": true,";

/// The default templates, which tell regions apart, with something more in the routes.
fn by_region(more: &str) -> Vec<(String, String)> {
    let file = |(name, text): &(&str, &str)| {
        let text = text.replace("varies_by: []", "varies_by: [region]");
        ((*name).to_owned(), text.replace(PLACE, &format!("{PLACE}\n{more}")))
    };
    Templates::builtin_files().iter().map(file).collect()
}

/// `one` is told what `other` knows.
fn tell(one: &Running, other: &Running) {
    one.plane.elsewhere(vec![("other".to_owned(), Arc::new(other.plane.summary()))]);
}

async fn served(world: &World, running: &Running) {
    let revision = world.publish("shop", Some(&spec("shop", "10.0.0.1:80"))).await;
    running.caught_up("shop", revision).await;
    until("opened", || running.plane.ready()).await;
}

async fn planned(world: &World, running: &Running, more: &str) -> Planned {
    let policy = Policy::new("", false, Limits::default()).unwrap();
    let rollouts = Rollouts::new(running.plane.clone(), world.editions(), policy, Arc::new(|| 1));
    let content = plane::Content::new(by_region(""), world.platform.clone());
    rollouts.offer(Ok(&content)).await.unwrap();
    let wish = Wish { templates: Some(by_region(more)), ..Wish::default() };
    rollouts.plan(wish).await.unwrap()
}

/// What other templates would change.
async fn planned_with(world: &World, running: &Running, files: &[(&str, &str)]) -> Planned {
    let policy = Policy::new("", false, Limits::default()).unwrap();
    let rollouts = Rollouts::new(running.plane.clone(), world.editions(), policy, Arc::new(|| 1));
    let files: Vec<_> = files.iter().map(|(name, text)| ((*name).into(), (*text).into())).collect();
    let content = plane::Content::new(files.clone(), world.platform.clone());
    rollouts.offer(Ok(&content)).await.unwrap();
    rollouts.plan(Wish { templates: Some(files), ..Wish::default() }).await.unwrap()
}

#[tokio::test]
async fn a_plan_is_made_for_groups_that_only_another_replica_has() {
    let world = World::new();
    let templates = || Templates::compile(&by_region("")).unwrap();
    let mut here = world.start_with(templates(), Arc::default());
    let mut there = world.start_with(templates(), Arc::default());
    served(&world, &here).await;
    let us = Node { region: "us".to_owned(), ..Node::default() };
    there.plane.assign(&us).unwrap();

    let of_us = r#"{% if node.region == "us" %}"no_such_field": 1,{% endif %}"#;
    let alone = planned(&world, &here, of_us).await;
    assert!(alone.is_good(), "nobody is there: {alone:?}");
    tell(&here, &there);
    let all = planned(&world, &here, of_us).await;
    assert_eq!((all.refused_count, all.groups), (1, alone.groups + 1), "{all:?}");
    let changed = r#"{% if node.region == "us" %}"ignore_port_in_host_matching": true,{% endif %}"#;
    assert_eq!(planned(&world, &here, changed).await.changed, ["shop"]);
    here.plane.elsewhere(Vec::new());
    assert!(planned(&world, &here, of_us).await.is_good(), "that replica is gone");
    here.end().await;
    there.end().await;
}

#[tokio::test]
async fn what_an_older_envoy_at_another_replica_does_not_know_is_refused_beforehand() {
    let world = World::new();
    let templates = || with_routes("\"routes\": [\n", NEW_IN_THIS_RELEASE);
    let mut here = world.start_with(templates(), Arc::default());
    let mut there = world.start_with(templates(), Arc::default());
    served(&world, &here).await;
    let mut odd = spec("odd", "10.0.0.1:80");
    odd.plan = model::Plan::Public;
    here.plane.check(&id("odd"), &odd).await.unwrap();
    let old = Node { envoy_version: "1.39.3".to_owned(), ..Node::default() };
    there.plane.assign(&old).unwrap();
    tell(&here, &there);
    let why = here.plane.check(&id("odd"), &odd).await.unwrap_err();
    assert!(why.contains("Envoy 1.39 does not know"), "{why}");
    let planned = planned_with(&world, &here, Templates::builtin_files()).await;
    assert_eq!((planned.judges, planned.unheard), (Vec::new(), vec!["1.39".to_owned()]));
    here.end().await;
    there.end().await;
}
