//! `margrave join-token`: what lets a host join as a proxy, once.

use keys::Secret;
use model::{GroupName, NodeId};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use super::secret;
use crate::client::Access;
use crate::failure::Failure;
use crate::output::Format;
use crate::when::shown;

/// Let hosts join as proxies: a token each, good once and for minutes; for operators
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    Create(Create),
}

/// Make a token that lets one host join a group as a proxy; it is told once, and kept nowhere
///
/// The host gives it to `margrave join`.
#[derive(Debug, clap::Args)]
struct Create {
    /// The group of proxies that the host joins
    #[arg(long, value_name = "NAME")]
    group: GroupName,

    /// What the proxy will be called; one that is there begins anew [default: chosen by the platform]
    #[arg(long, value_name = "NAME")]
    node: Option<NodeId>,

    /// How long it is good, such as `10m`; 60m at most
    #[arg(long, value_name = "DURATION", default_value = "10m")]
    ttl: String,

    #[command(flatten)]
    into: secret::Into,

    #[command(flatten)]
    output: Format,

    #[command(flatten)]
    access: Access,
}

/// What was made.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Invited {
    /// The group that the host joins.
    group: String,
    /// What it will be called; absent: the platform chooses.
    node: Option<String>,
    /// When the token ends, in milliseconds since the Unix epoch.
    expires_at: i64,
    /// The token; absent where it was written to a file.
    #[serde(serialize_with = "crate::command::secret::print")]
    #[schema(value_type = Option<String>)]
    secret: Option<Secret>,
    /// Where it was written.
    credential: Option<String>,
}

impl Args {
    /// One of its commands.
    pub fn run(self) -> Result<(), Failure> {
        let Verb::Create(create) = self.verb;
        super::runtime()?.block_on(create.run())
    }
}

impl Create {
    /// The secret goes where it was asked to, and nowhere else.
    async fn run(self) -> Result<(), Failure> {
        let client = self.access.client()?;
        let place = self.into.ready()?;
        let wish = json!({"group": self.group, "node": self.node, "ttl": self.ttl});
        let made = client.invite(&wish).await?;
        let put = place.put(made.secret)?;
        let what = format!(
            "the token for one proxy of group `{}`, good until {}",
            made.group,
            shown(made.expires_at)
        );
        let (secret, credential) = (put.shown(), put.file());
        let (group, node, expires_at) = (made.group, made.node, made.expires_at);
        let value = Invited { group, node, expires_at, secret, credential };
        Ok(self.output.print(&value, || put.told(&what))?)
    }
}
