//! `margrave keys`: the keys with which the platform seals its secrets.

use clap::Subcommand;

use crate::client::Access;
use crate::client::bindings::Keyring;
use crate::failure::Failure;
use crate::output::{self, Format};
use crate::when::shown;

/// Tell or rotate the keys with which the platform seals its secrets; for operators
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List the keys by their ids, the one that seals last
    List(Common),
    /// Add a key, seal everything anew with it, and drop the keys before it
    Rotate(Common),
}

#[derive(Debug, clap::Args)]
struct Common {
    #[command(flatten)]
    output: Format,

    #[command(flatten)]
    access: Access,
}

impl Args {
    /// The keys as they are then, on stdout: ids, never keys.
    pub fn run(self) -> Result<(), Failure> {
        super::runtime()?.block_on(async {
            let (common, rotates) = match &self.verb {
                Verb::List(common) => (common, false),
                Verb::Rotate(common) => (common, true),
            };
            let client = common.access.client()?;
            let ring = if rotates { client.rotate_keys().await? } else { client.keys().await? };
            Ok(common.output.print(&ring, || table(&ring))?)
        })
    }
}

fn table(ring: &Keyring) -> String {
    let head = ["KEY", "MADE"].map(str::to_owned).to_vec();
    let row = |key: &crate::client::bindings::Key| vec![key.id.clone(), shown(key.created_at)];
    let rows: Vec<_> = std::iter::once(head).chain(ring.keys.iter().map(row)).collect();
    output::table(&rows)
}
