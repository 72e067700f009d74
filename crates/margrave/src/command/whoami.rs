//! `margrave whoami`: who the broker takes us for, and by what.

use serde::Serialize;
use utoipa::ToSchema;

use crate::client::{self, Access};
use crate::failure::Failure;
use crate::output::{self, Format};
use crate::when::minute;

/// Tell who the broker takes you for: what your credential is called, what it may do, and where it
/// came from
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    output: Format,

    #[command(flatten)]
    access: Access,
}

/// Who asks.
#[derive(Debug, Serialize, ToSchema)]
pub struct Asks {
    /// As the broker sees it.
    #[serde(flatten)]
    who: client::Whoami,
    /// The broker.
    broker: String,
    /// Where the credential came from, for people.
    shown: String,
}

impl Args {
    /// On stdout.
    pub fn run(self) -> Result<(), Failure> {
        super::runtime()?.block_on(async {
            let client = self.access.client()?;
            let who = client.whoami().await?;
            let asks = Asks { who, broker: client.url().to_owned(), shown: client.shows() };
            Ok(self.output.print(&asks, || describe(&asks))?)
        })
    }
}

fn describe(Asks { who, broker, shown }: &Asks) -> String {
    let pair = |name: &str, value: &str| vec![name.to_owned(), value.to_owned()];
    let mut rows = vec![pair("you are", &who.credential), pair("role", may(&who.role))];
    if !who.teams.is_empty() {
        rows.push(pair("teams", &who.teams.join(", ")));
    }
    rows.extend(who.expires_at.map(|at| pair("until", &minute(at))));
    rows.extend([pair("broker", broker), pair("by", shown)]);
    output::table(&rows)
}

/// A role, and what it means.
fn may(role: &str) -> &str {
    match role {
        "operator" => "operator: may do everything",
        "platform" => "platform: asks for its users, in every organisation and space",
        "member" => "member: may do everything with what belongs to its teams",
        other => other,
    }
}
