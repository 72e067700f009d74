//! `margrave logout`: what this user keeps for a broker is forgotten.

use serde::Serialize;
use utoipa::ToSchema;

use crate::client::Access;
use crate::client::kept::Kept;
use crate::failure::Failure;
use crate::output::Format;

/// Forget the token that is kept for a broker; it stays good until it expires or is revoked
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    output: Format,

    #[command(flatten)]
    access: Access,
}

/// What was forgotten.
#[derive(Debug, Serialize, ToSchema)]
pub struct Forgotten {
    /// The broker.
    broker: String,
    /// Whether there was anything to forget.
    forgotten: bool,
}

impl Args {
    /// The broker need not be there, and is not asked.
    pub fn run(self) -> Result<(), Failure> {
        let broker = self.access.url()?;
        let forgotten = match Kept::of_user() {
            Some(kept) => kept.forget(&broker)?,
            None => false,
        };
        let text = match forgotten {
            true => format!("nothing is kept for {broker} any more"),
            false => format!("nothing was kept for {broker}"),
        };
        Ok(self.output.print(&Forgotten { broker, forgotten }, || text)?)
    }
}
