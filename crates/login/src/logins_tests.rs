//! What is let in and what is not, judged with a real issuer at the other end.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use model::{Millis, ORGANIZATION, Role};
use serde_json::{Value, json};

use crate::claims::Claims;
use crate::jws::Signed;
use crate::testing::{CLIENT, Kind, Manner, Signer, TestIssuer, seal};
use crate::{LoginError, Logins, Refused, Settings, Teams};

const NOW: Millis = 1_800_000_000_000;
const NOW_S: i64 = NOW / 1000;
const HOUR: Millis = 60 * 60 * 1000;

async fn issuer() -> TestIssuer {
    TestIssuer::start(|| NOW).await
}

fn logins(url: &str) -> Logins {
    Logins::new(Settings {
        issuer: url.parse().unwrap(),
        client_id: CLIENT.to_owned(),
        audience: CLIENT.to_owned(),
        scope: "openid".to_owned(),
        groups_claim: "groups".to_owned(),
        name_claim: "email".to_owned(),
        teams: Teams::parse("eng-shop=shop; team-*=*", "sre").unwrap(),
    })
    .unwrap()
}

fn unavailable(judged: Result<impl Sized, LoginError>) -> String {
    match judged {
        Err(LoginError::Unavailable(why)) => why,
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("it was let in"),
    }
}

#[tokio::test]
async fn each_kind_of_key_lets_in() {
    for kind in [Kind::Rsa, Kind::P256, Kind::Ed25519] {
        let issuer = issuer().await;
        issuer.rotate(kind, "the-key");
        let logins = logins(issuer.url());
        let logged_in = logins.principal(&issuer.sign(&issuer.claims()), NOW).await.unwrap();
        assert_eq!(logged_in.principal.credential, "alice@example.com (login 00u1alice)");
        let teams = ["shop".to_owned()].into();
        let member = Role::Member { organization: ORGANIZATION.to_owned(), teams };
        assert_eq!(logged_in.principal.role, member, "{kind:?}");
        assert_eq!(logged_in.until, NOW + HOUR);
    }
}

/// Claims that are sound but for this.
fn but(issuer: &TestIssuer, key: &str, value: Value) -> Value {
    let mut claims = issuer.claims();
    claims[key] = value;
    claims
}

/// What is done to a sound token, and what is said to it.
type Case = (&'static str, fn(&TestIssuer) -> String, &'static str);

fn without(issuer: &TestIssuer, key: &str) -> Value {
    let mut claims = issuer.claims();
    claims.as_object_mut().unwrap().remove(key);
    claims
}

fn under(issuer: &TestIssuer, key: &str, value: Value) -> String {
    issuer.with_signer(|signer| {
        let mut header = signer.header();
        header[key] = value;
        header.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        signer.sign_under(&header, &json!({}))
    })
}

/// A sound token under another header.
fn headed(issuer: &TestIssuer, key: &str, value: Value) -> String {
    let claims = issuer.claims();
    issuer.with_signer(|signer| {
        let mut header = signer.header();
        header[key] = value;
        header.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        signer.sign_under(&header, &claims)
    })
}

