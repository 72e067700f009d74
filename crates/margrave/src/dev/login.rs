//! Logins of an issuer, as the broker's door asks about them.

use std::sync::Arc;

use anyhow::Context;
use async_trait::async_trait;
use broker::{LoggedIn, LoginError, LoginOffer};
use login::Logins;
use model::Millis;

use crate::clock;
use crate::config::Config;

struct Issued(Logins);

/// What the configuration says; `None`: nobody logs in.
pub fn of(config: &Config) -> anyhow::Result<Option<Arc<dyn broker::Login>>> {
    let Some(settings) = config.login.clone() else { return Ok(None) };
    let reading = "cannot read the certificates of this machine, which the issuer is known by: set SSL_CERT_FILE";
    let logins = Logins::new(settings).context(reading)?;
    logins.prepare(clock::now());
    Ok(Some(Arc::new(Issued(logins))))
}

#[async_trait]
impl broker::Login for Issued {
    fn offer(&self) -> LoginOffer {
        let settings = self.0.settings();
        LoginOffer {
            issuer: settings.issuer.to_string(),
            client_id: settings.client_id.clone(),
            scope: settings.scope.clone(),
        }
    }

    async fn principal(&self, signed: &str, now: Millis) -> Result<LoggedIn, LoginError> {
        match self.0.principal(signed, now).await {
            Ok(login::LoggedIn { principal, until }) => Ok(LoggedIn { principal, until }),
            Err(error @ login::LoginError::Refused(_)) => {
                Err(LoginError::Refused(error.to_string()))
            }
            Err(error @ login::LoginError::Unavailable(_)) => {
                Err(LoginError::Unavailable(error.to_string()))
            }
        }
    }
}
