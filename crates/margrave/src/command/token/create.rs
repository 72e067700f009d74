//! `margrave token create`: a token, whose secret is told once.

use keys::Secret;
use model::CredentialName;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::client::Access;
use crate::client::credentials::{Held, Kind};
use crate::command::secret;
use crate::failure::Failure;
use crate::output::Format;
use crate::when::shown;

/// Make a token for a team; its secret is told once, and kept nowhere
///
/// Operators make tokens for any team, people who have logged in for their own. CI sets the secret as
/// MARGRAVE_TOKEN; a person keeps it with `margrave token keep`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    whose: Whose,

    /// What operations and the audit log call it, such as `shop-ci` [default: made of its team]
    #[arg(long, value_name = "NAME")]
    name: Option<CredentialName>,

    /// How long it is good for, such as `12h` or `30d`; 366d at most
    #[arg(long, value_name = "DURATION", default_value = "90d")]
    ttl: String,

    #[command(flatten)]
    into: secret::Into,

    #[command(flatten)]
    output: Format,

    #[command(flatten)]
    access: Access,
}

/// One or the other.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Whose {
    /// The team that it is of; say it again for more, 16 at most
    #[arg(long = "team", value_name = "NAME")]
    teams: Vec<String>,

    /// Let it do everything, for those who run the platform
    #[arg(long)]
    operator: bool,
}

/// What was made.
#[derive(Debug, Serialize, ToSchema)]
pub struct Created {
    /// The token.
    token: Held,
    /// Its secret; absent where it was written to a file.
    #[serde(serialize_with = "crate::command::secret::print")]
    #[schema(value_type = Option<String>)]
    secret: Option<Secret>,
    /// Where it was written.
    credential: Option<String>,
}

impl Args {
    /// The secret goes where it was asked to, and nowhere else.
    pub async fn run(self) -> Result<(), Failure> {
        let client = self.access.client()?;
        let place = self.into.ready()?;
        let made = client.make(Kind::Token, &self.wish()).await?;
        let put = place.put(made.secret)?;
        let token = made.held;
        let what = told(&token);
        let value = Created { token, secret: put.shown(), credential: put.file() };
        Ok(self.output.print(&value, || put.told(&what))?)
    }

    fn wish(&self) -> Value {
        let mut wish = json!({"ttl": self.ttl, "teams": self.whose.teams});
        if self.whose.operator {
            wish["role"] = "operator".into();
        }
        if let Some(name) = &self.name {
            wish["name"] = name.as_str().into();
        }
        wish
    }
}

fn told(token: &Held) -> String {
    let whose = match token.teams.as_slice() {
        [] => "for operators".to_owned(),
        teams => format!("of {}", teams.join(", ")),
    };
    let until = token.expires_at.map(|at| format!(", good until {}", shown(at)));
    format!("the token `{}` ({whose}{})", token.name, until.unwrap_or_default())
}
