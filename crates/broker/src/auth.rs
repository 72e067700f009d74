//! The door: who sends a request (OSB 2.17, "Platform to Service Broker Authentication"; RFC 6750).
//!
//! Basic is for platforms, and for the one pair of the configuration. Bearer is for the tokens of
//! people and CI, and for what an issuer of logins has signed.

mod attempts;
mod known;
mod presented;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use axum::http::HeaderMap;
use model::{AccessHash, AccessKind, AccessSecret, Millis, Principal, Role};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use self::attempts::Attempts;
use self::known::{Entry, Known};
use self::presented::Presented;
use crate::error::Error;
use crate::metrics;
use crate::port::LoginError;
use crate::principal::{Entered, How};
use crate::router::{Broker, Config};

/// How long what an issuer has signed is taken as it was, before its signature is looked at again:
/// an issuer that takes back a key is heard within that time.
const LOGIN_KEPT_MILLIS: Millis = 5 * 60 * 1000;
/// Between two notes of when a credential was last used: it is for people who tidy up.
const USE_NOTED_MILLIS: Millis = 60 * 60 * 1000;

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

/// What the door remembers.
pub(crate) struct Door {
    /// The pair of the configuration, as a digest: two digests are as long as each other, so that a
    /// comparison tells nothing, not even a length, by the time that it takes.
    digest: [u8; 32],
    operator: Arc<Principal>,
    known: Known,
    pub(crate) attempts: Attempts,
    /// Of hosts to join, which are counted apart: they shut out no person.
    pub(crate) hosts: Attempts,
}

impl Door {
    pub(crate) fn new(config: &Config) -> Self {
        let Config { username, password, .. } = config;
        let digest = Sha256::digest(format!("{username}:{}", password.0)).into();
        let operator = Principal { credential: username.clone(), role: Role::Operator };
        Self {
            digest,
            operator: Arc::new(operator),
            known: Known::default(),
            attempts: Attempts::default(),
            hosts: Attempts::default(),
        }
    }
}

/// Why somebody does not come in.
enum Denied {
    /// There is nothing to judge: no attempt.
    Missing,
    /// It is not whole, which is no secret.
    Mistyped,
    /// It is not known, or not good any more; which of these is not told.
    Unknown,
    /// What the issuer has signed is not accepted: why, for the person.
    Login(String),
    /// It cannot be judged now.
    Error(Error),
}

impl Broker {
    /// Lets in, or says how to come in.
    pub(crate) async fn enter(&self, headers: &HeaderMap, from: IpAddr) -> Result<Entered, Error> {
        let presented = Presented::of(headers);
        let now = self.now();
        if let Some(entered) = presented.key().and_then(|key| self.remembered(&key, now)) {
            return Ok(entered);
        }
        let is_limited = presented.is_limited();
        if is_limited && let Some(wait_s) = self.door.attempts.must_wait_s(from, now) {
            metrics::denied("limited");
            return Err(Error::too_many(wait_s));
        }
        let denied = match self.judge(presented, now).await {
            Ok(entered) => return Ok(entered),
            Err(denied) => denied,
        };
        if !matches!(denied, Denied::Missing | Denied::Error(_)) {
            if is_limited {
                self.door.attempts.failed(from, now);
            }
            tracing::info!(%from, "credentials were refused");
        }
        Err(denied.told())
    }

    async fn judge(&self, presented: Presented, now: Millis) -> Result<Entered, Denied> {
        match presented {
            Presented::None => Err(Denied::Missing),
            Presented::Pair { name, password } => {
                let digest: [u8; 32] = Sha256::digest(format!("{name}:{password}")).into();
                if self.door.digest.ct_eq(&digest).into() {
                    let who = Arc::clone(&self.door.operator);
                    return Ok(Entered { who, how: How::Configured, until: None });
                }
                let secret = whole(&password, AccessKind::Platform)?;
                self.look_up(&secret, Some(&name), now).await
            }
            Presented::Token(text) if text.starts_with(AccessKind::Token.prefix()) => {
                let secret = whole(&text, AccessKind::Token)?;
                self.look_up(&secret, None, now).await
            }
            Presented::Token(text) => self.log_in(&text, now).await,
        }
    }

