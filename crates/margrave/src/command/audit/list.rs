//! `margrave audit list`: the latest entries, filtered.

use model::{AuditEntry, ORGANIZATION, ServiceName};
use serde_json::Value;

use crate::client::audit::{self, Line};
use crate::client::{Client, Connect};
use crate::clock;
use crate::failure::Failure;
use crate::output::{self, Format};
use crate::when::{When, shown};

/// List what happened, latest first: of the whole platform for its operators, of its own for a team
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only of this service of the team and environment
    #[arg(long, value_name = "NAME", conflicts_with = "instance")]
    service: Option<ServiceName>,

    /// Only of this instance, or other object, by its id
    #[arg(long, value_name = "ID")]
    instance: Option<String>,

    /// Only what this credential asked for
    #[arg(long, value_name = "NAME")]
    credential: Option<String>,

    /// Only this action, such as `instance.update` or `operation.failed`
    #[arg(long, value_name = "ACTION")]
    action: Option<String>,

    /// Not before: 30m, 24h, 7d ago, or a UTC date or time
    #[arg(long, value_name = "WHEN")]
    since: Option<When>,

    /// Before: 30m, 24h, 7d ago, or a UTC date or time
    #[arg(long, value_name = "WHEN")]
    until: Option<When>,

    /// At most so many entries
    #[arg(long, value_name = "NUMBER", default_value_t = 50)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=10_000))]
    limit: u16,

    #[command(flatten)]
    output: Format,

    #[command(flatten)]
    connect: Connect,
}

impl Args {
    /// A table on stdout.
    pub fn run(self) -> Result<(), Failure> {
        super::super::runtime()?.block_on(async {
            let client = self.connect.client()?;
            let (query, limit) = (self.query(&client).await?, usize::from(self.limit));
            let mut lines = Vec::new();
            audit::each(&client, &query, |line| {
                lines.push(line);
                Ok(lines.len() < limit)
            })
            .await?;
            if lines.is_empty() {
                output::message("nothing was found");
            }
            Ok(self.output.print(&lines, || table(&lines))?)
        })
    }

    async fn query(&self, client: &Client) -> Result<Vec<(&'static str, String)>, Failure> {
        let object = match &self.service {
            Some(name) => Some(self.connect.identity(client).await?.instance(name)?.to_string()),
            None => self.instance.clone(),
        };
        let team = self.connect.named_team().map(str::to_owned);
        let now = clock::now();
        let millis = |when: Option<When>| when.map(|when| when.millis(now).to_string());
        let all = [
            ("order", Some("latest".to_owned())),
            ("object", object),
            ("organization", team.is_some().then(|| ORGANIZATION.to_owned())),
            ("space", team),
            ("credential", self.credential.clone()),
            ("action", self.action.clone()),
            ("since", millis(self.since)),
            ("until", millis(self.until)),
        ];
        Ok(all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect())
    }
}

fn table(lines: &[Line]) -> String {
    if lines.is_empty() {
        return String::new();
    }
    let head = ["TIME", "WHO", "ACTION", "TEAM", "OBJECT", "WHAT"].map(str::to_owned).to_vec();
    let rows: Vec<_> = std::iter::once(head).chain(lines.iter().map(row)).collect();
    output::table(&rows)
}

fn row(line: &Line) -> Vec<String> {
    let time = shown(line.at);
    let Some(AuditEntry { by, action, object, owner, detail }) = line.said() else {
        return vec![time, "(this entry was damaged)".to_owned()];
    };
    let team = owner.map_or_else(|| "-".to_owned(), |owner| owner.space);
    vec![time, by.credential, action, team, object, words(&detail)]
}

/// The detail in a line: `key=value`, the longest last.
fn words(detail: &Value) -> String {
    let Some(fields) = detail.as_object() else { return String::new() };
    let word = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => {
            let plain =
                |item: &Value| item.as_str().map_or_else(|| item.to_string(), str::to_owned);
            items.iter().map(plain).collect::<Vec<_>>().join(",")
        }
        other => other.to_string(),
    };
    let mut words: Vec<_> =
        fields.iter().map(|(key, value)| format!("{key}={}", word(value))).collect();
    words.sort_by_key(String::len);
    words.join(" ")
}
