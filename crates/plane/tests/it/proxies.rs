//! What a real Envoy gets, takes and refuses.

use std::net::SocketAddr;

use plane::{Convergence, ProxyState};
use render::Templates;
use xds::{Condition, Directory};

use crate::envoy::{Envoy, get, upstream};
use crate::line::{Line, converged, id, live};
use crate::world::{spec, until, with_template};

#[tokio::test(flavor = "multi_thread")]
async fn one_route_comes_changes_and_goes() {
    let line = Line::up(Templates::builtin()).await;
    let (one, two) = (upstream("one").await, upstream("two").await);
    assert_eq!(line.publish("shop", one).await, live(1));
    assert_eq!(line.get("shop.example.com").await, (200, "one".to_owned()));
    assert_eq!(line.publish("shop", two).await, live(1));
    assert_eq!(line.get("shop.example.com").await, (200, "two".to_owned()));
    has_all(&line, "shop");
    let gone = line.world.publish("shop", None).await;
    assert_eq!(converged(&line.running, "shop", gone).await, live(1));
    assert_eq!(line.get("shop.example.com").await.0, 404);
    let fleet = line.running.plane.fleet();
    assert_eq!((fleet.in_flight, fleet.instances), (0, 0));
    assert_eq!(fleet.proxies[0].state, ProxyState::Live);
    line.down().await;
}

