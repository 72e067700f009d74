//! How somebody at a terminal logs in: the device authorization flow (RFC 8628), and a login made
//! new with a refresh token (RFC 6749, 6).

use std::fmt;
use std::time::Duration;

use http::{StatusCode, Uri};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep};

use crate::IssuerUrl;
use crate::discovery::Discovery;
use crate::http::{Http, IssuerError};

const GRANT_DEVICE: &str = "urn:ietf:params:oauth:grant-type:device_code";
const GRANT_REFRESH: &str = "refresh_token";
/// RFC 8628, 3.2: between two questions, where the issuer does not say.
const INTERVAL: Duration = Duration::from_secs(5);
/// However seldom the issuer wants to be asked.
const INTERVAL_MAX: Duration = Duration::from_secs(60);
/// RFC 8628, 3.5: so much longer after each `slow_down`.
const SLOWER_BY: Duration = Duration::from_secs(5);
/// However long the issuer would wait for a person.
const WAIT_MAX: Duration = Duration::from_secs(30 * 60);
/// What is shown to a person, in characters.
const SHOWN_CHARS_MAX: usize = 500;

/// The command line as a client of an issuer.
pub struct Device {
    http: Http,
    client_id: String,
    discovery: Discovery,
}

/// What a person is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prompt {
    /// Where to go.
    pub url: String,
    /// Where to go, if the code need not be typed there.
    pub url_complete: Option<String>,
    /// What to type there.
    pub code: String,
    /// In what time.
    pub lasts: Duration,
}

/// A question to the issuer that a person has yet to answer.
pub struct Pending {
    device_code: String,
    interval: Duration,
    ends: Instant,
}

/// What an issuer has given. Nothing prints it.
pub struct Tokens {
    /// What the broker judges.
    pub id_token: String,
    /// What makes a new one.
    pub refresh_token: Option<String>,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tokens([redacted])")
    }
}

/// Why there is no login.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// The issuer does not do its part.
    #[error("{0}")]
    Issuer(#[from] IssuerError),
    /// This machine trusts no authority for TLS.
    #[error("no certificates of authorities on this machine: {0}")]
    NoAuthorities(String),
    /// `access_denied`.
    #[error("the login was denied")]
    Denied,
    /// `expired_token`.
    #[error("nobody confirmed the login in time")]
    Late,
    /// `invalid_grant`.
    #[error("the login has ended")]
    Ended,
    /// Anything else that the issuer says.
    #[error("the issuer refuses: {0}")]
    Refused(String),
}

#[derive(Deserialize)]
struct Authorization {
    device_code: String,
    user_code: String,
    // Some issuers are older than the RFC.
    #[serde(alias = "verification_url")]
    verification_uri: String,
    #[serde(alias = "verification_url_complete")]
    verification_uri_complete: Option<String>,
    expires_in: u64,
    interval: Option<u64>,
}

#[derive(Deserialize)]
struct Granted {
    id_token: Option<String>,
    refresh_token: Option<String>,
}

#[derive(Deserialize)]
struct Problem {
    error: String,
    error_description: Option<String>,
}

impl Device {
    /// Asks the issuer where it is to be asked.
    ///
    /// # Errors
    /// It does not answer, or is another.
    pub async fn new(issuer: &IssuerUrl, client_id: &str) -> Result<Self, DeviceError> {
        let http =
            Http::new(issuer).map_err(|error| DeviceError::NoAuthorities(error.to_string()))?;
        let discovery = Discovery::fetch(&http, issuer).await?;
        Ok(Self { http, client_id: client_id.to_owned(), discovery })
    }

    /// Asks to be let in. RFC 8628, 3.1.
    ///
    /// # Errors
    /// The issuer does not know this way, or this client.
    pub async fn begin(&self, scope: &str) -> Result<(Prompt, Pending), DeviceError> {
        let at = self.discovery.device()?;
        let fields = [("client_id", self.client_id.as_str()), ("scope", scope)];
        let asked: Authorization = match self.submit(&at, &fields).await? {
            Ok(asked) => asked,
            Err(problem) => return Err(problem.told()),
        };
        let bad = |what: &str| IssuerError::new(&at, format!("answers with {what}"));
        let url = |text: String| {
            // What a person is sent to is as safe as the issuer.
            self.discovery.page(&text).map_err(|_| bad("a page that is not safe to open"))?;
            Ok::<_, IssuerError>(text)
        };
        if asked.user_code.is_empty() || clean(&asked.user_code) != asked.user_code {
            return Err(bad("a code that cannot be shown").into());
        }
        let lasts = Duration::from_secs(asked.expires_in).min(WAIT_MAX);
        let interval = asked.interval.map_or(INTERVAL, Duration::from_secs);
        let prompt = Prompt {
            url: url(asked.verification_uri)?,
            url_complete: asked.verification_uri_complete.map(url).transpose()?,
            code: asked.user_code,
            lasts,
        };
        let interval = interval.clamp(Duration::from_secs(1), INTERVAL_MAX);
        let ends = Instant::now() + lasts;
        Ok((prompt, Pending { device_code: asked.device_code, interval, ends }))
    }

