//! `margrave audit`: what happened, who asked for it, and whether that is still what was written.

mod export;
mod list;
mod source;
mod verify;

pub use self::verify::Verified;
use crate::failure::Failure;

/// Tell what happened and who asked for it, and prove that nothing of it was changed
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    List(list::Args),
    Verify(verify::Args),
    Export(export::Args),
}

impl Args {
    /// One of its commands.
    pub fn run(self) -> Result<(), Failure> {
        match self.command {
            Command::List(args) => args.run(),
            Command::Verify(args) => args.run(),
            Command::Export(args) => args.run(),
        }
    }
}
