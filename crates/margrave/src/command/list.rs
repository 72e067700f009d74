//! `margrave list`: what there is.

use crate::client::{Connect, api};
use crate::failure::Failure;
use crate::output::{self, Format};

/// List the services of the platform
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    output: Format,

    #[command(flatten)]
    connect: Connect,
}

impl Args {
    /// A table on stdout.
    pub fn run(self) -> Result<(), Failure> {
        super::runtime()?.block_on(async {
            let client = self.connect.client()?;
            let instances = api::instances(&client).await?;
            if instances.is_empty() {
                output::message("no services yet: `margrave apply` makes the first");
            }
            Ok(self.output.print(&instances, || table(&instances))?)
        })
    }
}

fn table(instances: &[api::Instance]) -> String {
    let head = ["SERVICE", "TEAM", "VISIBILITY", "STATE", "HOSTNAMES"].map(str::to_owned).to_vec();
    let row = |instance: &api::Instance| {
        vec![
            instance.service.clone(),
            instance.space.clone(),
            instance.plan.as_str().to_owned(),
            instance.standing().to_owned(),
            instance.hostnames.join(" "),
        ]
    };
    let rows: Vec<_> = std::iter::once(head).chain(instances.iter().map(row)).collect();
    if instances.is_empty() { String::new() } else { output::table(&rows) }
}
