//! `margrave fleet`: the proxies, what they have that is ahead of the store, and the decision about it.

use reqwest::Method;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::client::Connect;
use crate::failure::Failure;
use crate::output::{self, Format};

/// Tell how the proxies stand, and decide what may go from them
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Status(Status),
    ConfirmRemoval(ConfirmRemoval),
}

/// Tell which proxies are connected and how they stand, and what they have that is ahead of the store
#[derive(Debug, clap::Args)]
struct Status {
    #[command(flatten)]
    output: Format,

    #[command(flatten)]
    connect: Connect,
}

/// Let go from the proxies what the store does not know: after a restore, or when so much was gone
/// at once that it is held back
#[derive(Debug, clap::Args)]
struct ConfirmRemoval {
    /// Needed, as it cannot be taken back
    #[arg(long)]
    yes: bool,

    #[command(flatten)]
    output: Format,

    #[command(flatten)]
    connect: Connect,
}

/// The fleet.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Fleet {
    /// The latest revision that the control plane has taken in.
    revision: u64,
    /// Published instances.
    instances: usize,
    /// Instances that are served at an earlier revision than their latest.
    quarantined: usize,
    /// Instances that the store does not know any more, and that are served until it is confirmed
    /// that they may go.
    #[serde(default)]
    removals_held: usize,
    /// What proxies have that is ahead of the store.
    #[serde(default)]
    ahead: Vec<Ahead>,
    /// Connected proxies.
    proxies: Vec<Proxy>,
}

/// Something that proxies have that is ahead of the store.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
struct Ahead {
    /// `instance`, `hostname` or `resource`.
    kind: String,
    /// Its id or name.
    name: String,
    /// The epoch that a proxy has it of.
    #[serde(default)]
    epoch: Option<u64>,
    /// The revision that a proxy has it of.
    #[serde(default)]
    revision: Option<u64>,
    /// The store does not know it, and proxies keep it. Else they are given what the store has.
    kept: bool,
    /// How many proxies came back with it.
    proxies: usize,
}

/// A connected proxy.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Proxy {
    /// `node.id`.
    id: String,
    /// Its group.
    group: String,
    /// Its region; empty when not told.
    region: String,
    /// Its Envoy's version; empty when not told.
    envoy_version: String,
    /// `live`, `behind` or `rejecting`.
    state: String,
}

/// What was let go.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct LetGo {
    /// Instances that were served although the store did not know them any more.
    instances: usize,
    /// Proxies that are told to give up what the store does not know.
    proxies: usize,
}

impl Args {
    /// One of its commands.
    pub fn run(self) -> Result<(), Failure> {
        match self.command {
            Command::Status(args) => args.run(),
            Command::ConfirmRemoval(args) => args.run(),
        }
    }
}

impl Status {
    fn run(self) -> Result<(), Failure> {
        super::runtime()?.block_on(async {
            let client = self.connect.client()?;
            let fleet: Fleet = client.ask(client.request(Method::GET, "/v1/fleet")).await?;
            Ok(self.output.print(&fleet, || text(&fleet))?)
        })
    }
}

fn text(fleet: &Fleet) -> String {
    let mut parts = vec![format!(
        "revision {}, {} instances, {} quarantined",
        fleet.revision, fleet.instances, fleet.quarantined
    )];
    let row = |cells: [&str; 4]| cells.map(str::to_owned).to_vec();
    if !fleet.proxies.is_empty() {
        let head = row(["PROXY", "GROUP", "ENVOY", "STATE"]);
        let line = |it: &Proxy| row([&it.id, &it.group, &it.envoy_version, &it.state]);
        let rows: Vec<_> = std::iter::once(head).chain(fleet.proxies.iter().map(line)).collect();
        parts.push(output::table(&rows));
    }
    if !fleet.ahead.is_empty() {
        parts.push("proxies have what is ahead of the store:".to_owned());
        let head = row(["AHEAD", "NAME", "VERSION", "NOW"]);
        let rows: Vec<_> = std::iter::once(head).chain(fleet.ahead.iter().map(ahead)).collect();
        parts.push(output::table(&rows));
    }
    if fleet.removals_held > 0 {
        let held = fleet.removals_held;
        parts.push(format!(
            "{held} instances are gone from the store at once, and are still served"
        ));
    }
    if fleet.removals_held > 0 || fleet.ahead.iter().any(|it| it.kept) {
        parts.push(
            "apply again what is to stay; `margrave fleet confirm-removal` lets the rest go"
                .to_owned(),
        );
    }
    parts.join("\n\n")
}

fn ahead(it: &Ahead) -> Vec<String> {
    let version = it.epoch.zip(it.revision).map(|(epoch, revision)| format!("{epoch}.{revision}"));
    let now = if it.kept { "kept by proxies, unknown here" } else { "as it is here" };
    let version = version.unwrap_or_else(|| "-".to_owned());
    vec![it.kind.clone(), it.name.clone(), version, now.to_owned()]
}

impl ConfirmRemoval {
    fn run(self) -> Result<(), Failure> {
        if !self.yes {
            return Err(Failure::Usage(
                "what the store does not know goes from every proxy, and cannot be had back: look \
                 at `margrave fleet status`, then say --yes"
                    .to_owned(),
            ));
        }
        super::runtime()?.block_on(async {
            let client = self.connect.client()?;
            let request = client.request(Method::POST, "/v1/fleet/confirm-removal");
            let gone: LetGo = client.ask(request).await?;
            let LetGo { instances, proxies } = gone;
            Ok(self.output.print(&gone, || {
                format!("{instances} instances let go; {proxies} proxies are told to give up what the store does not know")
            })?)
        })
    }
}