    /// Waits until a person has confirmed. RFC 8628, 3.4 and 3.5.
    ///
    /// # Errors
    /// The person denied it, or nobody came.
    pub async fn wait(&self, pending: Pending) -> Result<Tokens, DeviceError> {
        let at = self.discovery.token()?;
        let Pending { device_code, mut interval, ends } = pending;
        let fields = [
            ("grant_type", GRANT_DEVICE),
            ("device_code", device_code.as_str()),
            ("client_id", self.client_id.as_str()),
        ];
        loop {
            if Instant::now() + interval > ends {
                return Err(DeviceError::Late);
            }
            sleep(interval).await;
            let problem = match self.submit(&at, &fields).await {
                Ok(Ok(granted)) => return tokens(&at, granted, None),
                Ok(Err(problem)) => problem,
                // RFC 8628, 3.5: an issuer that does not answer is asked half as often.
                Err(error) => {
                    tracing::debug!(%error, "the issuer was not reached; it is asked again");
                    interval = (interval * 2).min(INTERVAL_MAX);
                    continue;
                }
            };
            match problem.error.as_str() {
                "authorization_pending" => {}
                "slow_down" => interval = (interval + SLOWER_BY).min(INTERVAL_MAX),
                "expired_token" => return Err(DeviceError::Late),
                "access_denied" => return Err(DeviceError::Denied),
                _ => return Err(problem.told()),
            }
        }
    }

    /// Makes a login new.
    ///
    /// # Errors
    /// It has ended: a person must log in again.
    pub async fn refresh(&self, refresh_token: &str) -> Result<Tokens, DeviceError> {
        let at = self.discovery.token()?;
        let fields = [
            ("grant_type", GRANT_REFRESH),
            ("refresh_token", refresh_token),
            ("client_id", self.client_id.as_str()),
        ];
        match self.submit(&at, &fields).await? {
            Ok(granted) => tokens(&at, granted, Some(refresh_token)),
            Err(problem) if problem.error == "invalid_grant" => Err(DeviceError::Ended),
            Err(problem) => Err(problem.told()),
        }
    }

    /// What was asked for, or the issuer's reason why not (RFC 6749, 5.2).
    async fn submit<T: DeserializeOwned>(
        &self,
        at: &Uri,
        fields: &[(&str, &str)],
    ) -> Result<Result<T, Problem>, IssuerError> {
        let answer = self.http.submit(at, fields).await?;
        // Nothing of what it has answered is repeated: it may hold secrets.
        let unread = || IssuerError::new(at, format!("answers {} in no known form", answer.status));
        if answer.status == StatusCode::OK {
            return serde_json::from_slice(&answer.body).map(Ok).map_err(|_| unread());
        }
        if !answer.status.is_client_error() {
            return Err(IssuerError::new(at, format!("answers {}", answer.status)));
        }
        serde_json::from_slice(&answer.body).map(Err).map_err(|_| unread())
    }
}

/// A refresh token that is not replaced stays good (RFC 6749, 6).
fn tokens(at: &Uri, granted: Granted, before: Option<&str>) -> Result<Tokens, DeviceError> {
    let none = "gives no ID token: ask for the scope `openid`";
    let id_token = granted.id_token.ok_or_else(|| IssuerError::new(at, none))?;
    let refresh_token = granted.refresh_token.or_else(|| before.map(str::to_owned));
    Ok(Tokens { id_token, refresh_token })
}

impl Problem {
    fn told(self) -> DeviceError {
        let said = match self.error_description {
            Some(description) => format!("{} ({})", description, self.error),
            None => self.error,
        };
        DeviceError::Refused(clean(&said))
    }
}

/// As a terminal shows it, and not too much of it.
fn clean(text: &str) -> String {
    let shown = text.chars().filter(|c| !c.is_control());
    shown.take(SHOWN_CHARS_MAX).collect()
}