const HOSTILE: &[Case] = &[
    ("empty", |_| String::new(), "malformed"),
    ("no token at all", |_| "hello".to_owned(), "malformed"),
    ("two parts", |i| cut(&sound(i), 2), "malformed"),
    ("four parts", |i| format!("{}.x", sound(i)), "malformed"),
    ("padded", |i| format!("{}=", sound(i)), "malformed"),
    ("not base64url", |i| sound(i).replacen('.', "+.", 1), "malformed"),
    ("header is a list", |i| i.with_signer(|s| s.sign_under(&json!([]), &json!({}))), "malformed"),
    ("too long", |i| i.sign(&but(i, "pad", json!("x".repeat(20_000)))), "too_long"),
    ("alg none", |i| seal(&json!({"alg": "none"}), &i.claims(), b""), "algorithm"),
    ("alg None", |i| seal(&json!({"alg": "None", "kid": "key-1"}), &i.claims(), b""), "algorithm"),
    ("alg none, signed", |i| headed(i, "alg", json!("none")), "algorithm"),
    (
        "HS256 with the public key",
        |i| {
            let c = i.claims();
            i.with_signer(|s| s.sign_as_hmac(&c))
        },
        "algorithm",
    ),
    ("PS256", |i| headed(i, "alg", json!("PS256")), "algorithm"),
    ("RS1", |i| headed(i, "alg", json!("RS1")), "algorithm"),
    ("alg of another key", |i| headed(i, "alg", json!("ES256")), "unknown_key"),
    ("alg is a list", |i| headed(i, "alg", json!(["RS256"])), "malformed"),
    ("crit", |i| headed(i, "crit", json!(["exp"])), "critical"),
    ("an access token", |i| headed(i, "typ", json!("at+jwt")), "type"),
    ("a logout token", |i| headed(i, "typ", json!("logout+jwt")), "type"),
    ("no kid", |i| headed(i, "kid", Value::Null), "key_id"),
    ("empty kid", |i| headed(i, "kid", json!("")), "key_id"),
    ("long kid", |i| headed(i, "kid", json!("k".repeat(300))), "key_id"),
    ("unknown kid", |i| headed(i, "kid", json!("key-2")), "unknown_key"),
    ("kid of another key", |i| headed(i, "kid", json!("another")), "unknown_key"),
    ("a key brought along", |i| brought(i), "signature"),
    ("no claims", |i| under(i, "typ", Value::Null), "claims"),
    ("another issuer", |i| i.sign(&but(i, "iss", json!("https://evil.example"))), "issuer"),
    ("issuer with a slash", |i| i.sign(&but(i, "iss", json!(format!("{}/", i.url())))), "issuer"),
    ("two issuers", |i| i.sign(&but(i, "iss", json!([i.url()]))), "claims"),
    ("another audience", |i| i.sign(&but(i, "aud", json!("other"))), "audience"),
    ("nobody's", |i| i.sign(&but(i, "aud", json!([]))), "audience"),
    (
        "audience as part of another",
        |i| i.sign(&but(i, "aud", json!("margrave-cli-2"))),
        "audience",
    ),
    ("several audiences, no party", |i| i.sign(&but(i, "aud", json!([CLIENT, "x"]))), "party"),
    ("another's party", |i| i.sign(&but(i, "azp", json!("other"))), "party"),
    ("no audience", |i| i.sign(&without(i, "aud")), "claims"),
    ("no expiry", |i| i.sign(&without(i, "exp")), "claims"),
    ("no issuing", |i| i.sign(&without(i, "iat")), "claims"),
    ("no subject", |i| i.sign(&without(i, "sub")), "claims"),
    ("empty subject", |i| i.sign(&but(i, "sub", json!(""))), "claims"),
    ("subject with a line break", |i| i.sign(&but(i, "sub", json!("a\nb"))), "claims"),
    ("expiry as text", |i| i.sign(&but(i, "exp", json!("9999999999"))), "claims"),
    ("expired", |i| i.sign(&but(i, "exp", json!(NOW_S - 60))), "expired"),
    ("expired before time began", |i| i.sign(&but(i, "exp", json!(-1e300))), "expired"),
    ("not yet", |i| i.sign(&but(i, "nbf", json!(NOW_S + 61))), "not_yet"),
    ("issued tomorrow", |i| i.sign(&but(i, "iat", json!(NOW_S + 90_000))), "not_yet"),
    ("issued after time ended", |i| i.sign(&but(i, "iat", json!(1e300))), "not_yet"),
    ("a day old", |i| i.sign(&but(i, "iat", json!(NOW_S - 86_400))), "old"),
    (
        "another's signature",
        |i| {
            let c = i.claims();
            Signer::new(Kind::Rsa, "key-1");
            swapped(&i.sign(&c), &i.sign(&but(i, "sub", json!("mallory"))))
        },
        "signature",
    ),
    ("no signature", |i| cut(&sound(i), 2) + ".", "signature"),
    ("signature with a bit turned", |i| turned(&sound(i)), "signature"),
    ("no groups", |i| i.sign(&without(i, "groups")), "no_groups"),
    ("groups are none", |i| i.sign(&but(i, "groups", json!([]))), "no_groups"),
    ("groups are a number", |i| i.sign(&but(i, "groups", json!(7))), "no_groups"),
    ("no group of ours", |i| i.sign(&but(i, "groups", json!(["eng-pay", "SRE"]))), "no_team"),
    ("groups in one text", |i| i.sign(&but(i, "groups", json!("eng-shop,sre"))), "no_team"),
];

