//! A login that has ended is made new without its person, as long as the issuer agrees.

use keys::Secret;
use login::IssuerUrl;
use login::device::{Device, DeviceError, Tokens};
use model::Millis;
use serde::{Deserialize, Serialize};

use super::kept::{Entry, Kept, read_secret, write_secret};
use crate::clock;
use crate::failure::Failure;

/// So long before its end a login is made new: the command is to be through by then.
const EARLY_MILLIS: Millis = 30 * 1000;

/// What makes a login new, kept beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Renewal {
    /// Who has signed it.
    pub issuer: String,
    /// The client that we are to the issuer.
    pub client_id: String,
    /// The refresh token, where one was given.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        serialize_with = "write_refresh",
        deserialize_with = "read_refresh"
    )]
    pub refresh: Option<Secret>,
}

/// What is kept for the broker at `url`; if it is a login that has ended, made new.
pub fn entry(kept: &Kept, url: &str) -> Result<Option<Entry>, Failure> {
    match kept.read(url)? {
        Some(entry) if has_ended(&entry) => kept.renew(url, |entry| renewed(url, entry)).map(Some),
        entry => Ok(entry),
    }
}

/// Whether it is a login, and at its end.
fn has_ended(entry: &Entry) -> bool {
    let ends = |entry: &Entry| login::expires_at(entry.token.expose_str()?);
    entry.login.is_some() && ends(entry).is_some_and(|at| at <= clock::now() + EARLY_MILLIS)
}

/// Another command may have been faster; a refresh token is good once only.
fn renewed(url: &str, entry: Entry) -> Result<Entry, Failure> {
    let Some(renewal) = entry.login.clone().filter(|_| has_ended(&entry)) else {
        return Ok(entry);
    };
    let again =
        |why: &str| Failure::Refused(format!("{why}\nhelp: log in again with `margrave login`"));
    let ended = || again(&format!("your login at {url} has ended"));
    let refresh = renewal.refresh.as_ref().and_then(Secret::expose_str).ok_or_else(ended)?;
    let issuer: IssuerUrl = renewal.issuer.parse().map_err(|_| ended())?;
    match ask(&issuer, &renewal.client_id, refresh) {
        Ok(Tokens { id_token, refresh_token }) => {
            let refresh = refresh_token.map(Secret::from);
            let login = Some(Renewal { refresh, ..renewal });
            Ok(Entry { token: Secret::from(id_token), login, ..entry })
        }
        Err(DeviceError::Ended) => Err(ended()),
        Err(error @ DeviceError::Refused(_)) => {
            Err(again(&format!("your login at {url} has ended, and is not made new: {error}")))
        }
        Err(error) => {
            Err(anyhow::anyhow!("your login at {url} has ended, and cannot be made new: {error}")
                .into())
        }
    }
}

/// On a thread of its own: commands come here from within a runtime and from without.
fn ask(issuer: &IssuerUrl, client_id: &str, refresh: &str) -> Result<Tokens, DeviceError> {
    let work = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| DeviceError::Refused(error.to_string()))?;
        runtime.block_on(async { Device::new(issuer, client_id).await?.refresh(refresh).await })
    };
    std::thread::scope(|scope| scope.spawn(work).join()).unwrap_or(Err(DeviceError::Ended))
}

fn write_refresh<S: serde::Serializer>(
    secret: &Option<Secret>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match secret {
        Some(secret) => write_secret(secret, serializer),
        None => serializer.serialize_none(),
    }
}

fn read_refresh<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Secret>, D::Error> {
    read_secret(deserializer).map(Some)
}
