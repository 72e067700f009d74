//! Which platform is asked, and what lets us in: the flags of every command that asks.

use std::ops::Deref;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::anyhow;
use keys::Secret;

use super::Client;
use super::credential::{Credential, Presented, Source};
use super::kept::Kept;
use super::renew;
use crate::command::env;
use crate::failure::Failure;
use crate::state::{self, Endpoints, State};

/// Read from the environment only: other users can see a process's arguments.
const TOKEN: &str = "MARGRAVE_TOKEN";
/// The same.
const PASSWORD: &str = "MARGRAVE_BROKER_PASSWORD";

/// The order in which credentials count, told below every `--help`.
const ORDER: &str = "You are let in by the first of these that there is: the token of \
    MARGRAVE_TOKEN; the username with MARGRAVE_BROKER_PASSWORD; the token that is kept for this \
    broker (`margrave login`, `margrave token keep`, `margrave logout`); what the state folder tells.";

/// Which platform.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Platform")]
pub struct Platform {
    /// The broker [default: that of `margrave dev` with this state folder]
    #[arg(long, env = "MARGRAVE_URL", value_name = "URL")]
    url: Option<String>,

    /// The state folder of `margrave dev`, which tells broker and credentials [default: `.margrave`
    /// here, or in the nearest folder above that has one]
    #[arg(long, env = "MARGRAVE_STATE", value_name = "PATH")]
    state: Option<PathBuf>,
}

/// Which platform, and what lets us in.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Platform", after_help = ORDER)]
pub struct Access {
    #[command(flatten)]
    platform: Platform,

    /// The username that goes with MARGRAVE_BROKER_PASSWORD
    #[arg(long = "broker-username", env = "MARGRAVE_BROKER_USERNAME", value_name = "TEXT")]
    username: Option<String>,
}

impl Deref for Access {
    type Target = Platform;
    fn deref(&self) -> &Platform {
        &self.platform
    }
}

impl Platform {
    /// The store of the local platform, running or not.
    pub fn database(&self) -> PathBuf {
        self.state().database()
    }

    /// Where the local platform answers, if there is one.
    pub fn endpoints(&self) -> Option<Endpoints> {
        if self.url.is_some() {
            return None;
        }
        self.state().endpoints().ok().flatten()
    }

    /// The broker's URL.
    pub fn url(&self) -> Result<String, Failure> {
        let state = self.state();
        let url = match &self.url {
            Some(url) => url.trim_end_matches('/').to_owned(),
            None => match state.endpoints()? {
                Some(endpoints) => endpoints.broker,
                None => return Err(nothing_in(&state).into()),
            },
        };
        checked(url)
    }

    fn state(&self) -> State {
        let here = || std::env::current_dir().ok();
        let named = self.state.clone();
        let found = named.or_else(|| above(&here()?));
        State::at(&found.unwrap_or_else(|| PathBuf::from(state::DEFAULT)))
    }
}

impl Access {
    /// A client of the broker.
    pub fn client(&self) -> Result<Client, Failure> {
        let url = self.url()?;
        let presented = self.presented(&url)?;
        Client::new(url, presented)
    }

    /// A client that shows this token and nothing else.
    pub fn client_with(&self, token: Secret) -> Result<Client, Failure> {
        let credential = Credential::Token(token);
        Client::new(self.url()?, Presented { credential, source: Source::Given, team: None })
    }

    /// What is shown to the broker at `url`: the nearest to whoever asks counts.
    fn presented(&self, url: &str) -> Result<Presented, Failure> {
        if let Some(token) = given(TOKEN) {
            let credential = Credential::Token(Secret::from(token));
            return Ok(Presented { credential, source: Source::Token, team: None });
        }
        if let Some(credential) = self.pair()? {
            return Ok(Presented { credential, source: Source::Pair, team: None });
        }
        if let Some(kept) = Kept::of_user()
            && let Some(entry) = renew::entry(&kept, url)?
        {
            let path = kept.path().to_owned();
            let source = match entry.login {
                Some(_) => Source::Login(path),
                None => Source::Kept(path),
            };
            let credential = Credential::Token(entry.token);
            return Ok(Presented { credential, source, team: entry.team });
        }
        Ok(self.of_state(url)?.ok_or_else(|| nothing_for(url))?)
    }

    fn pair(&self) -> Result<Option<Credential>, Failure> {
        let username = self.username.clone().filter(|text| !text.is_empty());
        match (username, given(PASSWORD)) {
            (Some(username), Some(password)) => {
                Ok(Some(Credential::Pair { username, password: Secret::from(password) }))
            }
            (None, None) => Ok(None),
            (Some(_), None) => {
                Err(Failure::Usage(format!("{PASSWORD} is missing beside its username")))
            }
            (None, Some(_)) => Err(Failure::Usage(format!(
                "{PASSWORD} is set, and its username is not: set MARGRAVE_BROKER_USERNAME"
            ))),
        }
    }

    /// What the state folder tells. It is for the platform of that folder: a broker that was named
    /// gets it only if the folder was named, too, or is the one that it tells of.
    fn of_state(&self, url: &str) -> anyhow::Result<Option<Presented>> {
        let state = self.state();
        let is_its_own = || {
            let endpoints = state.endpoints().ok().flatten();
            endpoints.is_some_and(|endpoints| endpoints.broker == url)
        };
        if self.state.is_none() && !is_its_own() {
            return Ok(None);
        }
        let Some(kept) = state.credentials()? else { return Ok(None) };
        let password = Secret::from(kept.password);
        let credential = Credential::Pair { username: kept.username, password };
        let source = Source::State(state.path().to_owned());
        Ok(Some(Presented { credential, source, team: None }))
    }
}

/// A variable of the environment that is set, and not to nothing.
fn given(name: &str) -> Option<String> {
    env(name).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}

fn checked(url: String) -> Result<String, Failure> {
    let refuse = |why: &str| Err(Failure::Usage(why.to_owned()));
    if url.starts_with("https:") {
        return refuse(
            "this release speaks plain HTTP to a broker, which listens on loopback only",
        );
    }
    let Ok(read) = reqwest::Url::parse(&url) else {
        return refuse("the broker's URL is none: it is like http://127.0.0.1:8080");
    };
    if !read.username().is_empty() || read.password().is_some() {
        return refuse(
            "credentials do not belong into the broker's URL, which is shown: set MARGRAVE_TOKEN, or \
             MARGRAVE_BROKER_USERNAME and MARGRAVE_BROKER_PASSWORD",
        );
    }
    Ok(url)
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

fn nothing_for(url: &str) -> anyhow::Error {
    anyhow!(
        "nothing lets us in at {url}: say `margrave login`, if people log in there; or set \
         MARGRAVE_TOKEN to a token, which the platform's operators make with `margrave token create`; \
         or keep one with `margrave token keep`; or set MARGRAVE_BROKER_USERNAME and \
         MARGRAVE_BROKER_PASSWORD to the broker's own"
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

    #[test]
    fn a_url_holds_no_secret() {
        for (url, good) in [
            ("http://127.0.0.1:8080", true),
            ("https://127.0.0.1:8080", false),
            ("http://ann:s3cr3t@127.0.0.1:8080", false),
            ("127.0.0.1:8080", false),
            ("shop", false),
        ] {
            let found = checked(url.to_owned());
            assert_eq!(found.is_ok(), good, "{url}");
            let said = found.err().map(|failure| failure.text()).unwrap_or_default();
            assert!(!said.contains("s3cr3t"), "{said}");
        }
    }
}