    async fn look_up(
        &self,
        secret: &AccessSecret,
        name: Option<&str>,
        now: Millis,
    ) -> Result<Entered, Denied> {
        let credentials = &self.parts.credentials;
        let taken = credentials.credentials_taken();
        let found = credentials.credential_of(&secret.hash()).await;
        let Some(held) = found.map_err(|error| Denied::Error(error.into()))? else {
            return Err(Denied::Unknown);
        };
        if !held.is_alive(now) {
            let (id, name) = (&held.credential.id, &held.credential.name);
            tracing::warn!(%id, %name, "somebody uses a credential that has ended");
            return Err(Denied::Unknown);
        }
        if name.is_some_and(|name| name != held.credential.name.as_str()) {
            return Err(Denied::Unknown);
        }
        let entry = Entry::of(held);
        let entered = entry.entered.clone();
        let key = name.map_or_else(|| secret.hash(), |name| pair_key(name, secret));
        self.door.known.keep(key, entry, taken);
        self.note_use(&key, now);
        Ok(entered)
    }

    async fn log_in(&self, signed: &str, now: Millis) -> Result<Entered, Denied> {
        let Some(login) = &self.parts.login else { return Err(Denied::Unknown) };
        let taken = self.parts.credentials.credentials_taken();
        let logged_in = login.principal(signed, now).await.map_err(|error| match error {
            LoginError::Refused(why) => Denied::Login(why),
            LoginError::Unavailable(why) => Denied::Error(Error::unavailable(&why)),
        })?;
        let until = logged_in.until.min(now + LOGIN_KEPT_MILLIS);
        let who = Arc::new(logged_in.principal);
        let entered = Entered { who, how: How::Login, until: Some(logged_in.until) };
        let entry = Entry { entered: entered.clone(), until: Some(until), used: None };
        self.door.known.keep(presented::digest(signed.as_bytes()), entry, taken);
        Ok(entered)
    }

    /// What was found out before and still holds.
    fn remembered(&self, key: &AccessHash, now: Millis) -> Option<Entered> {
        let taken = self.parts.credentials.credentials_taken();
        let entered = self.door.known.get(key, taken, now)?;
        self.note_use(key, now);
        Some(entered)
    }

    /// Writes now and then when a credential was last used; nobody waits for it.
    fn note_use(&self, key: &AccessHash, now: Millis) {
        let Some(id) = self.door.known.to_note(key, now, USE_NOTED_MILLIS) else { return };
        let credentials = Arc::clone(&self.parts.credentials);
        tokio::spawn(async move {
            if let Err(error) = credentials.used_credential(&id, now).await {
                tracing::debug!(%error, "the use of a credential was not noted");
            }
        });
    }
}

/// A secret of ours of this kind.
fn whole(text: &str, kind: AccessKind) -> Result<AccessSecret, Denied> {
    match text.parse::<AccessSecret>() {
        Ok(secret) if secret.kind() == kind => Ok(secret),
        Err(model::AccessError::Mistyped) => Err(Denied::Mistyped),
        Ok(_) | Err(model::AccessError::Foreign) => Err(Denied::Unknown),
    }
}

/// A platform's secret is good under its own name only.
fn pair_key(name: &str, secret: &AccessSecret) -> AccessHash {
    presented::pair_digest(name, secret.expose())
}

impl Denied {
    /// For whoever asks: no more than helps a person who is entitled.
    fn told(self) -> Error {
        let (reason, description) = match self {
            Self::Missing => (
                "missing",
                "credentials are missing: send a token as `Authorization: Bearer mgt_…`, or as a \
                 platform its name and password"
                    .to_owned(),
            ),
            Self::Mistyped => (
                "mistyped",
                "this secret is not whole: a character is wrong or missing; copy it once more"
                    .to_owned(),
            ),
            Self::Unknown => (
                "unknown",
                "these credentials are wrong, or have expired or been revoked: ask whoever gave them \
                 for new ones"
                    .to_owned(),
            ),
            Self::Login(why) => ("login", why),
            Self::Error(error) => return error,
        };
        metrics::denied(reason);
        Error::unauthorized(description)
    }
}
