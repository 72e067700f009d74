//! Basic authentication (OSB 2.17, "Platform to Service Broker Authentication").

use std::fmt;

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::error::Error;
use crate::router::Config;

/// A password that no log can print.
#[derive(Clone)]
pub struct Password(String);

impl Password {
    /// Wraps a password.
    pub fn new(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// The one pair that opens the door, as a digest: two digests are as long as each other, so that a
/// comparison tells nothing, not even a length, by the time that it takes.
pub(crate) struct Door([u8; 32]);

impl Door {
    pub(crate) fn new(config: &Config) -> Self {
        let Config { username, password, .. } = config;
        Self(Sha256::digest(format!("{username}:{}", password.0)).into())
    }

    /// Lets in, or says how to come in.
    pub(crate) fn open(&self, headers: &HeaderMap) -> Result<(), Box<Response>> {
        if given(headers).is_some_and(|pair| self.fits(&pair)) {
            return Ok(());
        }
        let error = Error::new(StatusCode::UNAUTHORIZED, "credentials are missing or wrong");
        let mut response = error.into_response();
        let challenge = HeaderValue::from_static("Basic realm=\"margrave\", charset=\"UTF-8\"");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        Err(Box::new(response))
    }

    fn fits(&self, pair: &[u8]) -> bool {
        let digest: [u8; 32] = Sha256::digest(pair).into();
        self.0.ct_eq(&digest).into()
    }
}

fn given(headers: &HeaderMap) -> Option<Vec<u8>> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, encoded) = value.split_once(' ')?;
    let is_basic = scheme.eq_ignore_ascii_case("basic");
    is_basic.then(|| STANDARD.decode(encoded.trim()).ok()).flatten()
}
