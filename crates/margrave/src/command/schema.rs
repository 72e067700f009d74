//! `margrave schema`: the JSON Schema of the descriptor, for editors and pipelines.

use crate::failure::Failure;
use crate::output;

/// Print the JSON Schema of `margrave.yaml`
#[derive(Debug, clap::Args)]
pub struct Args {}

impl Args {
    /// On stdout.
    pub fn run(self) -> Result<(), Failure> {
        Ok(output::json(&model::descriptor::schema::descriptor())?)
    }
}
