//! `margrave dev`: the whole platform in one process, with one real Envoy.

use std::path::PathBuf;

use crate::config::{self, Flags};
use crate::dev::manner::Manner;
use crate::failure::Failure;
use crate::{dev, logging};

/// Run the whole platform here: broker, worker, control plane and one real Envoy
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Configuration file [default: margrave.toml, where there is one]
    #[arg(long, value_name = "PATH")]
    config: Option<PathBuf>,

    #[command(flatten)]
    flags: Flags,
}

impl Args {
    /// Runs until a signal.
    pub fn run(self) -> Result<(), Failure> {
        let (config, layers) = config::load(self.config.as_deref(), &self.flags, &super::env)?;
        logging::start(&config)?;
        tracing::info!(config = layers.redacted(), "starting");
        super::runtime()?.block_on(dev::run(config, Manner::dev()))
    }
}