/// As the discovery server tells it: the proxy has each resource, those of this instance among them.
fn has_all(line: &Line, instance: &str) {
    let plane = &*line.running.plane;
    let told = plane.status(&|node| node.id == "p1", 1000).expect("few resources");
    assert_eq!(told.len(), 1);
    let resources = &told[0].resources;
    assert!(resources.iter().all(|it| it.condition == Condition::Synced), "{resources:?}");
    assert!(resources.iter().all(|it| it.version.contains('-')), "{resources:?}");
    assert!(resources.iter().any(|it| it.name.contains(instance)), "{resources:?}");
    assert_eq!(plane.status(&|node| node.id == "p2", 1000), Some(Vec::new()));
    let all = plane.status(&|_| true, 1).map(|told| told.len());
    assert_eq!(all, Some(1), "one proxy is told of whatever it has");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hostname_moves_and_late_news_of_its_old_owner_do_not_take_it_away() {
    let line = Line::up(Templates::builtin()).await;
    let (one, two) = (upstream("one").await, upstream("two").await);
    let at = |host: &str, upstream: SocketAddr| {
        let mut spec = spec("shop", &upstream.to_string());
        spec.hostnames = vec![host.parse().unwrap()];
        spec
    };
    let host = "moving.example.com";
    let first = line.world.publish("a", Some(&at(host, one))).await;
    assert_eq!(converged(&line.running, "a", first).await, live(1));
    assert_eq!(line.get(host).await, (200, "one".to_owned()));
    // The store gives a name to one instance at a time; the feed may tell of it in this order.
    let second = line.world.publish_unclaimed("b", &at(host, two)).await;
    assert_eq!(converged(&line.running, "b", second).await, live(1));
    assert_eq!(line.get(host).await, (200, "two".to_owned()));
    let third = line.world.publish("a", Some(&at("a.example.com", one))).await;
    assert_eq!(converged(&line.running, "a", third).await, live(1));
    assert_eq!(line.get(host).await, (200, "two".to_owned()));
    assert_eq!(line.get("a.example.com").await, (200, "one".to_owned()));
    line.down().await;
}

/// The default routes, but for the instance `bad`, once its upstream is at port `port`: what
/// `insertion` puts into its route configuration.
pub(crate) fn templates_bad_at(port: u16, insertion: &str) -> Templates {
    let builtin = Templates::builtin_files().iter().find(|(name, _)| *name == "routes.json.j2");
    let place = "\"most_specific_header_mutations_wins\": true,";
    let (_, text) = builtin.unwrap();
    assert!(text.contains(place));
    let inserted = format!(
        "{place}\n{{%- if instance.id == \"bad\" and instance.upstreams[0].endpoints[0].port == {port} %}}\n{insertion}\n{{%- endif %}}"
    );
    with_template("routes.json.j2", &text.replace(place, &inserted))
}

/// Publishes others and `bad` at its good upstream, then at its bad one, then again at the good
/// one: nobody else notices.
async fn quarantine_is_of_one(insertion: &str, reason: &str) {
    const OTHERS: usize = 20;
    let (good, bad) = (upstream("good").await, upstream("bad").await);
    let line = Line::up(templates_bad_at(bad.port(), insertion)).await;
    assert_eq!(line.publish("bad", good).await, live(1));
    let refused = line.publish("bad", bad).await;
    let Convergence::Rejected { reason: said } = refused else { panic!("{refused:?}") };
    assert!(said.contains(reason), "{said}");
    for n in 0..OTHERS {
        assert_eq!(line.publish(&format!("other{n}"), good).await, live(1));
    }
    assert_eq!(line.get("bad.example.com").await, (200, "good".to_owned()));
    assert_eq!(line.get("other7.example.com").await, (200, "good".to_owned()));
    assert_eq!(line.running.plane.fleet().quarantined, 1);
    assert_eq!(line.publish("bad", good).await, live(1));
    assert_eq!(line.running.plane.fleet().quarantined, 0);

    let gone = line.world.publish("bad", None).await;
    assert_eq!(converged(&line.running, "bad", gone).await, live(1));
    let new = line.publish("bad", bad).await;
    assert!(matches!(new, Convergence::Rejected { .. }), "{new:?}");
    assert_eq!(line.get("bad.example.com").await.0, 404, "a new one does not appear");
    let mut states = line.running.plane.fleet().proxies.into_iter().map(|proxy| proxy.state);
    assert!(states.all(|state| state != ProxyState::Rejecting));
    line.down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_that_fails_on_one_instance_quarantines_that_instance() {
    quarantine_is_of_one("\"no_such_field\": 1,", "a fault of the platform").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_envoy_refuses_quarantines_that_instance() {
    let unknown_command = r#""response_headers_to_add": [
        {"header": {"key": "x-bad", "value": "%NO_SUCH_COMMAND%"}}],"#;
    quarantine_is_of_one(unknown_command, "Envoy refused the internal routes").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_refused_before_a_restart_is_served_as_it_last_was_good() {
    let unknown_command = r#""response_headers_to_add": [
        {"header": {"key": "x-bad", "value": "%NO_SUCH_COMMAND%"}}],"#;
    let (good, bad) = (upstream("good").await, upstream("bad").await);
    let mut line = Line::up(templates_bad_at(bad.port(), unknown_command)).await;
    let revision = line.world.publish_good("bad", &spec("bad", &good.to_string())).await;
    assert_eq!(converged(&line.running, "bad", revision).await, live(1));
    line.restart(templates_bad_at(bad.port(), unknown_command), async |world| {
        world.publish("bad", Some(&spec("bad", &bad.to_string()))).await
    })
    .await;
    let refused = converged(&line.running, "bad", revision + 1).await;
    assert!(matches!(refused, Convergence::Rejected { .. }), "{refused:?}");
    assert_eq!(line.publish("other", good).await, live(1));
    assert_eq!(line.get("bad.example.com").await, (200, "good".to_owned()));
    let described = line.running.plane.describe(&id("bad")).unwrap();
    assert_eq!((described.revision, described.served), (revision + 1, Some(revision)));
    line.down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_plane_takes_nothing_away() {
    let mut line = Line::up(Templates::builtin()).await;
    let one = upstream("one").await;
    assert_eq!(line.publish("shop", one).await, live(1));
    let front = line.front;
    let updates = line.envoys[0].statistic("cluster_manager.cds.update_success").await;

    let revision = line.restart(Templates::builtin(), async |world| {
        assert_eq!(get(front, "shop.example.com", "/").await.0, 200, "without a plane");
        world.publish("blog", Some(&spec("blog", &one.to_string()))).await
    });
    let revision = revision.await;
    assert_eq!(converged(&line.running, "blog", revision).await, live(1));
    assert_eq!(line.get("shop.example.com").await, (200, "one".to_owned()));
    assert_eq!(line.get("blog.example.com").await, (200, "one".to_owned()));
    let updates = line.envoys[0].statistic("cluster_manager.cds.update_success").await - updates;
    assert!(updates <= 2, "the cluster that is new, and none that was there: {updates}");
    line.down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_proxies_agree_and_one_that_goes_holds_nobody_up() {
    let mut line = Line::up(Templates::builtin()).await;
    let one = upstream("one").await;
    assert_eq!(line.publish("shop", one).await, live(1));
    // The second shares the listeners' ports with the first, as Envoy binds them for reuse.
    line.envoys.push(Envoy::start("p2", line.xds.address));
    until("both are live", || line.running.plane.fleet().counts()[0] == ("live", 2)).await;
    assert_eq!(line.publish("blog", one).await, live(2));
    line.envoys.pop();
    let two = upstream("two").await;
    assert_eq!(line.publish("blog", two).await, live(1));
    line.down().await;
}

/// Each begins on its way while the one before it waits for Envoy.
#[tokio::test(flavor = "multi_thread")]
async fn revisions_that_follow_each_other_closely_all_arrive() {
    const INSTANCES: usize = 8;
    let line = Line::up(Templates::builtin()).await;
    let at = upstream("shop").await.to_string();
    for n in 0..INSTANCES {
        let name = format!("shop{n}");
        let mut revision = 0;
        for k in 0..4 {
            let mut spec = spec(&name, &at);
            spec.parameters.response_headers.set.insert("x-k".to_owned(), k.to_string());
            revision = line.world.publish(&name, Some(&spec)).await;
        }
        assert_eq!(converged(&line.running, &name, revision).await, live(1), "{name}");
    }
    line.down().await;
}