fn sound(issuer: &TestIssuer) -> String {
    issuer.sign(&issuer.claims())
}

/// The first parts of it.
fn cut(token: &str, parts: usize) -> String {
    token.split('.').take(parts).collect::<Vec<_>>().join(".")
}

/// A header that brings its own key, and is signed with it.
fn brought(issuer: &TestIssuer) -> String {
    let mallory = Signer::new(Kind::Ed25519, "another");
    let mut header = mallory.header();
    header["jwk"] = mallory.jwk();
    header["jku"] = json!("http://192.0.2.1/keys");
    mallory.sign_under(&header, &issuer.claims())
}

/// The signature of one under another.
fn swapped(one: &str, other: &str) -> String {
    format!("{}.{}", cut(other, 2), one.rsplit('.').next().unwrap())
}

fn turned(token: &str) -> String {
    let (covered, signature) = token.rsplit_once('.').unwrap();
    let first = if signature.starts_with('A') { "B" } else { "A" };
    format!("{covered}.{first}{}", &signature[1..])
}

#[tokio::test]
async fn nothing_else_lets_in() {
    let issuer = issuer().await;
    let logins = logins(issuer.url());
    logins.principal(&sound(&issuer), NOW).await.unwrap();
    for (what, token, expected) in HOSTILE {
        match logins.principal(&token(&issuer), NOW).await {
            Err(LoginError::Refused(refused)) => assert_eq!(refused.reason(), *expected, "{what}"),
            other => panic!("{what}: {other:?}"),
        }
    }
    assert!(logins.principal(&sound(&issuer), NOW).await.is_ok());
}

#[tokio::test]
async fn what_is_within_bounds_lets_in() {
    let issuer = issuer().await;
    let logins = logins(issuer.url());
    let cases = [
        ("expired, by a clock that is a little off", "exp", json!(NOW_S - 59)),
        ("not yet, by such a clock", "nbf", json!(NOW_S + 59)),
        ("parts of seconds", "exp", json!(NOW_S as f64 + 0.5)),
        ("one of several audiences, with the party", "aud", json!(["x", CLIENT])),
        ("one group as a text", "groups", json!("team-cart")),
        ("groups and what is none", "groups", json!([1, null, "eng-shop"])),
    ];
    for (what, key, value) in cases {
        let mut claims = but(&issuer, key, value);
        claims["azp"] = json!(CLIENT);
        let judged = logins.principal(&issuer.sign(&claims), NOW).await;
        assert!(judged.is_ok(), "{what}: {judged:?}");
    }
    let operator = issuer.sign(&but(&issuer, "groups", json!(["eng-shop", "sre"])));
    let operator = logins.principal(&operator, NOW).await.unwrap();
    assert_eq!(operator.principal.role, Role::Operator);
    let forever = issuer.sign(&but(&issuer, "exp", json!(1e300)));
    assert_eq!(logins.principal(&forever, NOW).await.unwrap().until, NOW + 24 * HOUR);
}

#[tokio::test]
async fn whoever_has_no_team_learns_which_groups_would_do() {
    let issuer = issuer().await;
    let logins = logins(issuer.url());
    let told = |judged: Result<_, LoginError>| {
        judged.map(|_: crate::LoggedIn| ()).unwrap_err().to_string()
    };
    let stranger = issuer.sign(&but(&issuer, "groups", json!(["eng-pay", "all"])));
    assert_eq!(
        told(logins.principal(&stranger, NOW).await),
        "none of your groups (all, eng-pay) is of a team here; these are: eng-shop, team-*, sre"
    );
    let mut many = without(&issuer, "groups");
    many["_claim_names"] = json!({"groups": "src1"});
    let told = told(logins.principal(&issuer.sign(&many), NOW).await);
    assert!(told.contains("left them out because there are too many"), "{told}");
}

