//! `margrave unbind`: takes the right of a caller away.

use serde::Serialize;
use utoipa::ToSchema;

use super::service::Service;
use crate::client::{Catalog, Connect};
use crate::failure::Failure;
use crate::output::Format;

/// Take the right of a caller away; the proxies are told at once
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The binding: `margrave bindings` lists them
    binding: String,

    #[command(flatten)]
    service: Service,

    #[command(flatten)]
    output: Format,

    #[command(flatten)]
    connect: Connect,
}

/// What became of it.
#[derive(Debug, Serialize, ToSchema)]
pub struct Unbound {
    /// The binding.
    binding: String,
    /// Whether there was one; none is left either way.
    unbound: bool,
}

impl Args {
    /// Returns when it is written; the proxies follow within a moment.
    pub fn run(self) -> Result<(), Failure> {
        super::runtime()?.block_on(async {
            let (client, service, instance) = self.service.find(&self.connect).await?;
            let binding: model::BindingId =
                self.binding.parse().map_err(|why| Failure::Usage(format!("{why}")))?;
            let catalog = Catalog::of(&client).await?;
            let unbound = client.unbind(&catalog, &instance, binding.as_str()).await?;
            let text = match unbound {
                true => format!("{service}: {binding} may call no more"),
                false => format!("{service} has no binding {binding}"),
            };
            let value = Unbound { binding: binding.into(), unbound };
            Ok(self.output.print(&value, || text)?)
        })
    }
}
