//! The flags of commands that wait for an operation.

use std::time::Duration;

use tokio::time::Instant;

/// Whether and how long to wait.
#[derive(Debug, clap::Args)]
pub struct Wait {
    /// Wait until it is live and tell each step, which is done unless told otherwise
    #[arg(long, conflicts_with = "no_wait")]
    wait: bool,

    /// Do not wait until it is live: return when the broker has accepted
    #[arg(long)]
    no_wait: bool,

    /// How long to wait, in seconds; the operation goes on after it (exit code 4)
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    timeout: u64,
}

impl Wait {
    /// Whether to wait.
    pub fn wanted(&self) -> bool {
        self.wait || !self.no_wait
    }

    /// Until when.
    pub fn deadline(&self) -> Instant {
        Instant::now() + Duration::from_secs(self.timeout)
    }
}
