//! Where the platform is, who asks, and whose service is meant: the flags that commands share.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};

use super::{Client, Identity};
use crate::config::Credentials;
use crate::failure::Failure;
use crate::state::{self, Endpoints, State};

/// The organisation of every service that this command line makes.
const PLATFORM: &str = "margrave";
/// The team when nobody names one.
const TEAM: &str = "default";

/// Which platform, and whose service.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Platform")]
pub struct Connect {
    /// The broker [default: that of `margrave dev` with this state folder]
    #[arg(long, env = "MARGRAVE_URL", value_name = "URL")]
    url: Option<String>,

    /// The state folder of `margrave dev`, which tells broker and credentials [default: `.margrave`
    /// here, or in the nearest folder above that has one]
    #[arg(long, env = "MARGRAVE_STATE", value_name = "PATH")]
    state: Option<PathBuf>,

    /// The broker's username [default: that of the state folder]
    #[arg(long = "broker-username", env = "MARGRAVE_BROKER_USERNAME", value_name = "TEXT")]
    username: Option<String>,

    /// Read from the environment only: other users can see a process's arguments
    #[arg(skip = std::env::var("MARGRAVE_BROKER_PASSWORD").ok())]
    password: Option<String>,

    /// The team that owns the service (OSB: space) [default: `default`]
    #[arg(long, env = "MARGRAVE_TEAM", value_name = "NAME")]
    team: Option<String>,

    /// The environment of the service, such as `prod`: each has its own
    #[arg(long, env = "MARGRAVE_ENVIRONMENT", value_name = "NAME", default_value = "dev")]
    environment: String,
}

impl Connect {
    /// Whose services are meant.
    pub fn identity(&self) -> Identity {
        Identity {
            platform: PLATFORM.to_owned(),
            team: self.team.clone().unwrap_or_else(|| TEAM.to_owned()),
            environment: self.environment.clone(),
        }
    }

    /// The store of the local platform, running or not.
    pub fn database(&self) -> PathBuf {
        self.state().database()
    }

    /// Whether a team was named, and not left to the default.
    pub fn names_team(&self) -> bool {
        self.team.is_some()
    }

    /// Where the local platform answers, if there is one.
    pub fn endpoints(&self) -> Option<Endpoints> {
        if self.url.is_some() {
            return None;
        }
        self.state().endpoints().ok().flatten()
    }

    /// A client of the broker.
    pub fn client(&self) -> Result<Client, Failure> {
        let state = self.state();
        let url = match &self.url {
            Some(url) => url.trim_end_matches('/').to_owned(),
            None => match state.endpoints()? {
                Some(endpoints) => endpoints.broker,
                None => return Err(nothing_in(&state).into()),
            },
        };
        if url.starts_with("https:") {
            let why = "this release speaks plain HTTP to a broker, which listens on loopback only";
            return Err(Failure::Usage(why.to_owned()));
        }
        let credentials = self.credentials(&state)?;
        Ok(Client::new(url, credentials)?)
    }

    fn state(&self) -> State {
        let here = || std::env::current_dir().ok();
        let named = self.state.clone();
        let found = named.or_else(|| above(&here()?));
        State::at(&found.unwrap_or_else(|| PathBuf::from(state::DEFAULT)))
    }

    fn credentials(&self, state: &State) -> anyhow::Result<Credentials> {
        let given = self.username.clone().zip(self.password.clone());
        if let Some((username, password)) = given {
            return Ok(Credentials { username, password });
        }
        let kept = state.credentials()?;
        kept.with_context(|| {
            format!(
                "no credentials in `{}`: set MARGRAVE_BROKER_USERNAME and \
                 MARGRAVE_BROKER_PASSWORD to those of the broker",
                state.path().display()
            )
        })
    }
}

/// The state folder of this folder, or of the nearest above it: services live in folders below the
/// one where their platform was started. Folders of other users do not count: what they hold decides
/// whom credentials are sent to.
fn above(folder: &Path) -> Option<PathBuf> {
    let states = folder.ancestors().map(|folder| folder.join(state::DEFAULT));
    states.into_iter().find(|state| {
        let owner = std::fs::metadata(state).ok().filter(std::fs::Metadata::is_dir);
        owner.is_some_and(|owner| owner.uid() == rustix::process::geteuid().as_raw())
    })
}

fn nothing_in(state: &State) -> anyhow::Error {
    anyhow!(
        "no platform found in `{}`: is `margrave dev` running? Start it, or name the broker with \
         --url or MARGRAVE_URL",
        state.path().display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_platform_above_is_found() {
        let top = tempfile::tempdir().unwrap();
        let deep = top.path().join("services/shop");
        std::fs::create_dir_all(&deep).unwrap();
        std::fs::create_dir(top.path().join(".margrave")).unwrap();
        assert_eq!(above(&deep), Some(top.path().join(".margrave")));
        std::fs::create_dir(deep.join(".margrave")).unwrap();
        assert_eq!(above(&deep), Some(deep.join(".margrave")));
    }
}
