//! Hosts join as proxies: by a token, once; stay by their key; and go when they are revoked.

use authority::Applicant;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::harness::{Answer, Harness};

const MINUTE: i64 = 60_000;
const DAY: i64 = 24 * 60 * MINUTE;

async fn invite(harness: &Harness, wish: Value) -> String {
    let made = harness.call("POST", "/v1/join-tokens", Some(wish)).await;
    assert_eq!(made.status, 201, "{made:?}");
    made.body["secret"].as_str().expect("a secret").to_owned()
}

/// Without any credential, as hosts ask.
async fn join(harness: &Harness, token: &str, host: &Applicant) -> Answer {
    let wish = json!({"token": token, "request": host.request()});
    harness.call_as("", "POST", "/v1/join", Some(wish)).await
}

async fn renew(harness: &Harness, certificate: &Value, key: &Applicant) -> (Answer, Applicant) {
    let next = Applicant::new().expect("a key");
    let proof = STANDARD.encode(next.prove(&key.key()).expect("a proof"));
    let wish = json!({"certificate": certificate, "request": next.request(), "proof": proof});
    (harness.call_as("", "POST", "/v1/join/renew", Some(wish)).await, next)
}

fn said(answer: &Answer) -> &str {
    answer.body["description"].as_str().unwrap_or_default()
}

#[tokio::test]
async fn a_token_lets_one_host_in_under_the_name_that_it_was_made_for() {
    let harness = Harness::new();
    let token = invite(&harness, json!({"group": "eu-1", "node": "proxy-7"})).await;
    assert!(token.starts_with("mgj_"));
    let host = Applicant::new().unwrap();
    let joined = join(&harness, &token, &host).await;
    assert_eq!(joined.status, 200, "{joined:?}");
    assert_eq!((&joined.body["node"], &joined.body["group"]), (&json!("proxy-7"), &json!("eu-1")));
    assert_eq!(joined.body["serverName"], "xds.edge.example");
    assert_eq!(joined.body["xds"], "127.0.0.1:18000");
    let life =
        joined.body["notAfter"].as_i64().unwrap() - joined.body["issuedAt"].as_i64().unwrap();
    assert_eq!(life, DAY);
    let again = join(&harness, &token, &Applicant::new().unwrap()).await;
    assert_eq!((again.status, said(&again).contains("it was used")), (403, true), "{again:?}");
    let listed = harness.call("GET", "/v1/nodes?group=eu-1", None).await;
    assert_eq!(listed.body["nodes"][0]["state"], "joined");
    assert_eq!(listed.body["nodes"][0]["invitedBy"], "user");
    let told = harness.call("GET", "/v1/audit?action=node.join", None).await;
    assert_eq!(told.body["entries"].as_array().map(Vec::len), Some(1), "{told:?}");
    assert!(!told.body.to_string().contains(&token), "a secret is in the log");
}

#[tokio::test]
async fn a_name_is_chosen_where_none_was_given() {
    let harness = Harness::new();
    let token = invite(&harness, json!({"group": "eu-1"})).await;
    let joined = join(&harness, &token, &Applicant::new().unwrap()).await;
    let node = joined.body["node"].as_str().unwrap();
    assert!(node.starts_with("eu-1-") && node.len() == 13, "{node}");
}

#[tokio::test]
async fn tokens_that_let_nobody_in() {
    let harness = Harness::new();
    for wish in [
        json!({"group": "eu 1"}),
        json!({"group": "../x"}),
        json!({"group": "eu", "node": "a/b"}),
        json!({"group": "eu", "ttl": "61m"}),
        json!({"group": "eu", "ttl": "0s"}),
        json!({"group": "eu", "why": "x"}),
        json!({}),
    ] {
        let refused = harness.call("POST", "/v1/join-tokens", Some(wish.clone())).await;
        assert_eq!(refused.status, 400, "{wish}: {refused:?}");
    }
    let host = Applicant::new().unwrap();
    let late = invite(&harness, json!({"group": "eu", "ttl": "1m"})).await;
    harness.pass(MINUTE);
    let token = harness.call("POST", "/v1/tokens", Some(json!({"teams": ["shop"]}))).await;
    let token = token.body["secret"].as_str().unwrap().to_owned();
    for bad in ["", "mgj_x", late.as_str(), token.as_str()] {
        let refused = join(&harness, bad, &host).await;
        assert_eq!((refused.status, said(&refused).contains("not good")), (403, true), "{bad}");
    }
    // The other way round: what lets a host in opens nothing else.
    let good = invite(&harness, json!({"group": "eu"})).await;
    let door = harness.call_as(&format!("Bearer {good}"), "GET", "/v1/nodes", None).await;
    assert_eq!(door.status, 401);
}

#[tokio::test]
async fn a_bad_request_does_not_use_the_token_up() {
    let harness = Harness::new();
    let token = invite(&harness, json!({"group": "eu"})).await;
    for request in ["".to_owned(), "x".repeat(9 << 10)] {
        let wish = json!({"token": token, "request": request});
        let refused = harness.call_as("", "POST", "/v1/join", Some(wish)).await;
        assert_eq!(refused.status, 400, "{refused:?}");
    }
    assert_eq!(join(&harness, &token, &Applicant::new().unwrap()).await.status, 200);
}

