//! `margrave token`: the tokens of people and CI.

mod keep;

pub use keep::Kept;

use crate::failure::Failure;

/// Tokens of people and CI, by which they ask for what belongs to their teams
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    Keep(keep::Args),
}

impl Args {
    /// One of its commands.
    pub fn run(self) -> Result<(), Failure> {
        match self.verb {
            Verb::Keep(args) => args.run(),
        }
    }
}