#[tokio::test]
async fn people_are_called_what_a_log_can_show() {
    let issuer = issuer().await;
    let logins = logins(issuer.url());
    for (email, expected) in [
        (json!("bob@example.com"), "bob@example.com (login 00u1alice)"),
        (json!("00u1alice"), "login 00u1alice"),
        (json!("a\u{1b}[31m"), "login 00u1alice"),
        (json!("a\u{202e}b"), "login 00u1alice"),
        (json!("eve (login 00u2bob)"), "login 00u1alice"),
        (json!("x".repeat(101)), "login 00u1alice"),
        (json!(""), "login 00u1alice"),
        (json!(7), "login 00u1alice"),
    ] {
        let token = issuer.sign(&but(&issuer, "email", email));
        let logged_in = logins.principal(&token, NOW).await.unwrap();
        assert_eq!(logged_in.principal.credential, expected);
    }
}

#[tokio::test]
async fn a_lying_issuer_is_not_believed() {
    for (manner, expected) in [
        (Manner::Failing, "answers 503 Service Unavailable"),
        (Manner::Hanging, "does not answer within 5 s"),
        (Manner::Huge, "length limit exceeded"),
        (Manner::Garbled, "answers what cannot be read"),
        (Manner::Redirecting, "answers 302 Found"),
        (Manner::AnotherIssuer, "which is not the one configured"),
        (Manner::UnsafeKeys, "names a `jwks_uri` that must begin with `https://`"),
        (Manner::NoKeys, "publishes no key for RS256, ES256 or EdDSA"),
        (Manner::ManyKeys, "publishes more than 100 keys"),
        (Manner::UselessKeys, "publishes no key for RS256, ES256 or EdDSA"),
    ] {
        let issuer = issuer().await;
        issuer.behave(manner);
        let logins = logins(issuer.url());
        let why = unavailable(logins.principal(&sound(&issuer), NOW).await);
        assert!(why.contains(expected), "{manner:?}: {why}");
        // A moment later it is asked again.
        issuer.behave(Manner::Sound);
        unavailable(logins.principal(&sound(&issuer), NOW + 4_999).await);
        assert!(logins.principal(&sound(&issuer), NOW + 5_000).await.is_ok(), "{manner:?}");
    }
}

#[tokio::test]
async fn another_key_is_fetched_once_whoever_asks() {
    let issuer = issuer().await;
    let logins = Arc::new(logins(issuer.url()));
    assert!(logins.principal(&sound(&issuer), NOW).await.is_ok());
    assert_eq!(issuer.keys_asked(), 1);
    issuer.rotate(Kind::P256, "key-2");
    let token = sound(&issuer);
    let later = NOW + 5_000;
    let all = (0..32).map(|_| {
        let (logins, token) = (Arc::clone(&logins), token.clone());
        tokio::spawn(async move { logins.principal(&token, later).await })
    });
    for judged in all.collect::<Vec<_>>() {
        assert!(judged.await.unwrap().is_ok());
    }
    assert_eq!(issuer.keys_asked(), 2);
    // Strangers name keys that nobody has: that asks nobody.
    for number in 0..50 {
        let token = headed(&issuer, "kid", json!(format!("stranger-{number}")));
        let judged = logins.principal(&token, later + 1000).await;
        assert_eq!(judged, Err(LoginError::Refused(Refused::UnknownKey)));
    }
    assert_eq!(issuer.keys_asked(), 2);
}

#[tokio::test]
async fn an_issuer_that_is_away_is_waited_for_a_day() {
    let issuer = issuer().await;
    let logins = logins(issuer.url());
    let at = |now: Millis| {
        let mut claims = issuer.claims();
        claims["iat"] = json!(now / 1000);
        claims["exp"] = json!(now / 1000 + 3600);
        (issuer.sign(&claims), now)
    };
    logins.principal(&at(NOW).0, NOW).await.unwrap();
    issuer.behave(Manner::Failing);
    for hours in [1, 12, 23] {
        let (token, now) = at(NOW + hours * HOUR);
        assert!(logins.principal(&token, now).await.is_ok(), "after {hours} h");
    }
    let (token, now) = at(NOW + 25 * HOUR);
    let why = unavailable(logins.principal(&token, now).await);
    assert!(why.contains("answers 503"), "{why}");
    issuer.behave(Manner::Sound);
    let (token, now) = at(NOW + 26 * HOUR);
    assert!(logins.principal(&token, now).await.is_ok());
}

