//! `make bench`: change → live through a real Envoy, beside the least that could do the same, and
//! what an Envoy costs with many tenants present; provisions accepted beside what the disk can do; one change to thousands of
//! proxies beside as many raw sockets.
//! Ratios count; times are for information.

mod asker;
mod bare;
mod bare_tonic;
mod beside;
mod change;
mod client;
mod crowd;
mod descriptors;
mod envoy;
mod fleet;
mod floor;
mod helper;
mod http2;
mod moment;
mod ports;
mod product;
mod provisions;
mod proxy;
mod rendering;
mod rollout;
mod scenario;
mod scratch;
mod series;
mod sim;
mod sotw;
mod sovereign;
mod templates;
mod tls;
mod upstream;
mod usage;
mod wire;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::{Parser, Subcommand};
use tokio::runtime;

use crate::usage::{Usage, positive};

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
        #[arg(long, value_delimiter = ',', default_value = "100,5000,20000", value_parser = positive)]
        tenants: Vec<usize>,
        /// Changes measured at each number of tenants.
        #[arg(long, default_value_t = 60, value_parser = positive)]
        rounds: usize,
    },
    /// One change to thousands of proxies.
    Fleet(fleet::Args),
    /// Other templates: everything changes for all proxies.
    Rollout(rollout::Args),
    /// Proxies that show certificates, beside others in clear.
    Tls(tls::Args),
    /// The proxies of `fleet`, in a process of their own.
    #[command(hide = true)]
    Crowd(crowd::Args),
    /// The writer of raw sockets of `fleet`, in a process of its own.
    #[command(hide = true)]
    FloorWriter(floor::WriterArgs),
    /// Their readers.
    #[command(hide = true)]
    FloorReaders(floor::ReaderArgs),
    /// The bare tonic server of `fleet`.
    #[command(hide = true)]
    BareTonic,
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
        #[arg(long, value_delimiter = ',', default_value = "100,100000", value_parser = positive)]
        present: Vec<usize>,
        /// Clients at the same time.
        #[arg(long, value_delimiter = ',', default_value = "16,128", value_parser = positive)]
        clients: Vec<usize>,
        /// Of each measurement.
        #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..))]
        seconds: u64,
    },
}

fn main() -> ExitCode {
    descriptors::raise();
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => told(&error),
    }
}

#[expect(clippy::print_stderr, reason = "whoever measures must know")]
fn told(error: &anyhow::Error) -> ExitCode {
    eprintln!("bench: {error:#}");
    if error.is::<Usage>() { ExitCode::from(usage::EXIT) } else { ExitCode::FAILURE }
}

fn run(arguments: Arguments) -> Result<()> {
    let mut one = runtime::Builder::new_current_thread();
    let mut many = runtime::Builder::new_multi_thread();
    let (one, many) = (one.enable_all().build()?, many.enable_all().build()?);
    // Who loads what is measured takes one core at most, and hands nothing from thread to thread.
    match arguments.what {
        What::SimRegion(region) => one.block_on(sim::region(region)),
        What::Crowd(args) => one.block_on(crowd::serve(args)),
        What::FloorWriter(args) => one.block_on(floor::write(args)),
        What::FloorReaders(args) => one.block_on(floor::read(args)),
        What::BareTonic => many.block_on(bare_tonic::serve()),
        what => many.block_on(measure(what, arguments.binary)),
    }
}

async fn measure(what: What, binary: Option<PathBuf>) -> Result<()> {
    let binary = &usage::program(binary, "MARGRAVE_BIN", "the release binary")?;
    match what {
        What::Sim(args) => sim::run(binary, args).await,
        What::Live { tenants, rounds } => scenario::run(binary, &tenants, rounds).await,
        What::Render(args) => rendering::run(binary, args).await,
        What::Sovereign(args) => sovereign::run(binary, args).await,
        What::Fleet(args) => fleet::run(binary, args).await,
        What::Rollout(args) => rollout::run(binary, args).await,
        What::Tls(args) => tls::run(binary, args).await,
        What::Provisions { present, clients, seconds } => {
            provisions::run(binary, &present, &clients, Duration::from_secs(seconds)).await
        }
        What::SimRegion(_)
        | What::Crowd(_)
        | What::FloorWriter(_)
        | What::FloorReaders(_)
        | What::BareTonic => {
            anyhow::bail!("a helper measures nothing")
        }
    }
}
