//! `margrave fleet proxy`: one proxy, what it should have, and what of that it does not have.

use std::collections::BTreeMap;

use reqwest::Method;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::status::{Proxy, why};
use crate::client::Access;
use crate::failure::Failure;
use crate::output::{self, Format};

/// Tell what one proxy should have, and what of that it does not have, and why
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Its id, as `margrave fleet status --all` tells it
    id: String,

    #[command(flatten)]
    output: Format,

    #[command(flatten)]
    access: Access,
}

/// A connected proxy in depth.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Detail {
    /// How it stands.
    #[serde(flatten)]
    proxy: Proxy,
    /// How many resources of each type it should have.
    resources: BTreeMap<String, usize>,
    /// What it does not have as it should, 1,000 at most.
    differs: Vec<Difference>,
    /// How many more there are.
    more: usize,
    /// Why neither `resources` nor `differs` are known: the replica that it is connected to did not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unknown: Option<String>,
}

/// A resource that a proxy does not have as it should.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Difference {
    /// Whose it is: an instance's id, or `platform/group`.
    owner: String,
    /// The protobuf type URL; empty where all that the owner has is to go.
    type_url: String,
    /// Its name; empty where all that the owner has is to go.
    name: String,
    /// The version that it should have; absent if it should be gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    /// Its Envoy's words against it; absent while it is only on its way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refusal: Option<String>,
}

impl Args {
    /// Tells.
    pub fn run(self) -> Result<(), Failure> {
        crate::command::runtime()?.block_on(async {
            let client = self.access.client()?;
            let path = client.path(&["v1", "fleet", "proxies", &self.id]);
            let detail: Detail = client.ask(client.request(Method::GET, &path)).await?;
            Ok(self.output.print(&detail, || text(&detail))?)
        })
    }
}

fn text(detail: &Detail) -> String {
    let Detail { proxy, resources, differs, more, unknown } = detail;
    let mut facts = vec![
        vec!["proxy".to_owned(), proxy.id.clone()],
        vec!["group".to_owned(), proxy.group.clone()],
        vec!["region".to_owned(), proxy.region.clone()],
        vec!["envoy".to_owned(), proxy.envoy_version.clone()],
        vec!["connected".to_owned(), model::utc(proxy.connected_at)],
        vec!["state".to_owned(), proxy.state.clone()],
    ];
    facts.extend(proxy.replica.iter().map(|it| vec!["replica".to_owned(), it.clone()]));
    let why = why(proxy);
    if !why.is_empty() {
        facts.push(vec!["why".to_owned(), why]);
    }
    facts
        .extend(resources.iter().map(|(type_url, count)| vec![short(type_url), count.to_string()]));
    let mut parts = vec![output::table(&facts)];
    if !differs.is_empty() {
        let head = ["OWNER", "TYPE", "NAME", "SHOULD BE", "WHY NOT"].map(str::to_owned).to_vec();
        let rows: Vec<_> = std::iter::once(head).chain(differs.iter().map(line)).collect();
        parts.push(output::table(&rows));
    }
    parts.extend(unknown.clone());
    if *more > 0 {
        parts.push(format!("and {more} more"));
    }
    parts.join("\n\n")
}

fn line(it: &Difference) -> Vec<String> {
    let all = |text: String| if text.is_empty() { "all".to_owned() } else { text };
    let should = it.version.clone().unwrap_or_else(|| "gone".to_owned());
    let why = it.refusal.clone().unwrap_or_else(|| "on its way".to_owned());
    vec![it.owner.clone(), all(short(&it.type_url)), all(it.name.clone()), should, why]
}

/// The message's name alone.
fn short(type_url: &str) -> String {
    type_url.rsplit('.').next().unwrap_or(type_url).to_owned()
}
