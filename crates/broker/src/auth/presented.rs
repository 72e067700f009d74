//! What a request shows at the door: one header, read.

use axum::http::{HeaderMap, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use model::{AccessHash, AccessKind};
use sha2::{Digest, Sha256};

/// The longest header that is looked at, in bytes: what an issuer signs names many groups.
const BYTES_MAX: usize = 16 << 10;

/// The `Authorization` of a request.
pub(super) enum Presented {
    /// None, or none that can be read.
    None,
    /// Basic.
    Pair {
        /// The user-id.
        name: String,
        /// The password.
        password: String,
    },
    /// Bearer.
    Token(String),
}

impl Presented {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let read = || {
            let mut values = headers.get_all(header::AUTHORIZATION).iter();
            let value = values.next()?.to_str().ok().filter(|text| text.len() <= BYTES_MAX)?;
            // Two are one too many to say whose the request is.
            if values.next().is_some() {
                return None;
            }
            let (scheme, rest) = value.split_once(' ')?;
            let rest = rest.trim();
            if scheme.eq_ignore_ascii_case("bearer") {
                return Some(Self::Token(rest.to_owned()));
            }
            if !scheme.eq_ignore_ascii_case("basic") {
                return None;
            }
            let pair = String::from_utf8(STANDARD.decode(rest).ok()?).ok()?;
            let (name, password) = pair.split_once(':')?;
            Some(Self::Pair { name: name.to_owned(), password: password.to_owned() })
        };
        read().unwrap_or(Self::None)
    }

    /// Whether attempts with it are counted: what a person may have chosen can be guessed, and what
    /// an issuer has signed costs more than a look-up. A secret of ours is neither.
    pub(super) fn is_limited(&self) -> bool {
        let ours = |text: &str, kind: AccessKind| text.starts_with(kind.prefix());
        match self {
            Self::None => false,
            Self::Pair { password, .. } => !ours(password, AccessKind::Platform),
            Self::Token(text) => !ours(text, AccessKind::Token),
        }
    }

    /// What it would be remembered under.
    pub(super) fn key(&self) -> Option<AccessHash> {
        match self {
            Self::None => None,
            Self::Pair { name, password } => Some(pair_digest(name, password)),
            Self::Token(text) => Some(digest(text.as_bytes())),
        }
    }
}

/// The SHA-256 of what was shown.
pub(super) fn digest(bytes: &[u8]) -> AccessHash {
    AccessHash(Sha256::digest(bytes).into())
}

/// That of a pair, which no token can be mistaken for: tokens hold no line break.
pub(super) fn pair_digest(name: &str, password: &str) -> AccessHash {
    digest(format!("pair\n{name}:{password}").as_bytes())
}
