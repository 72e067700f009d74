//! `make bench`: change → live through a real Envoy, beside the least that could do the same, and
//! what an Envoy costs with many tenants present; provisions accepted beside what the disk can do; one change to thousands of
//! proxies beside as many raw sockets.
//! Ratios count; times are for information.

mod asker;
mod bare;
mod client;
mod crowd;
mod envoy;
mod fleet;
mod floor;
mod helper;
mod moment;
mod product;
mod provisions;
mod proxy;
mod rendering;
mod scenario;
mod sim;
mod sotw;
mod sovereign;
mod upstream;
mod wire;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};

/// What to measure.
#[derive(Parser)]
struct Arguments {
    /// The release binary.
    #[arg(long, env = "MARGRAVE_BIN")]
    binary: Option<PathBuf>,
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Change → live through a real Envoy.
    Live {
        /// Tenants present, one measurement each, rising.
        #[arg(long, value_delimiter = ',', default_value = "100,5000,20000")]
        tenants: Vec<usize>,
        /// Changes measured at each number of tenants.
        #[arg(long, default_value_t = 60)]
        rounds: usize,
    },
    /// One change to thousands of proxies.
    Fleet(fleet::Args),
    /// The proxies of `fleet`, in a process of their own.
    #[command(hide = true)]
    Crowd(crowd::Args),
    /// The readers of raw sockets of `fleet`, in a process of their own.
    #[command(hide = true)]
    FloorReaders(floor::Args),
    /// One change among many tenants, and all of them after a start.
    Render(rendering::Args),
    /// Beside Sovereign, with the same services and the same Envoy.
    Sovereign(sovereign::Args),
    /// A fleet in regions that are cut off and killed while tenants change.
    Sim(sim::Args),
    /// One region of `sim`, in a process of its own.
    #[command(hide = true)]
    SimRegion(sim::RegionArgs),
    /// Durable provisions accepted over HTTP.
    Provisions {
        /// Instances present, rising.
        #[arg(long, value_delimiter = ',', default_value = "100,100000")]
        present: Vec<usize>,
        /// Clients at the same time.
        #[arg(long, value_delimiter = ',', default_value = "16,128")]
        clients: Vec<usize>,
        /// Of each measurement.
        #[arg(long, default_value_t = 8)]
        seconds: u64,
    },
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    match arguments.what {
        What::SimRegion(region) => sim::region(region).await,
        What::Crowd(args) => crowd::serve(args).await,
        What::FloorReaders(args) => floor::read(args).await,
        what => measure(what, arguments.binary).await,
    }
}

async fn measure(what: What, binary: Option<PathBuf>) -> Result<()> {
    let binary = &binary.context("--binary or MARGRAVE_BIN names the release binary")?;
    match what {
        What::Sim(args) => sim::run(binary, args).await,
        What::Live { tenants, rounds } => scenario::run(binary, &tenants, rounds).await,
        What::Render(args) => rendering::run(binary, args).await,
        What::Sovereign(args) => sovereign::run(binary, args).await,
        What::Fleet(args) => fleet::run(binary, args).await,
        What::Provisions { present, clients, seconds } => {
            provisions::run(binary, &present, &clients, Duration::from_secs(seconds)).await
        }
        What::SimRegion(_) | What::Crowd(_) | What::FloorReaders(_) => {
            anyhow::bail!("a helper measures nothing")
        }
    }
}
