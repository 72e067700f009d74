//! The binary: `margrave`.

#![expect(
    unreachable_pub,
    reason = "nothing of a binary is reached from outside; `pub` marks the face of a module"
)]

mod client;
mod clock;
mod command;
mod config;
mod dev;
mod envoy;
mod failure;
mod gate;
mod logging;
mod output;

mod private;
mod proof;
#[cfg(test)]
mod reference;
mod runner;
mod runners;
mod signals;
mod state;
mod suggest;
mod when;
mod wrapped;

use std::process::ExitCode;

use tikv_jemallocator::Jemalloc;

/// Gives back what a moment took: after all proxies of a fleet came back at once the C library's
/// keeps most of what they said.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    command::run(std::env::args_os())
}
