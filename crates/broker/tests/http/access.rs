//! Credentials at the door: what opens it, what does not any more, and what is written of it.

use serde_json::{Value, json};
use store::{Audit, AuditFilter, Sessions};

use crate::harness::{CREDENTIALS, Harness, envelope, path};

fn text(value: &Value) -> String {
    value.as_str().expect("text").to_owned()
}

fn basic(name: &str, password: &str) -> String {
    use base64::Engine;
    let pair = base64::engine::general_purpose::STANDARD.encode(format!("{name}:{password}"));
    format!("Basic {pair}")
}

async fn make(harness: &Harness, path: &str, wish: Value) -> (String, String) {
    let made = harness.call("POST", path, Some(wish)).await;
    assert_eq!(made.status, 201, "{made:?}");
    let shown = if path == "/v1/tokens" { &made.body["token"] } else { &made.body["platform"] };
    (text(&made.body["secret"]), text(&shown["id"]))
}

async fn enters(harness: &Harness, authorization: &str) -> u16 {
    harness.call_as(authorization, "GET", "/v1/whoami", None).await.status
}

#[tokio::test]
async fn a_token_opens_until_it_is_revoked_and_that_is_seen_at_once() {
    let harness = Harness::new();
    let (secret, id) = make(&harness, "/v1/tokens", json!({"name": "ci", "teams": ["shop"]})).await;
    let bearer = format!("Bearer {secret}");
    let mut who = harness.call_as(&bearer, "GET", "/v1/whoami", None).await.body;
    let until = who.as_object_mut().and_then(|who| who.remove("expiresAt"));
    let listed = harness.call("GET", "/v1/tokens", None).await.body;
    assert_eq!(until.as_ref(), Some(&listed["tokens"][0]["expiresAt"]));
    assert!(until.is_some_and(|until| until.is_i64()));
    assert_eq!(
        who,
        json!({"credential": "ci", "role": "member", "teams": ["shop"], "by": "credential"})
    );
    assert_eq!(enters(&harness, &bearer).await, 200, "from memory");
    let code = harness.call_as(&bearer, "POST", "/v1/dashboard-codes", None).await;
    let code: model::AccessSecret = text(&code.body["code"]).parse().expect("a code");
    let revoked = harness.call("DELETE", &format!("/v1/tokens/{id}"), None).await;
    assert_eq!((revoked.status, revoked.body["state"].as_str()), (200, Some("revoked")));
    assert_eq!(enters(&harness, &bearer).await, 401);
    assert_eq!(harness.store.take_code(&code.hash(), 1_777_593_600_000).await, Ok(None));
    assert_eq!(harness.call("DELETE", &format!("/v1/tokens/{id}"), None).await.status, 404);
    let entries = harness.store.entries(AuditFilter { limit: 10, ..AuditFilter::default() }).await;
    let written = format!("{:?}", entries.expect("reads"));
    assert!(written.contains("token.create") && written.contains("token.revoke"), "{written}");
    assert!(!written.contains(&secret), "a secret is in the audit log");
}

#[tokio::test]
async fn a_slip_is_told_from_what_is_unknown_and_nothing_else_is_told() {
    let harness = Harness::new();
    let (secret, id) = make(&harness, "/v1/tokens", json!({"teams": ["shop"], "ttl": "1d"})).await;
    let (slip, other) = (format!("{}x", &secret[..secret.len() - 1]), "Bearer x.y.z".to_owned());
    let unknown = model::AccessSecret::new(model::AccessKind::Token, &[9; 32]);
    let say = async |authorization: String| {
        let answer = harness.call_as(&authorization, "GET", "/v1/whoami", None).await;
        assert_eq!(answer.status, 401, "{answer:?}");
        text(&answer.body["description"])
    };
    assert!(say(format!("Bearer {slip}")).await.contains("not whole"));
    let wrong = say(format!("Bearer {}", unknown.expose())).await;
    assert_eq!(say(other).await, wrong);
    assert_eq!(say(basic("cf", &secret)).await, wrong, "a token is no platform's password");
    harness.pass(24 * 60 * 60 * 1000);
    assert_eq!(say(format!("Bearer {secret}")).await, wrong, "it has expired");
    assert_eq!(harness.call("DELETE", &format!("/v1/tokens/{id}"), None).await.status, 200);
    assert_eq!(say(format!("Bearer {secret}")).await, wrong, "it is revoked");
}

