//! `margrave token list`: which tokens there are, and which are not used any more.

use crate::client::Access;
use crate::client::credentials::Kind;
use crate::command::held;
use crate::failure::Failure;
use crate::output::{self, Format};

/// List the tokens of your teams; of everybody, for operators
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Also those that have expired or were revoked in the last 90 days
    #[arg(long)]
    ended: bool,

    #[command(flatten)]
    output: Format,

    #[command(flatten)]
    access: Access,
}

impl Args {
    /// A table on stdout.
    pub async fn run(self) -> Result<(), Failure> {
        let found = self.access.client()?.held(Kind::Token, self.ended).await?;
        if found.is_empty() {
            output::message(&held::none_yet(Kind::Token));
        }
        Ok(self.output.print(&found, || held::table(Kind::Token, &found))?)
    }
}
