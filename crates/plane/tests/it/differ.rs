//! Proxies of one cluster that templates tell different things, because they differ.

use plane::ProxyState;
use render::Templates;
use serde_json::json;

use crate::envoy::{Envoy, binary, get, upstream};
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

/// Listeners and routes that tell all that templates can see of a proxy.
fn by_all() -> Templates {
    let place = "\"most_specific_header_mutations_wins\": true,";
    let seen = r#"node.region ~ "/" ~ node.zone ~ "/" ~ node.envoy_version ~ "/" ~ node.metadata.tier ~ "/" ~ node.metadata.spot"#;
    let header = format!(
        "{place} \"response_headers_to_add\": [{{\"header\": {{\"key\": \"x-seen\", \"value\": {{{{ (\"route@\" ~ {seen} ~ \"@\") }}}} }} }}],"
    );
    let prefix = format!("\"stat_prefix\": {{{{ (listener.name ~ \"@\" ~ {seen} ~ \"@\") }}}}");
    let file = |(name, text): &(&str, &str)| {
        let text = match *name {
            "listeners.json.j2" => text.replace("\"stat_prefix\": {{ listener.name }}", &prefix),
            "routes.json.j2" => text.replace(place, &header),
            _ => (*text).to_owned(),
        };
        let fields = "[region, zone, envoy_version, metadata.tier, metadata.spot]";
        ((*name).to_owned(), text.replace("varies_by: []", &format!("varies_by: {fields}")))
    };
    let files: Vec<_> = Templates::builtin_files().iter().map(file).collect();
    Templates::compile(&files).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn proxies_get_what_is_theirs_by_place_version_and_metadata() {
    let mut line = Line::up(by_all()).await;
    let proxies = [
        (json!({}), "//1.40//"),
        (json!({"locality": {"region": "eu", "zone": "a"}}), "eu/a/1.40//"),
        (json!({"locality": {"region": "eu", "zone": "b"}}), "eu/b/1.40//"),
        (json!({"metadata": {"tier": "gold"}}), "//1.40/gold/"),
        (
            json!({"locality": {"region": "us"}, "metadata": {"tier": "tin", "spot": true, "more": 1}}),
            "us//1.40/tin/true",
        ),
    ];
    for (n, (more, _)) in proxies.iter().enumerate().skip(1) {
        let (id, says) = (format!("p{}", n + 1), more.as_object().unwrap().clone());
        let envoy = Envoy::start_with(&binary(), &id, line.xds.address, |document| {
            document["node"].as_object_mut().unwrap().extend(says);
        });
        line.envoys.push(envoy);
    }
    let ready = || {
        let all = line.running.plane.fleet().proxies;
        all.iter().filter(|proxy| proxy.state == ProxyState::Live).count() == proxies.len()
    };
    until("all have their listeners", ready).await;
    assert_eq!(line.publish("shop", upstream("one").await).await, live(proxies.len()));
    for (envoy, (_, own)) in line.envoys.iter().zip(&proxies) {
        let (_, dump) = get(envoy.admin, "admin", "/config_dump").await;
        for (_, other) in &proxies {
            for part in ["internal", "route"] {
                let is_there = dump.contains(&format!("{part}@{other}@"));
                assert_eq!(is_there, own == other, "{part} of {other} in the proxy of {own}");
            }
        }
    }
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
