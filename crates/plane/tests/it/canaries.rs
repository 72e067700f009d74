//! Three real Envoys, one of them a canary.

use std::process::Command;

use plane::Convergence;
use render::Templates;

use crate::envoy::{Envoy, get, upstream};
use crate::line::{Line, converged, live};
use crate::proxies::templates_bad_at;
use crate::world::{spec, until};

/// Proxies `p1` to `p3`, one of which has become a canary; and which one.
async fn three(templates: Templates) -> (Line, usize) {
    let mut line = Line::up(templates).await;
    for id in ["p2", "p3"] {
        line.envoys.push(Envoy::start(id, line.xds.address));
    }
    let mut canary = None;
    until("one of three is a canary", || {
        let fleet = line.running.plane.fleet();
        canary = fleet.proxies.iter().find(|proxy| proxy.canary).map(|proxy| proxy.id.clone());
        fleet.counts()[0] == ("live", 3) && canary.is_some()
    })
    .await;
    let canary = canary.and_then(|id| id.strip_prefix('p')?.parse::<usize>().ok());
    (line, canary.expect("a proxy of ours") - 1)
}

/// How often an Envoy has refused anything.
async fn refusals(envoy: &Envoy) -> u64 {
    let (_, stats) = get(envoy.admin, "admin", "/stats?filter=update_rejected").await;
    stats.lines().filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}

fn signal(envoy: &Envoy, signal: &str) {
    let sent = Command::new("kill").args([signal, &envoy.pid().to_string()]).status();
    assert!(sent.is_ok_and(|status| status.success()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_envoy_refuses_reaches_the_canary_alone() {
    let unknown_command = r#""response_headers_to_add": [
        {"header": {"key": "x-bad", "value": "%NO_SUCH_COMMAND%"}}],"#;
    let (good, bad) = (upstream("good").await, upstream("bad").await);
    let (line, canary) = three(templates_bad_at(bad.port(), unknown_command)).await;
    assert_eq!(line.publish("bad", good).await, live(3));
    let refused = line.publish("bad", bad).await;
    let Convergence::Rejected { reason } = refused else { panic!("{refused:?}") };
    assert!(reason.contains("NO_SUCH_COMMAND"), "{reason}");
    assert_eq!(line.publish("other", good).await, live(3));
    for (at, envoy) in line.envoys.iter().enumerate() {
        assert_eq!(refusals(envoy).await > 0, at == canary, "p{}", at + 1);
    }
    for _ in 0..6 {
        assert_eq!(line.get("bad.example.com").await, (200, "good".to_owned()));
    }
    assert_eq!(line.publish("bad", good).await, live(3), "and recovers");
    line.down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_that_hangs_or_goes_is_replaced() {
    let one = upstream("one").await;
    let (mut line, canary) = three(Templates::builtin()).await;
    assert_eq!(line.publish("shop", one).await, live(3));
    signal(&line.envoys[canary], "-STOP");
    let mut changed = spec("shop", &one.to_string());
    changed.parameters.response_headers.set.insert("x-changed".to_owned(), "yes".to_owned());
    let revision = line.world.publish("shop", Some(&changed)).await;
    until("the others have it", || {
        let fleet = line.running.plane.fleet();
        let live = fleet.proxies.iter().filter(|proxy| proxy.state == plane::ProxyState::Live);
        fleet.on_trial == 0 && live.count() == 2
    })
    .await;
    let fleet = line.running.plane.fleet();
    let next = fleet.proxies.iter().find(|proxy| proxy.canary).map(|proxy| proxy.id.clone());
    assert!(next.is_some_and(|id| id != format!("p{}", canary + 1)), "{fleet:?}");
    signal(&line.envoys[canary], "-CONT");
    let converged = converged(&line.running, "shop", revision).await;
    assert!(matches!(converged, Convergence::Live { .. }), "{converged:?}");
    // It is served with the others again.
    until("all are live", || line.running.plane.fleet().counts()[0] == ("live", 3)).await;

    // Whoever is the canary now goes.
    let next = fleet.proxies.iter().position(|proxy| proxy.canary).map(|at| &fleet.proxies[at].id);
    let next = next.and_then(|id| id.strip_prefix('p')?.parse::<usize>().ok()).unwrap() - 1;
    drop(line.envoys.remove(next));
    assert_eq!(line.publish("blog", one).await, live(2));
    assert_eq!(line.get("blog.example.com").await, (200, "one".to_owned()));
    line.down().await;
}