/// They may all come from the address of a balancer, as operators may.
#[tokio::test]
async fn who_guesses_is_told_to_wait_and_holds_nobody_up() {
    let harness = Harness::new();
    let host = Applicant::new().unwrap();
    let used = invite(&harness, json!({"group": "eu"})).await;
    let joined = join(&harness, &used, &host).await;
    let certificate = joined.body["certificate"].clone();
    let stranger = Applicant::new().unwrap();
    for _ in 0..10 {
        assert_eq!(join(&harness, "mgj_guess", &host).await.status, 403);
        assert_eq!(renew(&harness, &certificate, &stranger).await.0.status, 403);
    }
    let late = [
        join(&harness, "mgj_guess", &host).await,
        join(&harness, &used, &host).await,
        renew(&harness, &certificate, &stranger).await.0,
    ];
    for late in late {
        assert_eq!((late.status, &late.headers["retry-after"]), (429, &"3".parse().unwrap()));
        assert!(said(&late).contains("try again later"), "{late:?}");
        assert_eq!(late.body["error"], "Forbidden", "by which it knows that its own is not good");
    }
    let (renewed, next) = renew(&harness, &certificate, &host).await;
    assert_eq!(renewed.status, 200);
    let token = invite(&harness, json!({"group": "eu", "node": "another"})).await;
    assert_eq!(join(&harness, &token, &host).await.status, 200);
    assert_eq!(
        harness.call_as("Basic d3Jvbmc6d3Jvbmc=", "GET", "/v1/nodes", None).await.status,
        401
    );

    harness.pass(3_000);
    assert_eq!(join(&harness, &used, &host).await.status, 403, "one more is forgiven");
    assert_eq!(join(&harness, &used, &host).await.status, 429);
    let (renewed, _) = renew(&harness, &renewed.body["certificate"], &next).await;
    assert_eq!(renewed.status, 200);
}

#[tokio::test]
async fn a_stranger_costs_no_signature() {
    let harness = Harness::new();
    let wish = json!({"token": "mgj_guess", "request": "no request"});
    assert_eq!(harness.call_as("", "POST", "/v1/join", Some(wish)).await.status, 403);
}

#[tokio::test]
async fn of_hosts_that_race_one_wins() {
    let harness = Harness::new();
    let token = invite(&harness, json!({"group": "eu"})).await;
    let (one, other) = (Applicant::new().unwrap(), Applicant::new().unwrap());
    let (one, other) = tokio::join!(join(&harness, &token, &one), join(&harness, &token, &other));
    let mut statuses = [one.status, other.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 403]);
}

#[tokio::test]
async fn a_proxy_renews_by_its_key_until_it_is_revoked() {
    let harness = Harness::new();
    let token = invite(&harness, json!({"group": "eu", "node": "proxy-7"})).await;
    let host = Applicant::new().unwrap();
    let first = join(&harness, &token, &host).await.body["certificate"].clone();
    harness.pass(DAY / 2);
    let (renewed, next) = renew(&harness, &first, &host).await;
    assert_eq!(renewed.status, 200, "{renewed:?}");
    assert_eq!(renewed.body["node"], "proxy-7");
    let second = renewed.body["certificate"].clone();
    // Another's key.
    let (refused, _) = renew(&harness, &second, &host).await;
    assert_eq!(refused.status, 403, "{refused:?}");
    assert!(said(&refused).contains("the proof is not a signature"), "{refused:?}");
    // The first ends; the second is good.
    harness.pass(DAY / 2);
    let (ended, _) = renew(&harness, &first, &host).await;
    assert_eq!((ended.status, said(&ended).contains("has ended")), (403, true), "{ended:?}");
    let (renewed, _) = renew(&harness, &second, &next).await;
    assert_eq!(renewed.status, 200);
    let revoked = harness.call("DELETE", "/v1/nodes/proxy-7", None).await;
    assert_eq!((revoked.status, &revoked.body["state"]), (200, &json!("revoked")));
    assert_eq!(harness.call("DELETE", "/v1/nodes/proxy-7", None).await.status, 404);
    let (refused, _) = renew(&harness, &second, &next).await;
    assert_eq!((refused.status, said(&refused).contains("was revoked")), (403, true));
    // An operator may let it in again.
    let token = invite(&harness, json!({"group": "eu", "node": "proxy-7"})).await;
    assert_eq!(join(&harness, &token, &Applicant::new().unwrap()).await.status, 200);
}

#[tokio::test]
async fn a_name_of_another_group_is_not_given_away() {
    let harness = Harness::new();
    let token = invite(&harness, json!({"group": "eu", "node": "proxy-7"})).await;
    assert_eq!(join(&harness, &token, &Applicant::new().unwrap()).await.status, 200);
    let token = invite(&harness, json!({"group": "us", "node": "proxy-7"})).await;
    let refused = join(&harness, &token, &Applicant::new().unwrap()).await;
    assert_eq!((refused.status, said(&refused).contains("of another group")), (409, true));
}
