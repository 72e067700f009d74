//! `margrave platform`: the credentials of Open Service Broker platforms; for operators.

mod create;
mod delete;
mod list;
mod rotate;

use keys::Secret;
use serde::Serialize;
use utoipa::ToSchema;

use super::secret::{Place, Put};
use crate::client::credentials::{Held, Made};
use crate::failure::Failure;

/// Let Open Service Broker platforms in, such as Cloud Foundry, and shut them out; for operators
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    Create(create::Args),
    List(list::Args),
    Rotate(rotate::Args),
    Delete(delete::Args),
}

/// A platform that has a new password.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Passed {
    /// The platform; its name is the username.
    platform: Held,
    /// The password; absent where it was written to a file.
    #[serde(serialize_with = "crate::command::secret::print")]
    #[schema(value_type = Option<String>)]
    secret: Option<Secret>,
    /// Where it was written.
    credential: Option<String>,
    /// Until when the password before is good, in milliseconds since the Unix epoch.
    previous_until: Option<i64>,
}

impl Args {
    /// One of its commands.
    pub fn run(self) -> Result<(), Failure> {
        let runtime = super::runtime()?;
        match self.verb {
            Verb::Create(args) => runtime.block_on(args.run()),
            Verb::List(args) => runtime.block_on(args.run()),
            Verb::Rotate(args) => runtime.block_on(args.run()),
            Verb::Delete(args) => runtime.block_on(args.run()),
        }
    }
}

impl Passed {
    /// Puts the password where it shall be.
    fn put(made: Made, place: Place) -> anyhow::Result<(Self, Put)> {
        let Made { secret, previous_until, held: platform } = made;
        let put = place.put(secret)?;
        let (secret, credential) = (put.shown(), put.file());
        Ok((Self { platform, secret, credential, previous_until }, put))
    }
}
