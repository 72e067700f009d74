//! What an ID token says (OpenID Connect Core 1.0, 2), and whether it says it to us and now.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use model::Millis;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{Refused, Settings};

/// How far the clocks of issuer and platform may be apart.
const LEEWAY_MILLIS: Millis = 60 * 1000;
/// The longest that one login lasts, whatever the issuer says: so late a group that was taken away is
/// noticed.
const LOGIN_MILLIS_MAX: Millis = 24 * 60 * 60 * 1000;
/// OpenID Connect Core 1.0, 2: the longest `sub`, in bytes.
const SUBJECT_BYTES_MAX: usize = 255;
/// The longest name that is taken for the log, in characters.
const NAME_CHARS_MAX: usize = 100;

/// The claims of an ID token.
#[derive(Debug, Deserialize)]
pub(crate) struct Claims {
    iss: String,
    sub: String,
    aud: OneOrMany,
    exp: f64,
    iat: f64,
    nbf: Option<f64>,
    azp: Option<String>,
    #[serde(flatten)]
    more: Map<String, Value>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    fn as_slice(&self) -> &[String] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many,
        }
    }
}

impl Claims {
    pub(crate) fn read(payload: &[u8]) -> Result<Self, Refused> {
        let claims: Self = serde_json::from_slice(payload).map_err(|_| Refused::Claims)?;
        let subject = claims.sub.as_bytes();
        let is_sound = (1..=SUBJECT_BYTES_MAX).contains(&subject.len())
            && subject.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ');
        is_sound.then_some(claims).ok_or(Refused::Claims)
    }

    /// Whether they are said by this issuer, to us, for now (OpenID Connect Core 1.0, 3.1.3.7).
    pub(crate) fn check(&self, settings: &Settings, now: Millis) -> Result<(), Refused> {
        if self.iss != settings.issuer.as_str() {
            return Err(Refused::Issuer);
        }
        let audiences = self.aud.as_slice();
        if !audiences.contains(&settings.audience) {
            return Err(Refused::Audience);
        }
        let party = self.azp.as_ref();
        if party.is_some_and(|party| *party != settings.client_id)
            || (audiences.len() > 1 && party.is_none())
        {
            return Err(Refused::Party);
        }
        if millis(self.exp).saturating_add(LEEWAY_MILLIS) <= now {
            return Err(Refused::Expired);
        }
        let begins = self.nbf.map_or(Millis::MIN, millis).max(millis(self.iat));
        if begins.saturating_sub(LEEWAY_MILLIS) > now {
            return Err(Refused::NotYet);
        }
        if millis(self.iat).saturating_add(LOGIN_MILLIS_MAX) <= now {
            return Err(Refused::Old);
        }
        Ok(())
    }

    /// When the login ends.
    pub(crate) fn until(&self) -> Millis {
        millis(self.exp).min(millis(self.iat).saturating_add(LOGIN_MILLIS_MAX))
    }

    /// Whose it is, as operations and the audit log call them: `sub` is what no two people share and
    /// nobody chooses, the name is what is read. No name of a token looks like this.
    pub(crate) fn person(&self, name_claim: &str) -> String {
        let is_plain = |name: &&str| {
            (1..=NAME_CHARS_MAX).contains(&name.chars().count()) && !name.chars().any(is_odd)
        };
        let name = self.more.get(name_claim).and_then(Value::as_str).filter(is_plain);
        match name.filter(|name| *name != self.sub) {
            Some(name) => format!("{name} (login {})", self.sub),
            None => format!("login {}", self.sub),
        }
    }

    /// The groups; `None`: it names none.
    pub(crate) fn groups(&self, claim: &str) -> Option<BTreeSet<&str>> {
        // A claim's name may hold anything; with a slash first, it is a place within a claim.
        let found = self.more.get(claim).or_else(|| {
            let (first, rest) = claim.strip_prefix('/')?.split_once('/')?;
            self.more.get(first)?.pointer(&format!("/{rest}"))
        })?;
        match found {
            Value::String(one) => Some(BTreeSet::from([one.as_str()])),
            Value::Array(many) => Some(many.iter().filter_map(Value::as_str).collect()),
            _ => None,
        }
    }

    /// Whether the issuer says that the groups are elsewhere, being too many (OpenID Connect Core 1.0,
    /// 5.6.2).
    pub(crate) fn is_overflowing(&self, claim: &str) -> bool {
        self.more.get("_claim_names").is_some_and(|names| names.get(claim).is_some())
    }
}

/// What a terminal or a log would not show as it is.
fn is_odd(c: char) -> bool {
    let bends =
        matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || bends || "()".contains(c)
}

/// A NumericDate (RFC 7519, 2). What is beyond every date is the last one.
#[expect(clippy::cast_possible_truncation, reason = "a cast to an integer saturates")]
fn millis(seconds: f64) -> Millis {
    (seconds * 1000.0) as Millis
}

/// When a token that was just received expires: told by the token itself, which only its owner may
/// believe. `None`: it does not say.
pub fn expires_at(token: &str) -> Option<Millis> {
    #[derive(Deserialize)]
    struct End {
        exp: f64,
    }
    let payload = token.split('.').nth(1)?;
    let end: End = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()?;
    Some(millis(end.exp))
}