#[tokio::test]
async fn a_platform_is_rotated_without_a_gap() {
    let harness = Harness::new();
    let (first, id) = make(&harness, "/v1/platforms", json!({"name": "cf"})).await;
    let rotate = format!("/v1/platforms/{id}/secrets");
    assert_eq!(enters(&harness, &basic("cf", &first)).await, 200);
    assert_eq!(enters(&harness, &basic("other", &first)).await, 401, "under its own name only");
    assert_eq!(enters(&harness, &format!("Bearer {first}")).await, 401);
    for (path, body) in [
        ("/v1/tokens", json!({"teams": ["shop"], "ttl": "0s"})),
        ("/v1/tokens", json!({"teams": ["shop"], "ttl": "367d"})),
        ("/v1/tokens", json!({"teams": ["shop"], "ttl": "soon"})),
        (rotate.as_str(), json!({"overlap": "8d"})),
    ] {
        let refused = harness.call("POST", path, Some(body.clone())).await;
        assert_eq!(refused.status, 400, "{body}: {refused:?}");
    }
    let (second, _) = make(&harness, &rotate, json!({"overlap": "1h"})).await;
    for secret in [&first, &second] {
        assert_eq!(enters(&harness, &basic("cf", secret)).await, 200);
    }
    harness.pass(60 * 60 * 1000);
    assert_eq!(enters(&harness, &basic("cf", &first)).await, 401, "its time is over");
    let (third, _) = make(&harness, &rotate, json!({"overlap": "0s"})).await;
    assert_eq!(enters(&harness, &basic("cf", &second)).await, 401, "without an overlap");
    assert_eq!(enters(&harness, &basic("cf", &third)).await, 200);
}

#[tokio::test]
async fn only_a_platform_is_believed_about_who_is_behind_it() {
    let identity = "cloudfoundry eyJ1c2VyX2lkIjoiNjgzZWE3NDgifQ==";
    for (is_platform, context, status, recorded) in [
        (true, "cloudfoundry", 202, Some(identity)),
        (true, "kubernetes", 400, None),
        (false, "kubernetes", 202, None),
    ] {
        let harness = Harness::new();
        let (secret, _) = make(&harness, "/v1/platforms", json!({"name": "cf"})).await;
        let platform = basic("cf", &secret);
        let mut wish = envelope("internal", "a", "a.example.com");
        wish["context"] = json!({"platform": context});
        let headers = [
            ("authorization", if is_platform { platform.as_str() } else { CREDENTIALS }),
            ("x-broker-api-version", "2.17"),
            ("content-type", "application/json"),
            ("x-broker-api-originating-identity", identity),
        ];
        let answer = harness.send("PUT", &path("a"), &headers, wish.to_string()).await;
        assert_eq!(answer.status, status, "{context}: {answer:?}");
        if status == 202 {
            let by = harness.begin().await.operation.requested_by;
            assert_eq!(by.originating_identity.as_deref(), recorded);
        }
    }
}

#[tokio::test]
async fn a_member_stays_in_its_teams() {
    let harness = Harness::new();
    let (secret, _) = make(&harness, "/v1/tokens", json!({"name": "ci", "teams": ["shop"]})).await;
    let member = format!("Bearer {secret}");
    let wish = |organization: &str, team: &str| {
        let mut wish = envelope("internal", "a", "a.example.com");
        (wish["organization_guid"], wish["space_guid"]) = (json!(organization), json!(team));
        Some(wish)
    };
    for (organization, team) in [("margrave", "pay"), ("acme", "shop")] {
        let refused = harness.call_as(&member, "PUT", &path("a"), wish(organization, team)).await;
        let said = text(&refused.body["description"]);
        assert_eq!((refused.status, refused.body["error"].as_str()), (403, Some("Forbidden")));
        assert!(said.contains("`pay`") || said.contains("`acme`"), "{said}");
    }
    assert_eq!(harness.call("PUT", &path("a"), wish("margrave", "pay")).await.status, 202);
    let taken = harness.call_as(&member, "PUT", &path("a"), wish("margrave", "shop")).await;
    assert_eq!(taken.status, 409, "that an id is taken cannot be hidden: {taken:?}");
    harness.work(true).await;
    let listed = harness.call_as(&member, "GET", "/v1/instances", None).await.body;
    assert_eq!(listed["instances"], json!([]));
    let refused =
        harness.call_as(&member, "POST", "/v1/tokens", Some(json!({"teams": ["shop"]}))).await;
    assert_eq!(refused.status, 403, "a token makes none: {refused:?}");
}

#[tokio::test]
async fn after_many_guesses_an_address_waits_with_what_can_be_guessed() {
    let harness = Harness::new();
    let (secret, _) = make(&harness, "/v1/tokens", json!({"teams": ["shop"]})).await;
    let known = format!("Bearer {secret}");
    assert_eq!(enters(&harness, &known).await, 200);
    let (secret, _) = make(&harness, "/v1/platforms", json!({"name": "cf"})).await;
    let new = basic("cf", &secret);
    for _ in 0..40 {
        assert_eq!(enters(&harness, "Bearer mgt_wrong").await, 401);
    }
    assert_eq!(enters(&harness, &basic("user", "guess")).await, 401, "those were no guesses");
    let mut last = 0;
    for _ in 0..40 {
        last = enters(&harness, &basic("user", "guess")).await;
    }
    assert_eq!(last, 429);
    assert_eq!(enters(&harness, CREDENTIALS).await, 429, "the right guess is not told either");
    assert_eq!(enters(&harness, &known).await, 200, "nobody guesses 256 bits");
    assert_eq!(enters(&harness, &new).await, 200, "nor those that were never seen");
    harness.pass(60 * 1000);
    assert_eq!(enters(&harness, CREDENTIALS).await, 200);
}
