//! `margrave status`: how a service stands.

use super::service::{Service, unknown};
use crate::client::{Connect, api, follow};
use crate::failure::Failure;
use crate::output::{self, Format};

/// Tell how a service stands: where it answers, and how far its last operation is
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
            let instance = api::instance(&client, &id).await?;
            let Some(instance) = instance else { return Err(unknown(&service)) };
            let urls = instance.urls(self.connect.endpoints().as_ref());
            Ok(self.output.print(&instance, || describe(&instance, &urls))?)
        })
    }
}

fn describe(instance: &api::Instance, urls: &[String]) -> String {
    let pair = |name: &str, value: &str| vec![name.to_owned(), value.to_owned()];
    let mut rows = vec![
        pair("service", &instance.service),
        pair("team", &instance.space),
        pair("visibility", instance.plan.as_str()),
        pair("state", instance.standing()),
    ];
    let offered = instance.more.get("offeredTo").and_then(serde_json::Value::as_str);
    rows.extend(offered.map(|team| pair("offered to", team)));
    rows.extend(urls.iter().map(|url| pair("url", url)));
    if let Some(standing) = &instance.standing {
        rows.extend(standing.quarantine.iter().map(|why| pair("held back", why)));
        rows.extend(standing.notices.iter().map(|notice| pair("note", notice)));
    }
    for condition in &instance.conditions {
        rows.push(pair("to do", &condition.message));
        rows.extend(condition.problem.iter().map(|problem| pair("", problem)));
    }
    if let Some(operation) = &instance.operation {
        rows.push(pair("last", &operation.headline()));
        rows.extend(operation.steps.iter().map(|step| pair("", &follow::line(step))));
        rows.extend(operation.error.iter().map(|why| pair("error", why)));
        rows.extend(operation.last_word().map(|said| pair("", said)));
    }
    output::table(&rows)
}
