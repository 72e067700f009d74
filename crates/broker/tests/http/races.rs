//! Requests that cross each other: one wins, and nobody is told something untrue.

use std::sync::Arc;

use broker::{PLAN_INTERNAL_ID, PLAN_PUBLIC_ID, SERVICE_ID};
use serde_json::json;

use crate::harness::{Harness, envelope, path};

const RACERS: usize = 12;

#[tokio::test(flavor = "multi_thread")]
async fn of_equal_requests_all_are_the_same_operation() {
    let harness = Arc::new(Harness::new());
    let race = (0..RACERS).map(|_| {
        let harness = Arc::clone(&harness);
        tokio::spawn(async move {
            harness.call("PUT", &path("a"), Some(envelope("internal", "a", "a.example.com"))).await
        })
    });
    let mut operations = Vec::new();
    for racer in race.collect::<Vec<_>>() {
        let answer = racer.await.expect("answers");
        assert_eq!(answer.status, 202, "{answer:?}");
        operations.push(answer.body["operation"].to_string());
    }
    operations.dedup();
    assert_eq!(operations.len(), 1, "{operations:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_who_want_a_hostname_one_gets_it() {
    let harness = Arc::new(Harness::new());
    let race = (0..RACERS).map(|n| {
        let harness = Arc::clone(&harness);
        tokio::spawn(async move {
            let wish = envelope("public", &format!("s{n}"), "wanted.example.com");
            harness.call("PUT", &path(&format!("i{n}")), Some(wish)).await.status
        })
    });
    let mut answers = Vec::new();
    for racer in race.collect::<Vec<_>>() {
        answers.push(racer.await.expect("answers"));
    }
    answers.sort_unstable();
    assert_eq!(answers[0], 202);
    assert!(answers[1..].iter().all(|status| *status == 422), "{answers:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_different_updates_one_wins_and_the_others_are_told_to_wait() {
    let harness = Arc::new(Harness::new());
    harness.call("PUT", &path("a"), Some(envelope("internal", "a", "a.example.com"))).await;
    harness.work(true).await;
    let race = (0..RACERS).map(|n| {
        let harness = Arc::clone(&harness);
        tokio::spawn(async move {
            // Two of each kind: the winner's twin is told the winner's operation.
            let wish = envelope("internal", "a", &format!("h{}.example.com", n / 2));
            harness.call("PATCH", &path("a"), Some(wish)).await
        })
    });
    let mut won = Vec::new();
    for racer in race.collect::<Vec<_>>() {
        let answer = racer.await.expect("answers");
        match answer.status {
            202 => won.push(answer.body["operation"].to_string()),
            422 => assert_eq!(answer.body["error"], "ConcurrencyError", "{answer:?}"),
            _ => panic!("{answer:?}"),
        }
    }
    assert_eq!(won.len(), 2, "a wish and its twin: {won:?}");
    won.dedup();
    assert_eq!(won.len(), 1, "{won:?}");
}

/// Half seen, an instance that has just become public is `internal` and settled: a request to make
/// it internal would be answered with "it is so already".
#[tokio::test]
async fn what_ends_while_it_is_read_is_not_half_seen() {
    let public = || Some(json!({"service_id": SERVICE_ID, "plan_id": PLAN_PUBLIC_ID}));
    let internal = || Some(json!({"service_id": SERVICE_ID, "plan_id": PLAN_INTERNAL_ID}));
    let wish = || Some(envelope("internal", "a", "a.example.com"));
    let fetch = "/v2/service_instances/a".to_owned();
    for (method, request, body, status, plan) in [
        ("PATCH", path("a"), internal(), 202, None),
        ("PATCH", path("a"), public(), 200, None),
        ("PUT", path("a"), wish(), 409, None),
        ("GET", fetch, None, 200, Some(PLAN_PUBLIC_ID)),
    ] {
        let harness = Harness::new();
        harness.call("PUT", &path("a"), wish()).await;
        harness.work(true).await;
        harness.call("PATCH", &path("a"), public()).await;
        harness.meddler.after_the_next_read(harness.store.clone());
        let answer = harness.call(method, &request, body).await;
        assert!(harness.meddler.has_meddled(), "{method} reads no instance");
        assert_eq!(answer.status, status, "{method}: {answer:?}");
        assert_eq!(answer.body["plan_id"].as_str(), plan, "{method}: {answer:?}");
    }
}
