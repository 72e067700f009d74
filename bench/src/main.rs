//! `make bench`: change → live through a real Envoy, beside the least that could do the same, and
//! what an Envoy costs with many tenants present. Ratios count; times are for information.

mod asker;
mod bare;
mod envoy;
mod product;
mod scenario;
mod upstream;
mod wire;

use std::path::PathBuf;

use anyhow::Result;
use clap::Parser;

/// What to measure.
#[derive(Parser)]
struct Arguments {
    /// Tenants present, one measurement each, rising.
    #[arg(long, value_delimiter = ',', default_value = "100,5000,20000")]
    tenants: Vec<usize>,
    /// Changes measured at each number of tenants.
    #[arg(long, default_value_t = 60)]
    rounds: usize,
    /// The release binary.
    #[arg(long, env = "MARGRAVE_BIN")]
    binary: PathBuf,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    scenario::run(&arguments.binary, &arguments.tenants, arguments.rounds).await
}
