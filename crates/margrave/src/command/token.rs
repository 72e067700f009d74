//! `margrave token`: the tokens of people and CI.

mod create;
mod keep;
mod list;
mod revoke;

pub use create::Created;
pub use keep::{Kept, read as read_secret};

use crate::failure::Failure;

/// Tokens of people and CI, by which they ask for what belongs to their teams
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    Create(create::Args),
    List(list::Args),
    Revoke(revoke::Args),
    Keep(keep::Args),
}

impl Args {
    /// One of its commands.
    pub fn run(self) -> Result<(), Failure> {
        let runtime = super::runtime()?;
        match self.verb {
            Verb::Create(args) => runtime.block_on(args.run()),
            Verb::List(args) => runtime.block_on(args.run()),
            Verb::Revoke(args) => runtime.block_on(args.run()),
            Verb::Keep(args) => runtime.block_on(args.run()),
        }
    }
}
