//! What an issuer tells about itself (OpenID Connect Discovery 1.0, RFC 8414).

use http::Uri;
use serde::Deserialize;

use crate::http::{Http, IssuerError};
use crate::{AddressError, IssuerUrl};

/// The document at `/.well-known/openid-configuration`, as far as it matters here.
#[derive(Debug, Deserialize)]
struct Document {
    issuer: String,
    jwks_uri: Option<String>,
    device_authorization_endpoint: Option<String>,
    token_endpoint: Option<String>,
}

/// Where an issuer is asked for what.
#[derive(Debug)]
pub(crate) struct Discovery {
    at: Uri,
    issuer: IssuerUrl,
    document: Document,
}

impl Discovery {
    pub(crate) async fn fetch(http: &Http, issuer: &IssuerUrl) -> Result<Self, IssuerError> {
        let at = issuer
            .discovery()
            .map_err(|error| IssuerError { address: issuer.to_string(), why: error.to_string() })?;
        let document: Document = http.document(&at).await?;
        // OpenID Connect Discovery 1.0, 4.3: exactly, or one issuer could speak for another.
        if document.issuer != issuer.as_str() {
            let said: String = document.issuer.chars().take(SAID_CHARS_MAX).collect();
            let why = format!("calls its issuer {said:?}, which is not the one configured");
            return Err(IssuerError::new(&at, why));
        }
        Ok(Self { at, issuer: issuer.clone(), document })
    }

    /// Where its keys are.
    pub(crate) fn keys(&self) -> Result<Uri, IssuerError> {
        self.endpoint("jwks_uri", self.document.jwks_uri.as_deref())
    }

    /// Where a device asks to be let in.
    pub(crate) fn device(&self) -> Result<Uri, IssuerError> {
        let endpoint = self.document.device_authorization_endpoint.as_deref();
        self.endpoint("device_authorization_endpoint", endpoint)
    }

    /// Where tokens are given.
    pub(crate) fn token(&self) -> Result<Uri, IssuerError> {
        self.endpoint("token_endpoint", self.document.token_endpoint.as_deref())
    }

    /// A page for people.
    pub(crate) fn page(&self, text: &str) -> Result<Uri, AddressError> {
        self.issuer.endpoint(text)
    }

    fn endpoint(&self, name: &str, text: Option<&str>) -> Result<Uri, IssuerError> {
        let Some(text) = text else {
            return Err(IssuerError::new(&self.at, format!("names no `{name}`")));
        };
        let unsafe_address = |error: AddressError| {
            IssuerError::new(&self.at, format!("names a `{name}` that {error}"))
        };
        self.issuer.endpoint(text).map_err(unsafe_address)
    }
}

/// How much of a wrong issuer is repeated, in characters.
const SAID_CHARS_MAX: usize = 200;