#[tokio::test]
async fn a_key_that_is_taken_back_is_not_used_for_long() {
    let issuer = issuer().await;
    let logins = logins(issuer.url());
    let token = sound(&issuer);
    logins.principal(&token, NOW).await.unwrap();
    issuer.rotate(Kind::Ed25519, "key-2");
    let minutes = |count: Millis| NOW + count * 60 * 1000;
    assert!(logins.principal(&token, minutes(10) - 1).await.is_ok());
    let judged = logins.principal(&token, minutes(10)).await;
    assert_eq!(judged, Err(LoginError::Refused(Refused::UnknownKey)));
}

#[tokio::test]
async fn who_hangs_up_does_not_prevent_the_fetching() {
    let issuer = issuer().await;
    let logins = logins(issuer.url());
    let token = sound(&issuer);
    // Polled once, then dropped, as when a client goes away.
    let asked = logins.principal(&token, NOW);
    let _ = futures_once(asked).await;
    // No further attempt may begin at this time: the first must have gone on.
    while issuer.keys_asked() == 0 {
        tokio::task::yield_now().await;
    }
    assert!(logins.principal(&token, NOW).await.is_ok());
    assert_eq!(issuer.keys_asked(), 1);
}

#[tokio::test]
async fn a_slow_issuer_is_asked_by_one_at_a_time_and_waited_for_once() {
    let issuer = issuer().await;
    let logins = logins(issuer.url());
    let token = sound(&issuer);
    logins.principal(&token, NOW).await.unwrap();
    issuer.behave(Manner::Hanging);
    let (stale, later) = (NOW + 20 * 60 * 1000, NOW + 21 * 60 * 1000);
    let (one, other) =
        tokio::join!(logins.principal(&token, stale), logins.principal(&token, later));
    assert!(one.is_ok() && other.is_ok(), "known keys stay in use");
    assert_eq!(issuer.asked(), 2, "by two at a time");
    // It has failed by now: whoever has a key goes on at once, while it is asked again.
    let judged = futures_once(logins.principal(&token, NOW + 22 * 60 * 1000)).await;
    assert!(judged.expect("nobody waits").is_ok());
}

/// Polls a future once.
async fn futures_once<F: Future>(future: F) -> Option<F::Output> {
    let mut future = Box::pin(future);
    std::future::poll_fn(|context| {
        std::task::Poll::Ready(match future.as_mut().poll(context) {
            std::task::Poll::Ready(output) => Some(output),
            std::task::Poll::Pending => None,
        })
    })
    .await
}

#[tokio::test]
async fn an_issuer_that_is_not_there_is_told() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let issuer = issuer().await;
    let logins = logins(&format!("http://127.0.0.1:{port}"));
    let claims = but(&issuer, "iss", json!(format!("http://127.0.0.1:{port}")));
    let error = logins.principal(&issuer.sign(&claims), NOW).await.unwrap_err().to_string();
    let expected = format!(
        "nobody can log in at the moment: http://127.0.0.1:{port}/.well-known/openid-configuration \
         cannot be reached: "
    );
    assert!(error.starts_with(&expected), "{error}");
}

proptest::proptest! {
    #[test]
    fn no_text_makes_the_broker_panic(
        text in "\\PC{0,200}",
        header in "[a-z{}\":,0-9]{0,60}",
        payload in proptest::collection::vec(proptest::num::u8::ANY, 0..100),
    ) {
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let shaped = format!("{}.{}.{}", encode(header.as_bytes()), encode(&payload), encode(b"x"));
        for token in [text, shaped] {
            if let Ok(signed) = Signed::read(&token) {
                let _ = Claims::read(&signed.payload);
            }
            let _ = crate::expires_at(&token);
        }
        let _ = Claims::read(&payload);
    }
}
