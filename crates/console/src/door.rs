//! Who looks: sessions, the codes and tokens that open them, and the page for whoever has none.
//!
//! The cookie is `HttpOnly` and `SameSite=Strict`. Forms that change something carry a token made of
//! it; the login form, before there is a cookie, is refused when another site has sent it.

use std::sync::Arc;

use axum::Form;
use axum::extract::{FromRequestParts, Query, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use data_encoding::HEXLOWER;
use minijinja::context;
use model::{AccessKind, AccessSecret, Principal};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use store::SESSION_MILLIS_MAX;
use subtle::ConstantTimeEq;

use crate::router::{Console, Failure};

const COOKIE: &str = "margrave_session";
/// The longest path that a login leads back to, in bytes.
const PATH_BYTES_MAX: usize = 512;

/// Who looks.
pub(crate) struct Session {
    pub(crate) who: Principal,
    secret: AccessSecret,
}

impl Session {
    /// What a form must carry: only who has the cookie can have been given it.
    pub(crate) fn form_token(&self) -> String {
        let digest = Sha256::digest(format!("form {}", self.secret.expose()));
        HEXLOWER.encode(&digest)
    }
}

impl FromRequestParts<Arc<Console>> for Session {
    type Rejection = Response;
    async fn from_request_parts(
        parts: &mut Parts,
        console: &Arc<Console>,
    ) -> Result<Self, Response> {
        let path = parts.uri.path().to_owned();
        let session = read(console, &parts.headers).await;
        session.map_err(|failure| crate::router::answer(console, Err(failure), &path))
    }
}

impl axum::extract::OptionalFromRequestParts<Arc<Console>> for Session {
    type Rejection = std::convert::Infallible;
    async fn from_request_parts(
        parts: &mut Parts,
        console: &Arc<Console>,
    ) -> Result<Option<Self>, Self::Rejection> {
        Ok(read(console, &parts.headers).await.ok())
    }
}

async fn read(console: &Console, headers: &HeaderMap) -> Result<Session, Failure> {
    let secret = cookie(headers).ok_or(Failure::Stranger)?;
    let found = console.parts.sessions.session(&secret.hash(), console.now()).await?;
    let who = found.ok_or(Failure::Stranger)?;
    Ok(Session { who, secret })
}

fn cookie(headers: &HeaderMap) -> Option<AccessSecret> {
    let values = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = values.flat_map(|value| value.split(';')).filter_map(|it| it.split_once('='));
    let (_, value) = pairs.find(|(name, _)| name.trim() == COOKIE)?;
    value.trim().parse().ok().filter(|secret: &AccessSecret| secret.kind() == AccessKind::Session)
}

fn set_cookie(console: &Console, value: &str, seconds: i64) -> HeaderValue {
    let secure = if console.config.secure { "; Secure" } else { "" };
    let text =
        format!("{COOKIE}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}");
    HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// A path of this console, and nothing that a browser takes for another place.
fn path_of(to: Option<&str>) -> &str {
    let plain = |text: &&str| {
        text.starts_with('/')
            && !text.starts_with("//")
            && text.len() <= PATH_BYTES_MAX
            && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\')
    };
    to.filter(plain).unwrap_or("/")
}

/// The page for whoever has no session. It tells nothing of what was asked for.
pub(crate) fn stranger(console: &Console, path: &str, wrong: Option<&str>) -> Response {
    let values = context! { to => path_of(Some(path)), wrong };
    console.pages.render(StatusCode::UNAUTHORIZED, "login.html", &values)
}

/// Opens a session and leads on.
async fn open(console: &Console, who: Principal, to: &str) -> Response {
    let secret = AccessSecret::new(AccessKind::Session, &(console.parts.random)());
    let now = console.now();
    let until = now.saturating_add(SESSION_MILLIS_MAX);
    let made = console.parts.sessions.create_session(secret.hash(), who, now, until).await;
    if let Err(error) = made {
        return crate::router::answer(console, Err(error.into()), to);
    }
    let mut response = Redirect::to(path_of(Some(to))).into_response();
    let cookie = set_cookie(console, secret.expose(), SESSION_MILLIS_MAX / 1000);
    response.headers_mut().insert(header::SET_COOKIE, cookie);
    response
}

/// A code of `margrave dashboard`.
#[derive(Deserialize)]
pub(crate) struct Entering {
    code: Option<String>,
    to: Option<String>,
}

/// Exchanges a code for a session, so that the code stays in no address.
pub(crate) async fn enter(
    State(console): State<Arc<Console>>,
    Query(Entering { code, to }): Query<Entering>,
) -> Response {
    let to = path_of(to.as_deref()).to_owned();
    let code = code.and_then(|text| text.parse::<AccessSecret>().ok());
    let code = code.filter(|code| code.kind() == AccessKind::Code);
    let taken = match &code {
        Some(code) => console.parts.sessions.take_code(&code.hash(), console.now()).await,
        None => Ok(None),
    };
    match taken {
        Ok(Some(who)) => open(&console, who, &to).await,
        Ok(None) => stranger(
            &console,
            &to,
            Some("This link was used before, or is older than a minute. Run the command again."),
        ),
        Err(error) => crate::router::answer(&console, Err(error.into()), &to),
    }
}

/// The login page by itself.
pub(crate) async fn form(
    State(console): State<Arc<Console>>,
    Query(Entering { to, .. }): Query<Entering>,
) -> Response {
    let mut response = stranger(&console, path_of(to.as_deref()), None);
    *response.status_mut() = StatusCode::OK;
    response
}

/// A pasted token.
#[derive(Deserialize)]
pub(crate) struct Login {
    token: String,
    to: Option<String>,
}

/// Whether a form was sent by a page of this console, as browsers tell.
fn is_own(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(site) = text("sec-fetch-site") {
        return matches!(site, "same-origin" | "none");
    }
    let host = text("host").unwrap_or_default();
    text("origin").is_none_or(|origin| origin.split("://").nth(1) == Some(host))
}

/// Opens a session with a token.
pub(crate) async fn login(
    State(console): State<Arc<Console>>,
    headers: HeaderMap,
    Form(Login { token, to }): Form<Login>,
) -> Response {
    let to = path_of(to.as_deref()).to_owned();
    if !is_own(&headers) {
        return stranger(
            &console,
            &to,
            Some("This form was not sent by this page. Try again here."),
        );
    }
    match holder(&console, token.trim()).await {
        Ok(Some(who)) => open(&console, who, &to).await,
        Ok(None) => {
            stranger(&console, &to, Some("This is not a token of this platform, or it has ended."))
        }
        Err(error) => crate::router::answer(&console, Err(error.into()), &to),
    }
}

/// Who holds a token that lives.
async fn holder(console: &Console, token: &str) -> Result<Option<Principal>, store::StoreError> {
    let secret = token.parse::<AccessSecret>().ok();
    let Some(secret) = secret.filter(|secret| secret.kind() == AccessKind::Token) else {
        return Ok(None);
    };
    let held = console.parts.credentials.credential_of(&secret.hash()).await?;
    let alive = held.filter(|held| held.is_alive(console.now())).map(|held| held.credential);
    Ok(alive.map(|it| Principal { credential: it.name.to_string(), role: it.role }))
}

/// The token of a form.
#[derive(Deserialize)]
pub(crate) struct Leaving {
    form: String,
}

/// Ends the session.
pub(crate) async fn logout(
    State(console): State<Arc<Console>>,
    session: Session,
    Form(Leaving { form }): Form<Leaving>,
) -> Response {
    let expected = session.form_token();
    if !bool::from(form.as_bytes().ct_eq(expected.as_bytes())) {
        let text = "This form was not sent by a page of this session. Nothing was done.";
        return crate::page::message(
            &console,
            StatusCode::FORBIDDEN,
            "Refused",
            text,
            Some(&session),
        );
    }
    if let Err(error) = console.parts.sessions.end_session(&session.secret.hash()).await {
        return crate::router::answer(&console, Err(error.into()), "/");
    }
    let mut response = Redirect::to("/login").into_response();
    response.headers_mut().insert(header::SET_COOKIE, set_cookie(&console, "", 0));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_leads_nowhere_else() {
        for (to, leads) in [
            (None, "/"),
            (Some("/instances/a?x=1"), "/instances/a?x=1"),
            (Some("//evil.example"), "/"),
            (Some("/\\evil.example"), "/"),
            (Some("https://evil.example"), "/"),
            (Some("/a\nb"), "/"),
            (Some("javascript:alert(1)"), "/"),
        ] {
            assert_eq!(path_of(to), leads, "{to:?}");
        }
    }

    #[test]
    fn a_form_of_another_site_is_told() {
        for (pairs, own) in [
            (&[("sec-fetch-site", "same-origin")][..], true),
            (&[("sec-fetch-site", "cross-site"), ("origin", "http://h")], false),
            (&[("sec-fetch-site", "same-site")], false),
            (&[("host", "h:1"), ("origin", "http://h:1")], true),
            (&[("host", "h:1"), ("origin", "http://h:2")], false),
            (&[("host", "h:1"), ("origin", "null")], false),
            (&[("host", "h:1")], true),
        ] {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.insert(*name, HeaderValue::from_static(value));
            }
            assert_eq!(is_own(&headers), own, "{pairs:?}");
        }
    }
}
