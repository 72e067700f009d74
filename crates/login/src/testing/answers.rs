//! What the issuer of the tests answers.

use std::collections::BTreeMap;
use std::future::pending;
use std::sync::{Arc, Mutex};

use axum::Json;
use axum::extract::State as Shared;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::{CLIENT, CODE, Kind, Manner, Said, Signer, State, lock};

type Issuer = Shared<Arc<Mutex<State>>>;

const DEVICE_CODE: &str = "a-device-code-of-the-tests";
/// Larger than any answer that is read, in bytes.
const HUGE_BYTES: usize = 8 << 20;

pub(super) async fn discovery(Shared(issuer): Issuer) -> Response {
    let (url, manner) = {
        let mut state = lock(&issuer);
        state.asked += 1;
        (state.url.clone(), state.manner)
    };
    let (mut name, mut keys) = (url.clone(), format!("{url}/keys"));
    match manner {
        Manner::AnotherIssuer => name = format!("{url}/"),
        Manner::UnsafeKeys => "http://192.0.2.1/keys".clone_into(&mut keys),
        Manner::Redirecting => return moved("/elsewhere/discovery"),
        _ => {}
    }
    let mut document = json!({
        "issuer": name, "jwks_uri": keys, "token_endpoint": format!("{url}/token"),
        "device_authorization_endpoint": format!("{url}/device"),
    });
    if manner == Manner::NoDevice {
        document["device_authorization_endpoint"] = Value::Null;
    }
    in_manner(manner, document).await
}

pub(super) async fn keys(Shared(issuer): Issuer) -> Response {
    let (manner, keys) = {
        let mut state = lock(&issuer);
        state.keys_asked += 1;
        let keys = match state.manner {
            Manner::NoKeys => Vec::new(),
            Manner::ManyKeys => vec![state.signer.jwk(); 1000],
            Manner::UselessKeys => useless(&state.signer),
            _ => vec![Signer::new(Kind::Ed25519, "another").jwk(), state.signer.jwk()],
        };
        (state.manner, keys)
    };
    in_manner(manner, json!({"keys": keys})).await
}

async fn in_manner(manner: Manner, document: Value) -> Response {
    match manner {
        Manner::Failing => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        Manner::Hanging => pending().await,
        Manner::Huge => " ".repeat(HUGE_BYTES).into_response(),
        Manner::Garbled => "<html>".into_response(),
        _ => Json(document).into_response(),
    }
}

/// Each of these is the signer's own key, and must not do.
fn useless(signer: &Signer) -> Vec<Value> {
    let with = |key: &str, value: Value| {
        let mut jwk = signer.jwk();
        jwk[key] = value;
        jwk
    };
    let short = "x".repeat(172);
    vec![
        with("use", json!("enc")),
        with("alg", json!("PS256")),
        with("kty", json!("oct")),
        with("n", json!(short)),
        json!("no key"),
    ]
}

fn moved(to: &'static str) -> Response {
    (StatusCode::FOUND, [(header::LOCATION, to)]).into_response()
}

/// Where a redirect leads: all is sound, were it asked.
pub(super) async fn elsewhere(Shared(issuer): Issuer, uri: Uri) -> Response {
    if uri.path() != "/elsewhere/discovery" {
        return StatusCode::NOT_FOUND.into_response();
    }
    let url = lock(&issuer).url.clone();
    Json(json!({"issuer": url, "jwks_uri": format!("{url}/keys")})).into_response()
}

pub(super) async fn device(Shared(issuer): Issuer, body: String) -> Response {
    let form = form(&body);
    if form.get("client_id").map(String::as_str) != Some(CLIENT) {
        return refused("invalid_client");
    }
    if !form.get("scope").is_some_and(|scope| scope.split(' ').any(|one| one == "openid")) {
        return refused("invalid_scope");
    }
    let state = lock(&issuer);
    let page = match state.manner {
        Manner::UnsafePage => "http://192.0.2.1/activate".to_owned(),
        _ => format!("{}/activate", state.url),
    };
    let code = if state.manner == Manner::OddCode { "AB\u{1b}[2J" } else { CODE };
    Json(json!({
        "device_code": DEVICE_CODE, "user_code": code, "verification_uri": page,
        "verification_uri_complete": format!("{page}?user_code={CODE}"), "expires_in": 600,
        "interval": 1,
    }))
    .into_response()
}

pub(super) async fn token(Shared(issuer): Issuer, body: String) -> Response {
    let form = form(&body);
    let of = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
    let mut state = lock(&issuer);
    if of("client_id") != CLIENT {
        return refused("invalid_client");
    }
    if let Some(error) = state.errors.pop_front() {
        return refused(&error);
    }
    match (of("grant_type"), &state.said) {
        ("urn:ietf:params:oauth:grant-type:device_code", _) if of("device_code") != DEVICE_CODE => {
            return refused("invalid_grant");
        }
        ("urn:ietf:params:oauth:grant-type:device_code", Said::Nothing) => {
            return refused("authorization_pending");
        }
        ("urn:ietf:params:oauth:grant-type:device_code", Said::No) => {
            return refused("access_denied");
        }
        ("urn:ietf:params:oauth:grant-type:device_code", Said::Yes) => {}
        ("refresh_token", _) if state.refresh.as_deref() != Some(of("refresh_token")) => {
            return refused("invalid_grant");
        }
        ("refresh_token", _) => state.refreshed += 1,
        _ => return refused("unsupported_grant_type"),
    }
    // Each refresh token is good once.
    let refresh = format!("a-refresh-token-of-the-tests-{}", state.refreshed);
    state.refresh = Some(refresh.clone());
    let token = state.signer.sign(&state.claims());
    let token = Some(token).filter(|_| state.manner != Manner::NoIdToken);
    Json(json!({
        "id_token": token, "refresh_token": refresh, "access_token": "opaque",
        "token_type": "Bearer",
    }))
    .into_response()
}

fn refused(error: &str) -> Response {
    (StatusCode::BAD_REQUEST, Json(json!({"error": error}))).into_response()
}

/// `application/x-www-form-urlencoded`.
fn form(body: &str) -> BTreeMap<String, String> {
    let pairs = body.split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), decoded(value))).collect()
}

fn decoded(text: &str) -> String {
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at(2);
        bytes.push(u8::from_str_radix(digits, 16).expect("two digits"));
        bytes.extend(rest.as_bytes());
    }
    String::from_utf8(bytes).expect("UTF-8")
}
