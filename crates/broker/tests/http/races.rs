//! Requests that cross each other: one wins, and nobody is told something untrue.

use std::sync::Arc;

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
    assert!(answers[1..].iter().all(|status| *status == 409), "{answers:?}");
}
