//! `margrave login`: a person lets this machine in at the issuer that the broker trusts.

use std::time::Duration;

use ::login::device::{Device, DeviceError, Prompt, Tokens};
use anyhow::anyhow;
use keys::Secret;
use model::counted;
use serde::Serialize;
use serde_json::Map;
use utoipa::ToSchema;

use crate::client::offer::{Offer, offer};
use crate::client::renew::Renewal;
use crate::client::{Access, Whoami, kept};
use crate::command::env;
use crate::failure::Failure;
use crate::output::{self, Format};

/// Log in: confirm in a browser, on any machine, that it is you, and commands show it to this broker
/// from now on
///
/// The broker names the issuer that it trusts. What the issuer gives is kept in
/// `~/.config/margrave/credentials.json`, which only you can read, and made new as long as the issuer
/// agrees. `margrave logout` forgets it.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The team that is meant when nobody names one [default: your only one]
    #[arg(long, value_name = "NAME")]
    team: Option<String>,

    #[command(flatten)]
    output: Format,

    #[command(flatten)]
    access: Access,
}

/// Who has logged in.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LoggedIn {
    /// The broker.
    broker: String,
    /// The issuer.
    issuer: String,
    /// What operations and the audit log call you.
    credential: String,
    /// `operator` or `member`.
    role: String,
    /// Your teams.
    teams: Vec<String>,
    /// The team that is meant when nobody names one.
    team: Option<String>,
    /// When the login ends or is made new, in milliseconds since the Unix epoch.
    expires_at: Option<i64>,
    /// Whether it is made new by itself.
    renews: bool,
    /// The file.
    file: String,
}

impl Args {
    /// Nothing is kept that opens nothing.
    pub fn run(self) -> Result<(), Failure> {
        let Some(file) = kept::Kept::of_user() else {
            return Err(anyhow!("there is no place to keep a login: HOME is not set").into());
        };
        let broker = self.access.url()?;
        let (offer, tokens, who) = super::runtime()?.block_on(self.log_in(&broker))?;
        let refresh = tokens.refresh_token.clone().map(Secret::from);
        let logged_in = LoggedIn {
            issuer: offer.issuer.to_string(),
            credential: who.credential,
            role: who.role,
            teams: who.teams,
            team: self.team.clone(),
            expires_at: ::login::expires_at(&tokens.id_token),
            renews: refresh.is_some(),
            file: file.path().display().to_string(),
            broker,
        };
        let Offer { client_id, .. } = offer;
        let renewal = Renewal { issuer: logged_in.issuer.clone(), client_id, refresh };
        let entry = kept::Entry {
            token: Secret::from(tokens.id_token),
            team: self.team,
            login: Some(renewal),
            more: Map::new(),
        };
        file.save(&logged_in.broker, entry)?;
        Ok(self.output.print(&logged_in, || describe(&logged_in))?)
    }

    async fn log_in(&self, broker: &str) -> Result<(Offer, Tokens, Whoami), Failure> {
        let offer = offer(broker).await?;
        let device = Device::new(&offer.issuer, &offer.client_id).await?;
        let (prompt, pending) = device.begin(&offer.scope).await.map_err(told)?;
        output::message(&ask(broker, &prompt));
        if env("MARGRAVE_TOKEN").is_some_and(|token| !token.is_empty()) {
            output::message("MARGRAVE_TOKEN is set, and comes before this login: unset it");
        }
        let tokens = device.wait(pending).await.map_err(told)?;
        let token = Secret::from(tokens.id_token.clone());
        let who = self.access.client_with(token)?.whoami().await?;
        match &self.team {
            Some(team) if who.role == "member" && !who.teams.contains(team) => {
                let teams = who.teams.join(", ");
                Err(Failure::Refused(format!("you are of {teams}, and not of {team}")))
            }
            _ => Ok((offer, tokens, who)),
        }
    }
}

/// What the person is to do: on stderr, so that stdout is for programs.
fn ask(broker: &str, prompt: &Prompt) -> String {
    let Prompt { url, url_complete, code, lasts } = prompt;
    let (url, verb) = match url_complete {
        Some(complete) => (complete, "confirm"),
        None => (url, "type"),
    };
    let within = within(*lasts);
    format!(
        "to log in at {broker}, open\n\n    {url}\n\nand {verb} the code {code} {within}; waiting …"
    )
}

fn within(lasts: Duration) -> String {
    match lasts.as_secs() {
        seconds if seconds < 120 => format!("within {}", counted(seconds, "second")),
        seconds => format!("within {}", counted(seconds / 60, "minute")),
    }
}

/// What an issuer or a person refuses is a refusal; the rest went wrong.
fn told(error: DeviceError) -> Failure {
    match error {
        DeviceError::Denied | DeviceError::Refused(_) => Failure::Refused(error.to_string()),
        DeviceError::Late => Failure::TimedOut(format!("{error}: say `margrave login` again")),
        _ => Failure::Error(error.into()),
    }
}

fn describe(logged_in: &LoggedIn) -> String {
    let LoggedIn { credential, teams, broker, role, .. } = logged_in;
    let may = match role.as_str() {
        "member" => format!("of {}", teams.join(", ")),
        role => role.to_owned(),
    };
    format!("you are {credential}, {may}, at {broker} from now on")
}
