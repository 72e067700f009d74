//! `margrave operation`: what operators do about an operation that does not come to its end.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::client::{Access, api, follow};
use crate::failure::Failure;
use crate::output::Format;

/// Look at one operation, and help one that is stuck to its end
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Show(Show),
    Retry(Retry),
    Skip(Skip),
    Cancel(Cancel),
}

/// Tell how an operation stands, and each of its steps
#[derive(Debug, clap::Args)]
struct Show {
    #[command(flatten)]
    which: Which,
}

/// Try at once what is delayed or waits; try anew what has failed and is the latest of its service
#[derive(Debug, clap::Args)]
struct Retry {
    #[command(flatten)]
    which: Which,
}

/// Pass over a step, having seen to what it does; the operation tells its team that it was not done
#[derive(Debug, clap::Args)]
struct Skip {
    /// The step's name, as `margrave operation show` tells it
    #[arg(long)]
    step: String,

    /// Why, for the team and the audit log
    #[arg(long)]
    reason: String,

    #[command(flatten)]
    which: Which,
}

/// Undo a provision or an update that is not yet published
#[derive(Debug, clap::Args)]
struct Cancel {
    /// Why, for the team and the audit log
    #[arg(long)]
    reason: String,

    #[command(flatten)]
    which: Which,
}

/// Which operation, and how to tell of it.
#[derive(Debug, clap::Args)]
struct Which {
    /// Its id, as `margrave status` tells it
    operation: String,

    #[command(flatten)]
    output: Format,

    #[command(flatten)]
    access: Access,
}

impl Args {
    /// One of its commands.
    pub fn run(self) -> Result<(), Failure> {
        let runtime = super::runtime()?;
        match self.command {
            Command::Show(Show { which }) => runtime.block_on(which.show(None)),
            Command::Retry(Retry { which }) => runtime.block_on(which.ask("retry", &json!({}))),
            Command::Skip(Skip { step, reason, which }) => {
                runtime.block_on(which.ask("skip", &json!({"step": step, "reason": reason})))
            }
            Command::Cancel(Cancel { reason, which }) => {
                runtime.block_on(which.ask("cancel", &json!({"reason": reason})))
            }
        }
    }
}

impl Which {
    /// Asks for it, and tells of the operation as it is then: a new one, where it is tried anew.
    async fn ask(&self, what: &str, body: &Value) -> Result<(), Failure> {
        let client = self.access.client()?;
        let path = format!("/v1/operations/{}/{what}", self.operation);
        let answer = client.send(client.request(Method::POST, &path).json(body)).await?;
        match answer.status {
            StatusCode::OK => self.show(None).await,
            StatusCode::ACCEPTED => self.show(answer.body["operation"].as_str()).await,
            _ => Err(answer.failure()),
        }
    }

    async fn show(&self, other: Option<&str>) -> Result<(), Failure> {
        let client = self.access.client()?;
        let id = other.unwrap_or(&self.operation);
        let found = api::operation(&client, id, None).await?;
        let operation =
            found.ok_or_else(|| Failure::Refused(format!("there is no operation {id}")))?;
        Ok(self.output.print(&operation, || text(&operation))?)
    }
}

fn text(operation: &api::Operation) -> String {
    let mut lines = vec![format!("{}  {}", operation.id, operation.headline())];
    for step in &operation.steps {
        lines.push(format!("  {}  [{}]", follow::line(step), step.name));
    }
    lines.extend(operation.error.clone());
    lines.extend(operation.notice.clone());
    lines.extend(operation.leftovers().map(|what| format!("left behind: {what}")));
    lines.join("\n")
}
