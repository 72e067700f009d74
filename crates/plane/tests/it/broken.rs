//! A proxy that refuses what others take is at fault itself: it is shown, and nobody waits for it.

use std::sync::Arc;

use model::Descriptor;
use plane::{Convergence, ProxyState, Validator};
use render::Templates;
use serde_json::json;
use xds::{Condition, Directory};

use crate::envoy::{Envoy, binary, upstream};
use crate::gate::envoy;
use crate::line::{Line, converged, live};
use crate::standing::standing;
use crate::world::{World, spec, until};

/// Regexes above this size are refused by the broken one; that of two methods is.
const REGEX_SIZE_MAX: u64 = 5;

/// What the broken proxy has of the routes of an instance, as the discovery server tells it.
fn told(line: &Line, proxy: &str, instance: &str) -> Vec<(String, Condition)> {
    let all = line.running.plane.status(&|node| node.id == proxy, 1000).expect("few resources");
    let resources = all.into_iter().flat_map(|client| client.resources);
    let routes = resources.filter(|it| *it.name == format!("internal/{instance}"));
    routes.map(|it| (it.type_url.to_string(), it.condition)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_alone_refuses_is_shown_and_holds_nobody_up() {
    let judges = |world: &World| -> Vec<Arc<dyn Validator>> { vec![envoy(world)] };
    let mut line = Line::judged(Templates::builtin(), judges).await;
    let one = upstream("one").await;
    line.envoys.push(Envoy::start_with(&binary(), "p2", line.xds.address, |bootstrap| {
        bootstrap["layered_runtime"] = json!({"layers": [
            {"name": "odd", "static_layer": {"re2.max_program_size.error_level": REGEX_SIZE_MAX}},
        ]});
    }));
    until("both are live", || line.running.plane.fleet().counts()[0] == ("live", 2)).await;
    assert_eq!(line.publish("before", one).await, live(2));

    let mut odd = spec("odd", &one.to_string());
    let routes = "service: odd\nupstream: http://127.0.0.1:1\nhostnames: [odd.example.com]\nroutes:\n\
                  - {name: some, match: {path: /some, methods: [GET, POST]}}\n";
    odd.parameters.routes = Descriptor::from_yaml(routes).unwrap().parameters.routes;
    let revision = line.world.publish("odd", Some(&odd)).await;
    let notice = Some("proxy p2 refuses it, alone".to_owned());
    let odd = converged(&line.running, "odd", revision).await;
    assert_eq!(odd, Convergence::Live { proxies: 1, notice }, "on the one that can");
    let plane = &line.running.plane;
    let rejecting = || {
        let proxies = plane.fleet().proxies;
        proxies.into_iter().find(|proxy| proxy.state == ProxyState::Rejecting)
    };
    until("the broken one is shown", || rejecting().is_some()).await;
    let shown = rejecting().unwrap();
    assert_eq!(shown.id, "p2");
    assert_eq!(plane.fleet().quarantined, 0, "no instance is at fault");

    // In the standard form, too: an error with Envoy's words for the one, and not for the other.
    let [(_, Condition::Error(words))] = &told(&line, "p2", "odd")[..] else {
        panic!("{:?}", told(&line, "p2", "odd"))
    };
    assert!(words.contains("max program size"), "{words}");
    let synced = told(&line, "p1", "odd");
    assert!(matches!(&synced[..], [(_, Condition::Synced)]), "{synced:?}");
    // And so by gRPC, to a client that others wrote.
    let (p1, p2) = (standing(line.xds.address, "p1").await, standing(line.xds.address, "p2").await);
    let (routes, before) =
        ("RouteConfiguration internal/odd", "RouteConfiguration internal/before");
    assert_eq!(p2[routes], json!(["ERROR", words]), "{p2}");
    assert_eq!(p2[before], json!(["SYNCED", ""]), "{p2}");
    assert_eq!(p1[routes], json!(["SYNCED", ""]), "{p1}");
    assert!(p1.as_object().is_some_and(|all| all.values().all(|it| it[0] == "SYNCED")), "{p1}");

    // What it can take, it takes.
    let later = line.publish("later", one).await;
    assert!(matches!(later, Convergence::Live { .. }), "{later:?}");
    until("it has what came later", || {
        let all = told(&line, "p2", "later");
        matches!(&all[..], [(_, Condition::Synced)])
    })
    .await;

    // Mended, nothing is left of it.
    assert_eq!(line.publish("odd", one).await, live(2));
    until("all are live", || plane.fleet().counts()[0] == ("live", 2)).await;
    line.down().await;
}
