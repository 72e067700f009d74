//! `margrave delete`: takes a service away.

use std::io::{BufRead, IsTerminal};

use anyhow::anyhow;
use model::{InstanceId, OperationKind, OperationState, ServiceName};
use reqwest::{Method, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use super::service::{Service, unknown};
use super::wait::Wait;
use crate::client::{Accepted, Catalog, Client, Connect, api, follow};
use crate::failure::Failure;
use crate::output::{self, Format};

/// Take a service away: its routes first, then its names
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    service: Service,

    /// For operators: whatever is in progress, and whatever fails; what could not be taken away is told
    #[arg(long)]
    force: bool,

    /// Do not ask
    #[arg(short, long)]
    yes: bool,

    #[command(flatten)]
    wait: Wait,

    #[command(flatten)]
    output: Format,

    #[command(flatten)]
    connect: Connect,
}

/// What became of it.
#[derive(Debug, Serialize, ToSchema)]
pub struct Deleted {
    /// The service's name.
    #[schema(value_type = String)]
    service: ServiceName,
    /// Whether it is gone; else its end was not waited for.
    deleted: bool,
    /// The operation that takes it away, or did.
    operation: Option<String>,
}

impl Args {
    /// Returns when no proxy serves it any more, unless told not to wait.
    pub fn run(self) -> Result<(), Failure> {
        super::runtime()?.block_on(self.delete())
    }

    async fn delete(&self) -> Result<(), Failure> {
        let (client, service, id) = self.service.find(&self.connect).await?;
        let instance = api::instance(&client, &id).await?;
        let Some(instance) = instance.filter(api::Instance::is_anything) else {
            return Err(unknown(&service));
        };
        if !self.yes {
            confirm(&service, &instance.hostnames)?;
        }
        let operation = match self.ask(&client, &id).await? {
            Accepted::Started(operation) => operation,
            Accepted::Unchanged | Accepted::Gone => return self.gone(service, None),
            Accepted::Busy | Accepted::Conflict => {
                let why = "another operation is in progress; `margrave status` tells which";
                return Err(anyhow!("{service}: {why}").into());
            }
        };
        if !self.wait.wanted() {
            output::message("accepted; `margrave status` tells how far it is");
            let text = operation.clone();
            let value = Deleted { service, deleted: false, operation: Some(operation) };
            return Ok(self.output.print(&value, || text)?);
        }
        let deadline = self.wait.deadline();
        let ended = follow::until_ended(&client, &operation, deadline).await?;
        if ended.state == OperationState::Failed {
            let why = ended.error.unwrap_or_default();
            return Err(anyhow!("{service} is not deleted: {why}").into());
        }
        for what in ended.leftovers() {
            output::message(&format!("left behind: {what}"));
        }
        self.gone(service, Some(operation))
    }

    async fn ask(&self, client: &Client, id: &InstanceId) -> Result<Accepted, Failure> {
        if self.force {
            let path = format!("/v1/instances/{id}?force=true");
            let answer = client.send(client.request(Method::DELETE, &path)).await?;
            return match answer.status {
                StatusCode::GONE => Ok(Accepted::Gone),
                StatusCode::ACCEPTED => {
                    let operation = answer.body["operation"].as_str().unwrap_or_default();
                    Ok(Accepted::Started(operation.to_owned()))
                }
                _ => Err(answer.failure()),
            };
        }
        let catalog = Catalog::of(client).await?;
        let identity = self.connect.identity(client).await?;
        client.change(&catalog, &identity, id, OperationKind::Deprovision, None).await
    }

    fn gone(&self, service: ServiceName, operation: Option<String>) -> Result<(), Failure> {
        let text = format!("{service} is gone");
        let value = Deleted { service, deleted: true, operation };
        Ok(self.output.print(&value, || text)?)
    }
}

/// Asks on a terminal; elsewhere only `--yes` will do.
fn confirm(service: &ServiceName, hostnames: &[String]) -> Result<(), Failure> {
    let what = format!("{service} ({}) will answer no more", hostnames.join(", "));
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return Err(Failure::Usage(format!("{what}; say --yes, as there is nobody to ask")));
    }
    output::message(&format!("{what}. Type its name to delete it:"));
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    if answer.trim() == service.as_str() {
        return Ok(());
    }
    Err(Failure::Refused("nothing was deleted".to_owned()))
}
