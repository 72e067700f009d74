//! An Envoy that asks for a cluster when a request names it. It asks once: a second request for what there is not waits
//! as long as the filter says, whatever it was told, and so none is made here.

use crate::config::{Tenant, Way};
use crate::edge::{Edge, PATIENCE};
use crate::traffic::{Connection, upstream};

/// What a request for a cluster is answered with: an Envoy that waits for an answer of ours does not answer.
async fn ask(edge: &Edge, host: &str, cluster: &str) -> (u16, String) {
    let asking = async {
        let answer =
            Connection::to(edge.http).await.get_of(host, cluster).await.expect("an answer");
        (answer.status, answer.body)
    };
    let answered = tokio::time::timeout(PATIENCE, asking).await;
    answered.unwrap_or_else(|_| panic!("{cluster} hangs; Envoy said: {}", edge.log()))
}

async fn expect(edge: &Edge, tenant: &Tenant, cluster: &str, body: &str) {
    assert_eq!(ask(edge, &tenant.hosts[0], cluster).await, (200, body.to_owned()), "{cluster}");
}

async fn expect_none(edge: &Edge, tenant: &Tenant, cluster: &str) {
    assert_eq!(ask(edge, &tenant.hosts[0], cluster).await.0, 503, "{cluster}");
}

async fn clusters(edge: &Edge) -> u64 {
    edge.statistic(r"cluster_manager\.active_clusters").await
}

/// It is given what it asks for, told at once what there is not, and follows both.
async fn lives_on_demand(beside_all: bool) {
    let mut edge = Edge::start(Way::OnDemand { beside_all }).await;
    edge.synced().await;
    let (one, two) = (upstream("one").await, upstream("two").await);
    let (mut shop, mut blog) = (Tenant::new("shop", one), Tenant::new("blog", two));
    let late = Tenant::new("late", two);
    edge.settled(&shop, edge.change(&shop)).await;
    edge.settled(&blog, edge.change(&blog)).await;
    let there = if beside_all { 3 } else { 1 };
    assert_eq!(clusters(&edge).await, there, "the discovery server's, and what was asked for");
    expect(&edge, &shop, "shop/main", "one").await;
    expect_none(&edge, &shop, "nobody/main").await;
    expect_none(&edge, &shop, "late/main").await;
    assert_eq!(clusters(&edge).await, there.max(2));

    // What was asked for in vain comes when it is there.
    edge.settled(&late, edge.change(&late)).await;
    expect(&edge, &shop, "late/main", "two").await;
    // Its endpoints, the cluster itself, and one in place of another.
    shop.upstream = two;
    edge.settled(&shop, edge.change(&shop)).await;
    expect(&edge, &shop, "shop/main", "two").await;
    shop.connect_timeout = "2s";
    edge.settled(&shop, edge.change(&shop)).await;
    expect(&edge, &shop, "shop/main", "two").await;
    expect(&edge, &blog, "blog/main", "two").await;
    blog.cluster = "next";
    edge.settled(&blog, edge.change(&blog)).await;
    expect(&edge, &blog, "blog/next", "two").await;
    assert_eq!(clusters(&edge).await, 4, "`blog/main` has gone");

    // While the server is away, what is there answers; when it is back, it follows what became of it meanwhile.
    edge.stop().await;
    expect(&edge, &shop, "late/main", "two").await;
    shop.upstream = one;
    edge.change(&shop);
    edge.remove(&late);
    edge.back().await;
    edge.synced().await;
    expect(&edge, &shop, "shop/main", "one").await;
    assert_eq!(clusters(&edge).await, 3, "`late/main` has gone");
    expect(&edge, &blog, "blog/next", "two").await;
    edge.settled(&late, edge.change(&late)).await;
    expect(&edge, &shop, "late/main", "two").await;
}

#[tokio::test]
async fn clusters_come_when_a_request_names_them() {
    lives_on_demand(false).await;
}

#[tokio::test]
async fn clusters_that_a_request_names_come_beside_all_others() {
    lives_on_demand(true).await;
}
