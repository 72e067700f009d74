//! `margrave render`: the Envoy resources that a service becomes.

use std::path::PathBuf;

use super::descriptor;
use super::service::{Service, unknown};
use crate::client::{Connect, Place, api};
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
            let descriptor = self.file.as_deref().map(descriptor::read).transpose()?;
            let resources = match &descriptor {
                Some(descriptor) => {
                    let client = self.connect.client()?;
                    let identity = self.connect.identity(&client).await?;
                    let service = &descriptor.parameters.service;
                    let place = Place::find(&client, &identity, service).await?;
                    api::render(&client, &place.id, descriptor).await?
                }
                None => {
                    let (client, service, id) = self.service.find(&self.connect).await?;
                    let found = api::resources(&client, &id).await?;
                    found.ok_or_else(|| unknown(&service))?
                }
            };
            Ok(output::json(&resources)?)
        })
    }
}
