//! `margrave status`: how a service stands.

use super::service::{Service, unknown};
use crate::client::{Connect, api};
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
            let (service, id) = self.service.find(&self.connect)?;
            let client = self.connect.client()?;
            let instance = api::instance(&client, &id).await?;
            let Some(instance) = instance else { return Err(unknown(&service)) };
            let urls = instance.urls(self.connect.endpoints().as_ref());
            Ok(self.output.print(&instance, || describe(&instance, &urls))?)
        })
    }
}

fn describe(instance: &api::Instance, urls: &[String]) -> String {
    let pair = |name: &str, value: String| vec![name.to_owned(), value];
    let mut rows = vec![
        pair("service", instance.service.clone()),
        pair("team", instance.space.clone()),
        pair("visibility", instance.plan.as_str().to_owned()),
        pair("state", instance.standing().to_owned()),
    ];
    rows.extend(urls.iter().map(|url| pair("url", url.clone())));
    if let Some(operation) = &instance.operation {
        rows.extend(operation.steps.iter().map(|step| {
            let note = step.note.as_ref().map_or(String::new(), |note| format!(": {note}"));
            pair("step", format!("{:?} {}{note}", step.state, step.says))
        }));
        rows.extend(operation.error.iter().map(|why| pair("error", why.clone())));
        rows.extend(operation.notice.iter().map(|notice| pair("note", notice.clone())));
    }
    output::table(&rows)
}
