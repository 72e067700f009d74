//! `margrave platform delete`: a platform is shut out.

use crate::client::Access;
use crate::client::credentials::Kind;
use crate::failure::Failure;
use crate::output::Format;

/// Shut a platform out, at once; its services stay, and go on answering
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Its name or id, as `margrave platform list` tells them
    platform: String,

    #[command(flatten)]
    output: Format,

    #[command(flatten)]
    access: Access,
}

impl Args {
    /// Returns when it is so.
    pub async fn run(self) -> Result<(), Failure> {
        let ended = self.access.client()?.revoke(Kind::Platform, &self.platform).await?;
        let text = format!("the platform `{}` is shut out; its services stay", ended.name);
        Ok(self.output.print(&ended, || text)?)
    }
}
