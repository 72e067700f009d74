//! `margrave fleet`: the proxies, what they have that is ahead of the store, and the decision about it.

mod proxy;
mod status;

pub use proxy::Detail;
pub use status::Fleet;

use model::counted;
use reqwest::Method;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::client::Access;
use crate::failure::Failure;
use crate::output::Format;

/// Tell how the proxies stand, and decide what may go from them
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Status(status::Args),
    Proxy(proxy::Args),
    ConfirmRemoval(ConfirmRemoval),
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
    access: Access,
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
            Command::Proxy(args) => args.run(),
            Command::ConfirmRemoval(args) => args.run(),
        }
    }
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
            let client = self.access.client()?;
            let request = client.request(Method::POST, "/v1/fleet/confirm-removal");
            let gone: LetGo = client.ask(request).await?;
            let LetGo { instances, proxies } = gone;
            Ok(self.output.print(&gone, || {
                let (instances, proxies) =
                    (counted(instances, "instance"), counted(proxies, "proxy"));
                format!("{instances} let go; {proxies} shall give up what the store does not know")
            })?)
        })
    }
}
