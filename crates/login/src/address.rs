//! The URL of an issuer, and which of its addresses are asked.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use http::Uri;

/// The longest URL, in bytes.
const URL_BYTES_MAX: usize = 2048;

/// The URL of an issuer, byte for byte as it must stand in what it signs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuerUrl(String);

/// Why a text is not the URL of an issuer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// It is no URL, or too long.
    #[error("is not a URL")]
    NotUrl,
    /// Anyone on the way could answer in its place.
    #[error("must begin with `https://`; `http://` is for an issuer on this machine")]
    Clear,
    /// OpenID Connect Discovery 1.0, 3.
    #[error("must have no user, query or fragment")]
    More,
}

impl IssuerUrl {
    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is asked in clear, on this machine.
    pub(crate) fn is_clear(&self) -> bool {
        self.0.starts_with("http:")
    }

    /// Where it tells about itself. OpenID Connect Discovery 1.0, 4.1: a slash at its end goes.
    pub(crate) fn discovery(&self) -> Result<Uri, AddressError> {
        let base = self.0.strip_suffix('/').unwrap_or(&self.0);
        address(&format!("{base}/.well-known/openid-configuration"))
    }

    /// An address that the issuer has named: as safe as its own.
    pub(crate) fn endpoint(&self, text: &str) -> Result<Uri, AddressError> {
        let uri = address(text)?;
        match uri.scheme_str() == Some("http") && !self.is_clear() {
            true => Err(AddressError::Clear),
            false => Ok(uri),
        }
    }
}

impl FromStr for IssuerUrl {
    type Err = AddressError;
    fn from_str(text: &str) -> Result<Self, AddressError> {
        let uri = address(text)?;
        if text.contains(['?', '#']) {
            return Err(AddressError::More);
        }
        // It is quoted in a header.
        if text.contains(['"', '\\']) || uri.host().is_none() {
            return Err(AddressError::NotUrl);
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for IssuerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An address that may be asked: by TLS, or on this machine.
fn address(text: &str) -> Result<Uri, AddressError> {
    if text.len() > URL_BYTES_MAX || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(AddressError::NotUrl);
    }
    let uri: Uri = text.parse().map_err(|_| AddressError::NotUrl)?;
    let host = uri.host().filter(|host| !host.is_empty()).ok_or(AddressError::NotUrl)?;
    if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err(AddressError::More);
    }
    match uri.scheme_str() {
        Some("https") => Ok(uri),
        Some("http") if is_loopback(host) => Ok(uri),
        Some("http") => Err(AddressError::Clear),
        _ => Err(AddressError::NotUrl),
    }
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn issuers_are_asked_by_tls_or_on_this_machine() {
        for (text, expected) in [
            ("https://login.example.com", Ok(())),
            ("https://login.example.com/realms/x/", Ok(())),
            ("http://127.0.0.1:5556/dex", Ok(())),
            ("http://[::1]:1", Ok(())),
            ("http://localhost:1", Ok(())),
            ("http://login.example.com", Err(AddressError::Clear)),
            ("http://127.0.0.1.example.com", Err(AddressError::Clear)),
            ("http://localhost.example.com", Err(AddressError::Clear)),
            ("https://u:p@login.example.com", Err(AddressError::More)),
            ("https://login.example.com?x", Err(AddressError::More)),
            ("https://login.example.com#x", Err(AddressError::More)),
            ("ftp://login.example.com", Err(AddressError::NotUrl)),
            ("file:///etc/passwd", Err(AddressError::NotUrl)),
            ("login.example.com", Err(AddressError::NotUrl)),
            ("https://a b", Err(AddressError::NotUrl)),
            ("https://a/\"", Err(AddressError::NotUrl)),
            ("", Err(AddressError::NotUrl)),
        ] {
            assert_eq!(text.parse::<IssuerUrl>().map(|_| ()), expected, "{text}");
        }
    }

    #[test]
    fn what_an_issuer_names_is_as_safe_as_itself() {
        let safe: IssuerUrl = "https://login.example.com/x/".parse().unwrap();
        let discovery = safe.discovery().unwrap().to_string();
        assert_eq!(discovery, "https://login.example.com/x/.well-known/openid-configuration");
        assert!(safe.endpoint("https://keys.example.net/jwks?v=2").is_ok());
        assert_eq!(safe.endpoint("http://127.0.0.1/jwks"), Err(AddressError::Clear));
        let local: IssuerUrl = "http://127.0.0.1:1".parse().unwrap();
        assert!(local.endpoint("http://127.0.0.1:1/jwks").is_ok());
        assert_eq!(local.endpoint("http://192.0.2.1/jwks"), Err(AddressError::Clear));
    }
}
