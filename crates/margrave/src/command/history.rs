//! `margrave history`: what was done to a service, what each change was, and who asked.

use super::service::{Service, unknown};
use crate::client::Connect;
use crate::client::search::{self, Done, exposure};
use crate::failure::Failure;
use crate::output::Format;
use crate::when::shown;

/// Tell what was done to a service, latest first: each change in the descriptor's words, and who asked
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
    /// On stdout.
    pub fn run(self) -> Result<(), Failure> {
        super::runtime()?.block_on(async {
            let (client, service, id) = self.service.find(&self.connect).await?;
            let history = search::history(&client, &id).await?;
            let Some(history) = history else { return Err(unknown(&service)) };
            Ok(self.output.print(&history, || told(&history))?)
        })
    }
}

fn told(history: &[Done]) -> String {
    history.iter().map(tell).collect::<String>().trim_end().to_owned()
}

fn tell(done: &Done) -> String {
    let at = done.operation.more.get("createdAt").and_then(serde_json::Value::as_i64);
    let at = at.map_or_else(String::new, shown);
    let mut text =
        format!("{at}  {}  by {}\n", done.operation.headline(), done.asked_by.credential);
    let mut add = |line: &str| text.push_str(&format!("  {line}\n"));
    if let Some(change) = done.exposure {
        add(exposure(change));
    }
    done.changes.iter().for_each(|change| add(&change.line()));
    if let Some(error) = &done.operation.error {
        add(&format!("error: {error}"));
    }
    text
}
