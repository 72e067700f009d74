//! Whose service is meant, on which platform: the flags that commands about services share.

use std::ops::Deref;

use model::ORGANIZATION;

use super::{Access, Client, Identity};
use crate::failure::Failure;

/// The team when nobody names one, and no token tells one.
const TEAM: &str = "default";

/// Which platform, and whose service.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Platform")]
pub struct Connect {
    #[command(flatten)]
    access: Access,

    /// The team that owns the service (OSB: space) [default: that of the token, else `default`]
    #[arg(long, env = "MARGRAVE_TEAM", value_name = "NAME")]
    team: Option<String>,

    /// The environment of the service, such as `prod`: each has its own
    #[arg(long, env = "MARGRAVE_ENVIRONMENT", value_name = "NAME", default_value = "dev")]
    environment: String,
}

impl Deref for Connect {
    type Target = Access;
    fn deref(&self) -> &Access {
        &self.access
    }
}

impl Connect {
    /// Whose services are meant. The broker is asked for the team only where nothing here tells it.
    pub async fn identity(&self, client: &Client) -> Result<Identity, Failure> {
        let team = match self.named_team().or_else(|| client.kept_team()) {
            Some(team) => team.to_owned(),
            None => own_team(client).await?,
        };
        let environment = self.environment.clone();
        Ok(Identity { platform: ORGANIZATION.to_owned(), team, environment })
    }

    /// The team that was named, and not left to the default.
    pub fn named_team(&self) -> Option<&str> {
        self.team.as_deref().filter(|team| !team.is_empty())
    }
}

/// The only team of whoever asks.
async fn own_team(client: &Client) -> Result<String, Failure> {
    let default = || Ok(TEAM.to_owned());
    if !client.is_token() {
        return default();
    }
    let teams = client.whoami().await?.teams;
    match teams.as_slice() {
        [] => default(),
        [only] => Ok(only.clone()),
        several if several.iter().any(|team| team == TEAM) => default(),
        several => Err(Failure::Usage(format!(
            "which team? You are of {}: say --team, or set MARGRAVE_TEAM",
            several.join(", ")
        ))),
    }
}
