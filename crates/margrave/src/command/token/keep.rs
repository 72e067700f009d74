//! `margrave token keep`: a token that somebody was given becomes what this user's commands show.

use std::io::{BufRead, IsTerminal, Read, Stdin};

use anyhow::{Context, anyhow};
use keys::Secret;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use serde::Serialize;
use serde_json::Map;
use utoipa::ToSchema;

use crate::client::{Access, kept};
use crate::failure::Failure;
use crate::output::{self, Format};

/// The longest token that is read, in bytes.
const TOKEN_BYTES_MAX: u64 = 16 << 10;

/// Keep a token, read from stdin, for this user: commands show it to this broker from now on
///
/// It is tried first, and kept in `~/.config/margrave/credentials.json`, which only you can read.
/// `margrave logout` forgets it.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The team that is meant when nobody names one [default: that of the token]
    #[arg(long, value_name = "NAME")]
    team: Option<String>,

    #[command(flatten)]
    output: Format,

    #[command(flatten)]
    access: Access,
}

/// What is kept, without the token.
#[derive(Debug, Serialize, ToSchema)]
pub struct Kept {
    /// The broker.
    broker: String,
    /// What the token is called.
    credential: String,
    /// The team that is meant when nobody names one.
    team: Option<String>,
    /// The file.
    file: String,
}

impl Args {
    /// Nothing is kept that opens nothing.
    pub async fn run(self) -> Result<(), Failure> {
        let Some(file) = kept::Kept::of_user() else {
            return Err(anyhow!("there is no place to keep it: HOME is not set").into());
        };
        let token = read()?;
        let who = self.access.client_with(token.clone())?.whoami().await?;
        if let Some(team) = &self.team
            && who.role == "member"
            && !who.teams.contains(team)
        {
            let teams = who.teams.join(", ");
            return Err(Failure::Refused(format!("this token is of {teams}, and not of {team}")));
        }
        let (broker, team) = (self.access.url()?, self.team);
        file.save(
            &broker,
            kept::Entry { token, team: team.clone(), login: None, more: Map::new() },
        )?;
        let (credential, file) = (who.credential, file.path().display().to_string());
        let text =
            format!("{credential} is what commands show {broker} from now on; kept in {file}");
        Ok(self.output.print(&Kept { broker, credential, team, file }, || text)?)
    }
}

/// A token from stdin; a terminal does not show it.
pub fn read() -> Result<Secret, Failure> {
    let stdin = std::io::stdin();
    let mut bytes = Vec::new();
    let mut limited = stdin.lock().take(TOKEN_BYTES_MAX);
    if stdin.is_terminal() {
        output::message("paste the token, and press Enter:");
        let _quiet = Quiet::of(&stdin);
        limited.read_until(b'\n', &mut bytes).context("cannot read stdin")?;
    } else {
        limited.read_to_end(&mut bytes).context("cannot read stdin")?;
    }
    let token = Secret::new(bytes.trim_ascii().to_vec());
    drop(Secret::new(bytes));
    if token.expose().is_empty() {
        return Err(Failure::Usage("no token came in on stdin".to_owned()));
    }
    Ok(token)
}

/// A terminal that does not show what is typed, as long as this lives.
struct Quiet<'a> {
    terminal: &'a Stdin,
    before: Termios,
}

impl<'a> Quiet<'a> {
    /// A terminal that cannot be told so shows it.
    fn of(terminal: &'a Stdin) -> Option<Self> {
        let before = tcgetattr(terminal).ok()?;
        let mut quiet = before.clone();
        quiet.local_modes.remove(LocalModes::ECHO);
        tcsetattr(terminal, OptionalActions::Flush, &quiet).ok()?;
        Some(Self { terminal, before })
    }
}

impl Drop for Quiet<'_> {
    fn drop(&mut self) {
        // There is nothing else to be done about it.
        let _ = tcsetattr(self.terminal, OptionalActions::Now, &self.before);
    }
}
