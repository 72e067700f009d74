//! `margrave schema`: JSON Schemas, for editors and pipelines.

use super::outputs;
use crate::failure::Failure;
use crate::{output, suggest};

/// Print the JSON Schema of `margrave.yaml`, or of what a command prints with `-o json`
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A command, such as `status`
    #[arg(default_value = outputs::DESCRIPTOR)]
    what: Vec<String>,
}

impl Args {
    /// On stdout.
    pub fn run(self) -> Result<(), Failure> {
        let what = self.what.join(" ");
        let found = outputs::find(&what).ok_or_else(|| {
            let hint = suggest::near(&what, outputs::names());
            let names = outputs::names().collect::<Vec<_>>().join(", ");
            Failure::Usage(format!("there is no schema of `{what}`{hint}; there are {names}"))
        })?;
        Ok(output::json(&found)?)
    }
}
