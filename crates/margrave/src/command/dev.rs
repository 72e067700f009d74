//! `margrave dev`: the whole platform in one process, with one real Envoy.

use std::path::PathBuf;

use crate::config::{self, Flags};
use crate::dev::manner::Manner;
use crate::dev::roles::{Role, Roles};
use crate::failure::Failure;
use crate::{dev, logging};

/// Run the whole platform here: broker, worker, control plane and one real Envoy
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Configuration file [default: margrave.toml, where there is one]
    #[arg(long, value_name = "PATH")]
    config: Option<PathBuf>,

    /// Which parts this process is, as `margrave serve` has it [default: all]
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
        tracing::info!(config = layers.redacted(), "starting");
        super::runtime()?.block_on(dev::run(config, Manner::dev(roles)))
    }
}
