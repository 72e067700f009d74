//! `margrave platform list`: which platforms are let in.

use crate::client::Access;
use crate::client::credentials::Kind;
use crate::command::held;
use crate::failure::Failure;
use crate::output::{self, Format};

/// List the platforms that are let in
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Also those that were shut out in the last 90 days
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
        let found = self.access.client()?.held(Kind::Platform, self.ended).await?;
        if found.is_empty() {
            output::message(&held::none_yet(Kind::Platform));
        }
        Ok(self.output.print(&found, || held::table(Kind::Platform, &found))?)
    }
}
