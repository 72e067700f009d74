//! `margrave serve`: the platform, or some of its parts, for a fleet of proxies.

use std::path::PathBuf;

use crate::config::{self, Flags};
use crate::dev::manner::Manner;
use crate::dev::roles::{Role, Roles};
use crate::failure::Failure;
use crate::{dev, logging};

/// Run the platform for a fleet: every part, or those that are named
///
/// The same as `margrave dev` without its relaxations: no Envoy is started, credentials must be set,
/// and upstreams are never on this machine. `--role plane` is a replica that answers proxies and only
/// reads the store; as many as wanted may share the state folder of the process that writes, each
/// with a name of its own (`--replica`).
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Configuration file [default: margrave.toml, where there is one]
    #[arg(long, value_name = "PATH")]
    config: Option<PathBuf>,

    /// Which parts this process is, with commas between them [default: all]
    #[arg(long = "role", value_name = "ROLE", value_delimiter = ',', env = "MARGRAVE_ROLE")]
    roles: Vec<Role>,

    #[command(flatten)]
    flags: Flags,
}

impl Args {
    /// Runs until a signal.
    pub fn run(self) -> Result<(), Failure> {
        let roles = Roles::of(&self.roles)?;
        let (config, layers) = config::load(self.config.as_deref(), &self.flags, &super::env)?;
        logging::start(&config)?;
        tracing::info!(%roles, config = layers.redacted(), "starting");
        super::runtime()?.block_on(dev::run(config, Manner::serve(roles)))
    }
}
