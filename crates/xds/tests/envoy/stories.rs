//! Tenants come, change and go while requests are made, and no answer is wrong.

use std::net::SocketAddr;

use serde_json::json;

use crate::config::{Tenant, Way};
use crate::edge::Edge;
use crate::traffic::{Traffic, get, silent, upstream};

const DELTA: Way = Way::Aggregated("DELTA_GRPC");
const STATE: Way = Way::Aggregated("GRPC");
const DELTA_SINGLE: Way = Way::Single("DELTA_GRPC");
const STATE_SINGLE: Way = Way::Single("GRPC");

/// Tenants that live their lives at once, and how many lives there are one after the other; with
/// `MARGRAVE_SOAK` set, many more.
const AT_ONCE: usize = 4;
const LIVES: usize = 6;
const LIVES_SOAK: usize = 100;

struct World {
    edge: Edge,
    traffic: Traffic,
    one: SocketAddr,
    two: SocketAddr,
}

async fn world(way: Way) -> World {
    let edge = Edge::start(way).await;
    edge.synced().await;
    assert_eq!(get(edge.http, "nobody.test", "/").await.status, 404);
    let waited = edge.statistic(".*init_fetch_timeout").await;
    assert_eq!(waited, 0, "an empty start waits for nothing");
    let traffic = Traffic::start(edge.http);
    World { edge, traffic, one: upstream("one").await, two: upstream("two").await }
}

async fn expect(edge: &Edge, host: &str, body: &str, says: &str) {
    let answer = get(edge.http, host, "/").await;
    let said = answer.headers.get("x-says").map(String::as_str);
    assert_eq!((answer.status, answer.body.as_str(), said), (200, body, Some(says)), "{host}");
}

/// Everything that can become of a tenant, in turn.
async fn life(world: &World, name: &str) {
    let World { edge, traffic, one, two } = world;
    let mut tenant = Tenant::new(name, *one);
    let (host, other) = (tenant.hosts[0].clone(), format!("other-{name}.test"));
    edge.settled(&tenant, edge.change(&tenant)).await;
    expect(edge, &host, "one", "1").await;
    traffic.live(&host);
    tenant.says = "2".to_owned();
    edge.settled(&tenant, edge.change(&tenant)).await;
    expect(edge, &host, "one", "2").await;
    tenant.upstream = *two;
    edge.settled(&tenant, edge.change(&tenant)).await;
    expect(edge, &host, "two", "2").await;
    tenant.connect_timeout = "2s";
    edge.settled(&tenant, edge.change(&tenant)).await;
    (tenant.cluster, tenant.upstream, tenant.says) = ("next", *one, "3".to_owned());
    edge.settled(&tenant, edge.change(&tenant)).await;
    expect(edge, &host, "one", "3").await;
    tenant.hosts.push(other.clone());
    edge.settled(&tenant, edge.change(&tenant)).await;
    traffic.live(&other);
    expect(edge, &other, "one", "3").await;
    traffic.dead(&host);
    tenant.hosts.remove(0);
    edge.settled(&tenant, edge.change(&tenant)).await;
    assert_eq!(get(edge.http, &host, "/").await.status, 404);
    // Several changes without waiting: the last wins, and none leans on what is not there.
    for round in 0..4 {
        tenant.cluster = if round % 2 == 0 { "main" } else { "next" };
        tenant.says = format!("fast-{round}");
        edge.change(&tenant);
    }
    edge.settled(&tenant, edge.cache.seq()).await;
    expect(edge, &other, "one", "fast-3").await;
    traffic.dead(&other);
    edge.settled(&tenant, edge.remove(&tenant)).await;
    assert_eq!(get(edge.http, &other, "/").await.status, 404);
}

