//! `margrave audit export`: the whole log, to be kept elsewhere.

use super::source::Source;
use crate::failure::Failure;
use crate::output;

/// Write the whole audit log to stdout, an entry a line as JSON, to be archived
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    source: Source,
}

impl Args {
    /// JSON lines on stdout.
    pub fn run(self) -> Result<(), Failure> {
        self.source.each(|entry| {
            output::line(&serde_json::to_string(&entry)?)?;
            Ok(true)
        })
    }
}
