//! `margrave operations`: what is being done, and what is failing.

use crate::client::Access;
use crate::client::search::{self, Listed};
use crate::clock;
use crate::failure::Failure;
use crate::output::{self, Format};
use crate::when::{When, shown};

/// List operations of all services, latest first; with --failed, what is failing now
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only services whose last operation failed
    #[arg(long, conflicts_with = "open")]
    failed: bool,

    /// Only what is in progress
    #[arg(long)]
    open: bool,

    /// Only of this team's services
    #[arg(long = "of-team", value_name = "TEAM")]
    of_team: Option<String>,

    /// Not before: 30m, 24h, 7d ago, or a UTC date or time
    #[arg(long, value_name = "WHEN")]
    since: Option<When>,

    /// At most so many
    #[arg(long, value_name = "NUMBER", default_value_t = 50)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=10_000))]
    limit: u16,

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
            let limit = usize::from(self.limit);
            let found = search::operations(&client, &self.query(), limit).await?;
            if found.is_empty() {
                output::message(if self.failed {
                    "nothing is failing"
                } else {
                    "nothing was found"
                });
            }
            Ok(self.output.print(&found, || table(&found))?)
        })
    }

    fn query(&self) -> Vec<(&'static str, String)> {
        let state = match (self.failed, self.open) {
            (true, _) => Some("failed".to_owned()),
            (_, true) => Some("in progress".to_owned()),
            _ => None,
        };
        let since = self.since.map(|when| when.millis(clock::now()).to_string());
        let all = [
            ("state", state),
            ("current", self.failed.then(|| "true".to_owned())),
            ("team", self.of_team.clone()),
            ("since", since),
        ];
        all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }
}

fn table(found: &[Listed]) -> String {
    if found.is_empty() {
        return String::new();
    }
    let head = ["TIME", "SERVICE", "TEAM", "OPERATION", "WHAT"].map(str::to_owned).to_vec();
    let row = |listed: &Listed| {
        let field = |name: &str| listed.operation.more.get(name);
        let at = field("createdAt").and_then(serde_json::Value::as_i64);
        let said = field("description").and_then(serde_json::Value::as_str).unwrap_or_default();
        vec![
            at.map_or_else(String::new, shown),
            listed.service.clone(),
            listed.space.clone(),
            listed.operation.headline(),
            said.lines().next().unwrap_or_default().to_owned(),
        ]
    };
    let rows: Vec<_> = std::iter::once(head).chain(found.iter().map(row)).collect();
    output::table(&rows)
}
