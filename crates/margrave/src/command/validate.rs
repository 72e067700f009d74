//! `margrave validate`: whether a descriptor is good, without asking anybody.

use model::descriptor::Refusal;
use model::{Plan, ServiceName};
use serde::Serialize;
use utoipa::ToSchema;

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

/// Whether it is good.
#[derive(Debug, Serialize, ToSchema)]
pub struct Validated {
    /// Whether nothing is wrong with it.
    valid: bool,
    /// The service's name.
    #[schema(value_type = Option<String>)]
    service: Option<ServiceName>,
    /// `internal` or `public`.
    #[schema(value_type = Option<String>)]
    visibility: Option<Plan>,
    /// Everything that is wrong: `code`, `path`, `place`, `message` and, where known, `label`, `why`, `help`, `also`.
    #[schema(value_type = Vec<Object>)]
    refusals: Vec<Refusal>,
}

impl Args {
    /// Exit code 3 when it is refused.
    pub fn run(self) -> Result<(), Failure> {
        let descriptor = match self.file.check() {
            Ok(descriptor) => descriptor,
            Err((failure, refusals)) if self.output.is_json() && !refusals.is_empty() => {
                let value = Validated { valid: false, service: None, visibility: None, refusals };
                self.output.print(&value, String::new)?;
                return Err(failure);
            }
            Err((failure, _)) => return Err(failure),
        };
        let (service, plan) = (descriptor.parameters.service, descriptor.visibility);
        let text = format!("{}: service {service} ({}) is valid", self.file.shown(), plan.as_str());
        let (service, visibility) = (Some(service), Some(plan));
        let value = Validated { valid: true, service, visibility, refusals: Vec::new() };
        Ok(self.output.print(&value, || text)?)
    }
}
