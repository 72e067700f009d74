//! `margrave validate`: whether a descriptor is good, without asking anybody.

use serde_json::json;

use super::descriptor::File;
use crate::failure::Failure;
use crate::output::Format;

/// Check a descriptor without asking the broker; tells everything that is wrong with it
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    file: File,

    #[command(flatten)]
    output: Format,
}

impl Args {
    /// Exit code 3 when it is refused.
    pub fn run(self) -> Result<(), Failure> {
        let descriptor = self.file.read()?;
        let (service, plan) = (&descriptor.parameters.service, descriptor.visibility);
        let text = format!("{}: service {service} ({}) is valid", self.file.shown(), plan.as_str());
        Ok(self
            .output
            .print(&json!({"valid": true, "service": service, "visibility": plan}), || text)?)
    }
}
