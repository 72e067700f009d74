//! `margrave render`: the Envoy resources that a service becomes.

use std::path::PathBuf;

use super::descriptor;
use super::service::{Service, unknown};
use crate::client::{Connect, api};
use crate::failure::Failure;
use crate::output;

/// Print the Envoy resources that a service becomes, or that a descriptor would become
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    service: Service,

    /// Render this descriptor, which need not be applied; `-` is stdin
    #[arg(short, long, value_name = "PATH", conflicts_with = "service")]
    file: Option<PathBuf>,

    #[command(flatten)]
    connect: Connect,
}

impl Args {
    /// JSON on stdout, which is YAML, too.
    pub fn run(self) -> Result<(), Failure> {
        super::runtime()?.block_on(async {
            let resources = match &self.file {
                Some(file) => {
                    let descriptor = descriptor::read(file)?;
                    let id = self.connect.identity().instance(&descriptor.parameters.service)?;
                    api::render(&self.connect.client()?, &id, &descriptor).await?
                }
                None => {
                    let (service, id) = self.service.find(&self.connect)?;
                    let found = api::resources(&self.connect.client()?, &id).await?;
                    found.ok_or_else(|| unknown(&service))?
                }
            };
            Ok(output::json(&resources)?)
        })
    }
}
