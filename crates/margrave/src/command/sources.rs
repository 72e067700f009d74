//! `margrave sources`: where the documents come from that templates see, and how fresh they are.

use reqwest::Method;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::client::Access;
use crate::failure::Failure;
use crate::output::{self, Format};

/// List the sources of documents that templates see, how fresh they are and what is wrong; for
/// operators
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    output: Format,

    #[command(flatten)]
    access: Access,
}

#[derive(Deserialize)]
struct Listed {
    sources: Vec<Source>,
}

/// A source of a document.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Source {
    /// The name that templates use.
    name: String,
    /// `file`, `http`, `inline` or `exec`.
    kind: String,
    /// Where it is, without secrets.
    place: String,
    /// Whether any of it is secret.
    is_secret: bool,
    /// Whether its document comes to groups by stages, as templates do.
    is_staged: bool,
    /// How often it is asked, in milliseconds.
    interval_ms: u64,
    /// The revision of its document; 0: there is none yet.
    revision: u64,
    /// The size of its document as it was fetched.
    bytes: u64,
    /// The first bytes of the SHA-256 of that; none of what is secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
    /// What the source itself calls this version, if it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    etag: Option<String>,
    /// When the document was last known to be what its source has.
    #[serde(skip_serializing_if = "Option::is_none")]
    fetched_at: Option<i64>,
    /// How long ago that was, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    age_ms: Option<u64>,
    /// Since when it fails; absent while it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    failing_since: Option<i64>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

impl Args {
    /// The list, on stdout.
    pub fn run(self) -> Result<(), Failure> {
        super::runtime()?.block_on(async {
            let client = self.access.client()?;
            let listed: Listed = client.ask(client.request(Method::GET, "/v1/sources")).await?;
            Ok(self.output.print(&listed.sources, || table(&listed.sources))?)
        })
    }
}

fn table(sources: &[Source]) -> String {
    if sources.is_empty() {
        return "there are no sources: see `sources` and `[source.NAME]` of the configuration"
            .to_owned();
    }
    let head = ["NAME", "KIND", "REVISION", "BYTES", "AGE", "PLACE", "PROBLEM"];
    let rows = std::iter::once(head.map(str::to_owned).to_vec()).chain(sources.iter().map(row));
    output::table(&rows.collect::<Vec<_>>())
}

fn row(source: &Source) -> Vec<String> {
    let age = source.age_ms.map_or("never read".to_owned(), |age| format!("{} s", age / 1_000));
    let bytes = match source.is_secret {
        true => format!("{}, sealed", source.bytes),
        false => source.bytes.to_string(),
    };
    vec![
        source.name.clone(),
        source.kind.clone(),
        source.revision.to_string(),
        bytes,
        age,
        source.place.clone(),
        source.problem.clone().unwrap_or_default(),
    ]
}