async fn churn(way: Way) {
    let world = world(way).await;
    let turns = if std::env::var_os("MARGRAVE_SOAK").is_some() { LIVES_SOAK } else { LIVES };
    let lives = |of: usize| {
        let world = &world;
        async move {
            for turn in 0..turns {
                life(world, &format!("t{of}-{turn}")).await;
            }
        }
    };
    futures::future::join_all((0..AT_ONCE).map(lives)).await;
    let waited = world.edge.statistic(".*init_fetch_timeout").await;
    assert_eq!(waited, 0, "endpoints always came with their clusters");
    let (asked, wrong) = world.traffic.end();
    assert!(wrong.is_empty(), "{} of {asked} answers: {:?}", wrong.len(), &wrong[..1]);
    assert!(asked > 100, "only {asked} requests");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tenants_live_without_a_wrong_answer_in_delta() {
    churn(DELTA).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tenants_live_without_a_wrong_answer_in_state_of_the_world() {
    churn(STATE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tenants_live_without_a_wrong_answer_on_streams_of_single_types_in_delta() {
    churn(DELTA_SINGLE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tenants_live_without_a_wrong_answer_on_streams_of_single_types_in_state_of_the_world() {
    churn(STATE_SINGLE).await;
}

#[tokio::test]
async fn an_envoy_that_polls_follows_what_comes_changes_and_goes() {
    let edge = Edge::start(Way::Polling).await;
    edge.answers("nobody.test", 404, None).await;
    let mut tenant = Tenant::new("polled", upstream("one").await);
    edge.change(&tenant);
    edge.answers("polled.test", 200, Some("1")).await;
    tenant.says = "2".to_owned();
    edge.change(&tenant);
    edge.answers("polled.test", 200, Some("2")).await;
    edge.remove(&tenant);
    edge.answers("polled.test", 404, None).await;
    // Nothing of it was refused, and what is polled in vain is no failure.
    let bad = edge.statistic(r"(cluster_manager\.cds|listener_manager\.lds|.*rds.*|cluster\..*)\.update_(rejected|failure)").await;
    assert_eq!(bad, 0);
    let heard = edge.heard("polls", |_| true).await;
    assert_eq!((heard.syncs, heard.settled.len()), (0, 0), "it has confirmed nothing");
}

#[tokio::test]
async fn a_host_moves_between_tenants() {
    for api in [DELTA, STATE] {
        let World { edge, traffic, one, two } = world(api).await;
        let mut from = Tenant::new("from", one);
        from.hosts.push("moves.test".to_owned());
        let mut to = Tenant::new("to", two);
        edge.settled(&from, edge.change(&from)).await;
        edge.settled(&to, edge.change(&to)).await;
        ["from.test", "to.test", "moves.test"].iter().for_each(|host| traffic.live(host));
        for _ in 0..10 {
            to.hosts.push("moves.test".to_owned());
            edge.settled(&to, edge.change(&to)).await;
            expect(&edge, "moves.test", if to.name == "to" { "two" } else { "one" }, "1").await;
            from.hosts.pop();
            edge.settled(&from, edge.change(&from)).await;
            std::mem::swap(&mut from, &mut to);
        }
        let (asked, wrong) = traffic.end();
        assert!(wrong.is_empty(), "{api:?}: {} of {asked}: {:?}", wrong.len(), &wrong[..1]);
    }
}

#[tokio::test]
async fn a_server_that_comes_back_repeats_nothing_and_misses_nothing() {
    for api in [DELTA, STATE] {
        comes_back(api).await;
    }
}

async fn comes_back(api: Way) {
    let World { mut edge, traffic, one, two } = world(api).await;
    let mut tenants: Vec<Tenant> =
        (0..6).map(|n| Tenant::new(&format!("t{n}"), if n == 5 { two } else { one })).collect();
    edge.settled(&tenants[5], edge.change_all(&tenants)).await;
    for tenant in &tenants[1..] {
        traffic.live(&tenant.hosts[0]);
    }
    let updates =
        r"(cluster_manager\.cds|listener_manager\.lds|.*rds.*|cluster\..*)\.update_success";
    let before = edge.statistic(updates).await;
    edge.stop().await;
    edge.back().await;
    edge.synced().await;
    assert_eq!(edge.statistic(updates).await, before, "{api:?}: nothing was sent again");
    // While it is away one tenant goes, one comes, one changes everything.
    edge.stop().await;
    if api == STATE {
        // Nobody knows which clusters it had: what went meanwhile goes with the first word.
        traffic.dead(&tenants[1].hosts[0]);
    }
    edge.remove(&tenants[0]);
    let new = Tenant::new("new", two);
    edge.change(&new);
    (tenants[1].cluster, tenants[1].upstream, tenants[1].says) = ("next", two, "2".to_owned());
    edge.change(&tenants[1]);
    edge.back().await;
    edge.synced().await;
    assert_eq!(get(edge.http, "t0.test", "/").await.status, 404);
    expect(&edge, "new.test", "two", "1").await;
    expect(&edge, "t1.test", "two", "2").await;
    assert_eq!(edge.statistic(".*init_fetch_timeout").await, 0);
    let (asked, wrong) = traffic.end();
    assert!(wrong.is_empty(), "{api:?}: {} of {asked}: {:?}", wrong.len(), &wrong[..1]);
}

#[tokio::test]
async fn what_envoy_refuses_leaves_its_siblings_live() {
    for api in [DELTA, STATE] {
        let World { edge, one, .. } = world(api).await;
        let mut tenants: Vec<Tenant> =
            (0..20).map(|n| Tenant::new(&format!("t{n}"), one)).collect();
        tenants[7].regex = "/(unclosed";
        tenants[11].connect_timeout = "0s";
        let seq = edge.change_all(&tenants);
        let live = |n: &usize| ![7, 11].contains(n);
        let first = seq + 1 - tenants.len() as u64;
        for n in (0..tenants.len()).filter(live) {
            edge.settled(&tenants[n], first + n as u64).await;
            expect(&edge, &tenants[n].hosts[0], "one", "1").await;
        }
        let refused = edge.heard("refused", |h| h.rejected.len() == 2).await.rejected;
        assert_eq!((refused["t7"].0, refused["t7"].1.as_str()), (first + 7, "public/t7"));
        assert!(refused["t7"].2.contains("unclosed"), "{:?}", refused["t7"]);
        assert_eq!((refused["t11"].0, refused["t11"].1.as_str()), (first + 11, "t11/main"));
        // Mended, they live; and one that lives and then is refused keeps what it had.
        (tenants[7].regex, tenants[11].connect_timeout) = ("/.*", "1s");
        for n in [7, 11] {
            edge.settled(&tenants[n], edge.change(&tenants[n])).await;
            expect(&edge, &tenants[n].hosts[0], "one", "1").await;
        }
        tenants[3].regex = "/(unclosed";
        tenants[3].says = "2".to_owned();
        let seq = edge.change(&tenants[3]);
        edge.heard("t3 refused", |h| h.rejected.get("t3").is_some_and(|r| r.0 == seq)).await;
        expect(&edge, "t3.test", "one", "1").await;
    }
}

/// A cluster whose health is not known yet warms, and Envoy holds up every acknowledgement of
/// clusters until it is: tenants beside it must not notice.
#[tokio::test]
async fn a_slow_tenant_holds_up_only_itself() {
    let World { edge, one, .. } = world(DELTA).await;
    let mut slow = Tenant::new("slow", silent().await);
    slow.checks = json!([{
        "timeout": "60s", "interval": "60s", "unhealthy_threshold": 1, "healthy_threshold": 1,
        "http_health_check": {"path": "/"},
    }]);
    let first = edge.change(&slow);
    for n in 0..5 {
        let tenant = Tenant::new(&format!("t{n}"), one);
        edge.settled(&tenant, edge.change(&tenant)).await;
        expect(&edge, &tenant.hosts[0], "one", "1").await;
    }
    let heard = edge.heard("anything", |_| true).await;
    assert!(!heard.settled.contains_key("slow"), "it is still warming at {first}");
}
