//! `margrave bindings`: who may call a service.

use super::service::{Service, unknown};
use crate::client::Connect;
use crate::client::bindings::Binding;
use crate::failure::Failure;
use crate::output::{self, Format};
use crate::when::shown;

/// List who may call a service
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    service: Service,

    #[command(flatten)]
    output: Format,

    #[command(flatten)]
    connect: Connect,
}

impl Args {
    /// A table on stdout.
    pub fn run(self) -> Result<(), Failure> {
        super::runtime()?.block_on(async {
            let (client, service, instance) = self.service.find(&self.connect).await?;
            let found = client.bindings(&instance).await?;
            let found = found.ok_or_else(|| unknown(&service))?;
            if found.is_empty() {
                output::message("nobody is bound: `margrave bind` lets a caller in");
            }
            Ok(self.output.print(&found, || table(&found))?)
        })
    }
}

fn table(bindings: &[Binding]) -> String {
    if bindings.is_empty() {
        return String::new();
    }
    let head = ["BINDING", "NAME", "MADE", "BY", "EXPIRES"].map(str::to_owned).to_vec();
    let row = |it: &Binding| {
        let expires = match it.expires_at {
            _ if it.expired => "expired".to_owned(),
            Some(at) => shown(at),
            None => "never".to_owned(),
        };
        let name = it.name.clone().unwrap_or_default();
        vec![it.id.clone(), name, shown(it.created_at), it.created_by.clone(), expires]
    };
    let rows: Vec<_> = std::iter::once(head).chain(bindings.iter().map(row)).collect();
    output::table(&rows)
}
