//! Proxies of one cluster that templates tell different things, because they differ.

use plane::ProxyState;
use render::Templates;

use crate::envoy::{Envoy, get, upstream};
use crate::line::{Line, live};
use crate::world::{World, until, with_template};

/// The default listeners, with a name that tells what was seen of the proxy.
fn by_region() -> Templates {
    let builtin = Templates::builtin_files().iter().find(|(name, _)| *name == "listeners.json.j2");
    let (_, text) = builtin.unwrap();
    let (header, prefix) = ("varies_by: []", "\"stat_prefix\": {{ listener.name }}");
    assert!(text.contains(header) && text.contains(prefix), "{text}");
    let seen =
        "\"stat_prefix\": {{ listener.name ~ \"@\" ~ node.region ~ \"@\" ~ node.envoy_version }}";
    let text = text.replace(header, "varies_by: [region, envoy_version]").replace(prefix, seen);
    with_template("listeners.json.j2", &text)
}

#[tokio::test(flavor = "multi_thread")]
async fn proxies_of_two_regions_get_what_is_theirs() {
    let mut line = Line::up(by_region()).await;
    for region in ["eu", "us"] {
        line.envoys.push(Envoy::start_in(region, region, line.xds.address));
    }
    let ready = || {
        let proxies = line.running.plane.fleet().proxies;
        proxies.iter().filter(|proxy| proxy.state == ProxyState::Live).count() == 3
    };
    until("all three have their listeners", ready).await;
    assert_eq!(line.publish("shop", upstream("one").await).await, live(3));
    for (envoy, region) in line.envoys.iter().zip(["", "eu", "us"]) {
        let (_, dump) = get(envoy.admin, "admin", "/config_dump").await;
        for other in ["", "eu", "us"] {
            let is_there = dump.contains(&format!("internal@{other}@1.40"));
            assert_eq!(is_there, other == region, "{other} in the proxy of {region:?}");
        }
    }
    let mut groups: Vec<_> =
        line.running.plane.fleet().proxies.into_iter().map(|proxy| proxy.group).collect();
    groups.sort();
    let expected = ["", "eu", "us"].map(|at| format!("default,region={at},envoy_version=1.40"));
    assert_eq!(groups, expected);
    line.down().await;
}

#[tokio::test]
async fn a_proxy_too_many_is_told_why() {
    use model::Node;
    use xds::Directory as _;
    let world = World::new();
    let mut running = world.start_with(by_region(), Default::default());
    let in_region = |n: usize| Node { region: format!("r{n}"), ..Node::default() };
    let taken = (0..100).take_while(|n| running.plane.assign(&in_region(*n)).is_ok()).count();
    let Err(refused) = running.plane.assign(&in_region(100)) else { panic!("it is assigned") };
    assert_eq!(taken, 31, "32 with the default group");
    assert!(refused.contains("vary by region, envoy_version"), "{refused}");
    assert!(running.plane.assign(&in_region(0)).is_ok(), "who has a group keeps it");
    running.end().await;
}
