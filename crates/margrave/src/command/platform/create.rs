//! `margrave platform create`: a platform is let in.

use model::CredentialName;
use serde_json::json;

use super::Passed;
use crate::client::Access;
use crate::client::credentials::Kind;
use crate::command::secret;
use crate::failure::Failure;
use crate::output::Format;

/// Let a platform in: makes its password, which is told once, and kept nowhere
///
/// The platform sends its name as username. It is believed about on whose behalf it asks.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Its name, such as `cf-prod`: it is the username
    name: CredentialName,

    #[command(flatten)]
    into: secret::Into,

    #[command(flatten)]
    output: Format,

    #[command(flatten)]
    access: Access,
}

impl Args {
    /// The password goes where it was asked to, and nowhere else.
    pub async fn run(self) -> Result<(), Failure> {
        let client = self.access.client()?;
        let place = self.into.ready()?;
        let made = client.make(Kind::Platform, &json!({"name": self.name})).await?;
        let (passed, put) = Passed::put(made, place)?;
        let what = format!("the password of the username `{}`", passed.platform.name);
        Ok(self.output.print(&passed, || put.told(&what))?)
    }
}
