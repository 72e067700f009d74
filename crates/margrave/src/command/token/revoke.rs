//! `margrave token revoke`: a token opens nothing any more.

use crate::client::Access;
use crate::client::credentials::Kind;
use crate::failure::Failure;
use crate::output::Format;

/// Revoke a token: it opens nothing any more, at once
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Its name or id, as `margrave token list` tells them
    token: String,

    #[command(flatten)]
    output: Format,

    #[command(flatten)]
    access: Access,
}

impl Args {
    /// Returns when it is so.
    pub async fn run(self) -> Result<(), Failure> {
        let ended = self.access.client()?.revoke(Kind::Token, &self.token).await?;
        let text = format!("the token `{}` opens nothing any more", ended.name);
        Ok(self.output.print(&ended, || text)?)
    }
}
