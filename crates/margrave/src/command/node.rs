//! `margrave node`: the proxies that have joined, and their end.

use crate::client::Access;
use crate::client::nodes::Node;
use crate::failure::Failure;
use crate::output::{self, Format};
use crate::when::minute;

/// See which proxies have joined, and revoke them; for operators
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    List(List),
    Revoke(Revoke),
}

/// List the proxies that have joined, and how long their certificates are good
#[derive(Debug, clap::Args)]
struct List {
    /// Only those of this group
    #[arg(long, value_name = "NAME")]
    group: Option<String>,

    #[command(flatten)]
    output: Format,

    #[command(flatten)]
    access: Access,
}

/// Revoke a proxy: it is given nothing any more, at once, and keeps serving what it has
///
/// To let it in again make a token for it: `margrave join-token create --node`.
#[derive(Debug, clap::Args)]
struct Revoke {
    /// Its name, as `margrave node list` tells it
    node: String,

    #[command(flatten)]
    output: Format,

    #[command(flatten)]
    access: Access,
}

impl Args {
    /// One of its commands.
    pub fn run(self) -> Result<(), Failure> {
        let runtime = super::runtime()?;
        match self.verb {
            Verb::List(args) => runtime.block_on(args.run()),
            Verb::Revoke(args) => runtime.block_on(args.run()),
        }
    }
}

impl List {
    async fn run(self) -> Result<(), Failure> {
        let found = self.access.client()?.nodes(self.group.as_deref()).await?;
        if found.is_empty() {
            output::message("no proxy has joined: `margrave join-token create` lets one");
        }
        Ok(self.output.print(&found, || table(&found))?)
    }
}

impl Revoke {
    async fn run(self) -> Result<(), Failure> {
        let node = self.access.client()?.revoke_node(&self.node).await?;
        let text = if node.group.is_empty() {
            format!(
                "no proxy `{}` is known to this platform, which was restored: whatever certificates it has open \
                 nothing any more",
                node.node
            )
        } else {
            let (name, group) = (&node.node, &node.group);
            format!("the proxy `{name}` of group `{group}` is given nothing any more")
        };
        Ok(self.output.print(&node, || text)?)
    }
}

fn table(all: &[Node]) -> String {
    if all.is_empty() {
        return String::new();
    }
    let head = ["NODE", "GROUP", "STATE", "JOINED", "INVITED BY", "RENEWED", "GOOD UNTIL"];
    let rows = all.iter().map(|it| {
        vec![
            it.node.clone(),
            it.group.clone(),
            it.state.clone(),
            minute(it.joined_at),
            it.invited_by.clone(),
            minute(it.issued_at),
            minute(it.not_after),
        ]
    });
    let head = std::iter::once(head.map(str::to_owned).to_vec());
    output::table(&head.chain(rows).collect::<Vec<_>>())
}
