//! `margrave list`: what there is.

use crate::client::{Access, api};
use crate::failure::Failure;
use crate::output::{self, Format};

/// List the services of the platform
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only services whose name begins so
    #[arg(long, value_name = "PREFIX")]
    search: Option<String>,

    /// Only the one that answers to this hostname
    #[arg(long, value_name = "NAME")]
    hostname: Option<String>,

    /// Only those of this team
    #[arg(long, value_name = "NAME")]
    of_team: Option<String>,

    #[command(flatten)]
    output: Format,

    #[command(flatten)]
    access: Access,
}

impl Args {
    /// A table on stdout.
    pub fn run(self) -> Result<(), Failure> {
        super::runtime()?.block_on(async {
            let client = self.access.client()?;
            let instances = api::instances(&client, &self.query()).await?;
            if instances.is_empty() {
                output::message(match self.query().is_empty() {
                    true => "no services yet: `margrave apply` makes the first",
                    false => "nothing was found",
                });
            }
            Ok(self.output.print(&instances, || table(&instances))?)
        })
    }

    fn query(&self) -> Vec<(&'static str, String)> {
        let all = [
            ("prefix", self.search.clone()),
            ("hostname", self.hostname.clone()),
            ("team", self.of_team.clone()),
        ];
        all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
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
