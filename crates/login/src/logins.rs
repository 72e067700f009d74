//! Who has logged in: what is cheap to see is seen first, so that strangers cost little.

use std::sync::Arc;

use model::{Millis, Principal};

use crate::claims::Claims;
use crate::jws::Signed;
use crate::published::{NoKey, Published};
use crate::{Refused, Settings, metrics, teams};

/// Logins by one issuer.
pub struct Logins {
    settings: Settings,
    published: Arc<Published>,
}

/// Somebody whom the issuer has let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedIn {
    /// Who, and of which teams.
    pub principal: Principal,
    /// When the login ends.
    pub until: Millis,
}

/// Why a login is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoginError {
    /// It is not good.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// It cannot be judged now.
    #[error("nobody can log in at the moment: {0}; tokens are good all the same")]
    Unavailable(String),
}

impl Logins {
    /// Nothing is asked yet.
    ///
    /// # Errors
    /// This machine trusts no authority for TLS.
    pub fn new(settings: Settings) -> std::io::Result<Self> {
        let published = Published::new(settings.issuer.clone())?;
        Ok(Self { settings, published })
    }

    /// What was laid down.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Asks the issuer for its keys, so that the first who logs in need not wait. Whatever becomes of
    /// it, it is asked again when it is needed.
    pub fn prepare(&self, now: Millis) {
        drop(self.published.fetch(now));
    }

    /// Who has logged in.
    ///
    /// # Errors
    /// The token is not good, or cannot be judged now.
    pub async fn principal(&self, token: &str, now: Millis) -> Result<LoggedIn, LoginError> {
        let judged = self.judge(token, now).await;
        metrics::judged(match &judged {
            Ok(_) => "accepted",
            Err(LoginError::Unavailable(_)) => "unavailable",
            Err(LoginError::Refused(refused)) => refused.reason(),
        });
        judged
    }

    async fn judge(&self, token: &str, now: Millis) -> Result<LoggedIn, LoginError> {
        let signed = Signed::read(token)?;
        let claims = Claims::read(&signed.payload)?;
        claims.check(&self.settings, now)?;
        let key = self.published.key(&signed, now).await.map_err(|none| match none {
            NoKey::Unknown => Refused::UnknownKey.into(),
            NoKey::Unavailable(why) => LoginError::Unavailable(why),
        })?;
        if !key.has_signed(&signed) {
            return Err(Refused::Signature.into());
        }
        Ok(self.known(&claims)?)
    }

    /// From here on the claims are the issuer's.
    fn known(&self, claims: &Claims) -> Result<LoggedIn, Refused> {
        let Settings { groups_claim, name_claim, teams, .. } = &self.settings;
        let groups = claims.groups(groups_claim).unwrap_or_default();
        if groups.is_empty() {
            let overflowing = claims.is_overflowing(groups_claim);
            return Err(Refused::NoGroups { claim: groups_claim.clone(), overflowing });
        }
        let role = teams.role(&groups).map_err(Refused::TooManyTeams)?;
        let role = role.ok_or_else(|| Refused::NoTeam {
            groups: teams::some(groups.iter().map(|group| (*group).to_owned())),
            teams: teams.shown(),
        })?;
        let credential = claims.person(name_claim);
        Ok(LoggedIn { principal: Principal { credential, role }, until: claims.until() })
    }
}
