//! `margrave platform rotate`: another password, without an interruption.

use serde_json::json;

use super::Passed;
use crate::client::Access;
use crate::client::credentials::Kind;
use crate::command::secret;
use crate::failure::Failure;
use crate::output::{self, Format};
use crate::when::shown;

/// Give a platform another password; the one before stays good for a while
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Its name or id, as `margrave platform list` tells them
    platform: String,

    /// How long the password before stays good, such as `12h`; `0s`: it ends at once; 7d at most
    #[arg(long, value_name = "DURATION", default_value = "24h")]
    overlap: String,

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
        let id = client.one(Kind::Platform, &self.platform).await?.id;
        let place = self.into.ready()?;
        let made = client.rotate(&id, &json!({"overlap": self.overlap})).await?;
        let (passed, put) = Passed::put(made, place)?;
        if let Some(until) = passed.previous_until {
            output::message(&format!("the password before is good until {}", shown(until)));
        }
        let what = format!("the new password of the username `{}`", passed.platform.name);
        Ok(self.output.print(&passed, || put.told(&what))?)
    }
}
