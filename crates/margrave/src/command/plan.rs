//! `margrave plan`: what `margrave apply` would change, and nothing of it.

mod text;

use model::Descriptor;

use super::apply::{PASSED_MAX, passed_too_often};
use super::descriptor::File;
use crate::client::plan::{Action, plan};
use crate::client::{Client, Connect, Identity, Place, Planned};
use crate::failure::Failure;
use crate::output::{self, Format};

/// Tell what apply would change, and change nothing: exit code 0 nothing, 2 something, 3 it would be refused
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    file: File,

    /// Show also how Envoy's resources would change
    #[arg(long)]
    resources: bool,

    #[command(flatten)]
    output: Format,

    #[command(flatten)]
    connect: Connect,
}

impl Args {
    /// Exit code 2 when something would change.
    pub fn run(self) -> Result<(), Failure> {
        let descriptor = self.file.read()?;
        let planned = super::runtime()?.block_on(async {
            let client = self.connect.client()?;
            let identity = self.connect.identity(&client).await?;
            ask(&client, &identity, &descriptor).await
        })?;
        let paint = output::colour_on_stdout();
        self.output.print(&planned, || text::of(&planned, self.resources, paint))?;
        ended(&planned)
    }
}

/// Of the place where apply would find it, or make it.
async fn ask(
    client: &Client,
    identity: &Identity,
    descriptor: &Descriptor,
) -> Result<Planned, Failure> {
    let service = &descriptor.parameters.service;
    let mut id = Place::find(client, identity, service).await?.id;
    for passed in 1..=PASSED_MAX {
        if let Some(planned) = plan(client, identity, &id, descriptor).await? {
            return Ok(planned);
        }
        id = identity.instance_after(service, passed)?;
    }
    Err(passed_too_often(service))
}

fn ended(planned: &Planned) -> Result<(), Failure> {
    match planned.action {
        Action::Nothing | Action::Underway => Ok(()),
        Action::Create | Action::Update => Err(Failure::WouldChange),
    }
}
