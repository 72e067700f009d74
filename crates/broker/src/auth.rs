//! Basic authentication (OSB 2.17, "Platform to Service Broker Authentication").

use std::fmt;
use std::sync::Arc;

use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use model::{Principal, Role};
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
pub(crate) struct Door {
    digest: [u8; 32],
    principal: Arc<Principal>,
}

impl Door {
    pub(crate) fn new(config: &Config) -> Self {
        let Config { username, password, .. } = config;
        let digest = Sha256::digest(format!("{username}:{}", password.0)).into();
        let principal = Principal { credential: username.clone(), role: Role::Operator };
        Self { digest, principal: Arc::new(principal) }
    }

    /// Lets in, or says how to come in.
    pub(crate) fn open(&self, headers: &HeaderMap) -> Result<Arc<Principal>, Box<Response>> {
        if given(headers).is_some_and(|pair| self.fits(&pair)) {
            return Ok(Arc::clone(&self.principal));
        }
        let error = Error::unauthorized("credentials are missing or wrong");
        let mut response = error.into_response();
        let challenge = HeaderValue::from_static("Basic realm=\"margrave\", charset=\"UTF-8\"");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        Err(Box::new(response))
    }

    fn fits(&self, pair: &[u8]) -> bool {
        let digest: [u8; 32] = Sha256::digest(pair).into();
        self.digest.ct_eq(&digest).into()
    }
}

fn given(headers: &HeaderMap) -> Option<Vec<u8>> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, encoded) = value.split_once(' ')?;
    let is_basic = scheme.eq_ignore_ascii_case("basic");
    is_basic.then(|| STANDARD.decode(encoded.trim()).ok()).flatten()
}
