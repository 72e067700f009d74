//! How an issuer is asked: one answer, bounded in time and length, from the very address that was asked.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, USER_AGENT};
use http::{Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::de::DeserializeOwned;

use crate::IssuerUrl;

/// How long an issuer may take to answer, to connect included.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// The longest answer, in bytes: a set of a hundred keys with their certificates.
const ANSWER_BYTES_MAX: usize = 512 << 10;

/// Why an issuer's answer is of no use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{address} {why}")]
pub struct IssuerError {
    /// What was asked, without its query.
    pub address: String,
    /// What is wrong.
    pub why: String,
}

impl IssuerError {
    pub(crate) fn new(uri: &Uri, why: impl Into<String>) -> Self {
        let scheme = uri.scheme_str().unwrap_or_default();
        let authority = uri.authority().map(ToString::to_string).unwrap_or_default();
        Self { address: format!("{scheme}://{authority}{}", uri.path()), why: why.into() }
    }
}

/// A client of an issuer. It follows no redirect: an answer from elsewhere is not the issuer's.
pub(crate) enum Http {
    /// On this machine.
    Clear(Client<HttpConnector, Full<Bytes>>),
    /// By TLS; a certificate is good if an authority that the machine trusts has signed it.
    Tls(Client<HttpsConnector<HttpConnector>, Full<Bytes>>),
}

/// A status and what came with it.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
}

impl Http {
    /// # Errors
    /// The machine trusts no authority at all.
    pub(crate) fn new(issuer: &IssuerUrl) -> Result<Self, std::io::Error> {
        let executor = TokioExecutor::new();
        if issuer.is_clear() {
            return Ok(Self::Clear(Client::builder(executor).build_http()));
        }
        let tls = HttpsConnectorBuilder::new().with_native_roots()?;
        Ok(Self::Tls(Client::builder(executor).build(tls.https_only().enable_http1().build())))
    }

    /// A document.
    pub(crate) async fn document<T: DeserializeOwned>(&self, uri: &Uri) -> Result<T, IssuerError> {
        let request = request(Method::GET, uri, Full::default());
        let answer = self.ask(uri, request).await?;
        if answer.status != StatusCode::OK {
            return Err(IssuerError::new(uri, format!("answers {}", answer.status)));
        }
        let read = serde_json::from_slice(&answer.body);
        read.map_err(|error| IssuerError::new(uri, format!("answers what cannot be read: {error}")))
    }

    /// The answer to a form, whatever its status.
    pub(crate) async fn submit(
        &self,
        uri: &Uri,
        fields: &[(&str, &str)],
    ) -> Result<Answer, IssuerError> {
        let mut request = request(Method::POST, uri, Full::from(form(fields)));
        let kind = http::HeaderValue::from_static("application/x-www-form-urlencoded");
        request.headers_mut().insert(CONTENT_TYPE, kind);
        self.ask(uri, request).await
    }

    async fn ask(&self, uri: &Uri, request: Request<Full<Bytes>>) -> Result<Answer, IssuerError> {
        let seconds = ANSWER_MAX.as_secs();
        tokio::time::timeout(ANSWER_MAX, self.exchange(uri, request)).await.unwrap_or_else(|_| {
            Err(IssuerError::new(uri, format!("does not answer within {seconds} s")))
        })
    }

    async fn exchange(
        &self,
        uri: &Uri,
        request: Request<Full<Bytes>>,
    ) -> Result<Answer, IssuerError> {
        let sent = match self {
            Self::Clear(client) => client.request(request).await,
            Self::Tls(client) => client.request(request).await,
        };
        let answer = sent.map_err(|error| {
            IssuerError::new(uri, format!("cannot be reached: {}", innermost(&error)))
        })?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|error| {
            IssuerError::new(uri, format!("answers what cannot be read: {}", innermost(&*error)))
        })?;
        Ok(Answer { status, body: body.to_bytes() })
    }
}

fn request(method: Method, uri: &Uri, body: Full<Bytes>) -> Request<Full<Bytes>> {
    let mut request = Request::new(body);
    *request.method_mut() = method;
    *request.uri_mut() = uri.clone();
    let headers = request.headers_mut();
    headers.insert(ACCEPT, http::HeaderValue::from_static("application/json"));
    headers.insert(USER_AGENT, http::HeaderValue::from_static("margrave"));
    request
}

/// Every layer of a client adds its own words; the innermost are the reason.
fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

/// `application/x-www-form-urlencoded`.
fn form(fields: &[(&str, &str)]) -> String {
    let pair = |(name, value): &(&str, &str)| format!("{name}={}", encoded(value));
    fields.iter().map(pair).collect::<Vec<_>>().join("&")
}

fn encoded(value: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let one = |byte: u8| match plain(byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    value.bytes().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_holds_anything() {
        let fields = [("grant_type", "urn:ietf:x"), ("scope", "openid a+b&c=é")];
        assert_eq!(form(&fields), "grant_type=urn%3Aietf%3Ax&scope=openid%20a%2Bb%26c%3D%C3%A9");
    }

    #[test]
    fn errors_tell_no_query() {
        let uri = "https://a.example/keys?secret=1".parse().unwrap();
        assert_eq!(IssuerError::new(&uri, "fails").to_string(), "https://a.example/keys fails");
    }
}
