//! Ctrl-C and SIGTERM: the first asks for an orderly end, the second ends at once.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The exit code after a second signal: 128 + SIGINT, as shells have it.
const EXIT_IMPATIENT: i32 = 130;

/// The signals that end a process.
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Listens from now on.
    pub fn listen() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Waits for the first signal; a later one ends the process on the spot.
    pub async fn first(mut self) {
        let name = self.any().await;
        tracing::info!(signal = name, "stopping; once more ends at once");
        tokio::spawn(async move {
            let name = self.any().await;
            tracing::warn!(signal = name, "ended at once");
            // The user has asked twice; Envoy dies with us.
            std::process::exit(EXIT_IMPATIENT);
        });
    }

    async fn any(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }
}
