//! The log: structured, on stderr, so that stdout is for what a user asked for.

use tracing_subscriber::EnvFilter;

use crate::config::{Config, LogFormat};
use crate::failure::Failure;

/// Libraries whose `debug` is about bytes and pools; whoever wants it names them in `log`.
const QUIET: &str = "hyper=info,hyper_util=info,h2=info,tower=info,reqwest=info,rustls=info";

/// Heads of the audit log are told also where the rest is quiet: what is missing proves nothing.
const HEADS: &str = "audit=info";

/// Logs from now on, as the configuration says.
pub fn start(config: &Config) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(format!("{QUIET},{HEADS},{}", config.log))
        .map_err(|error| Failure::Usage(format!("`log` is not a filter: {error}")))?;
    // A line that cannot be written is lost in silence: the subscriber would tell of it on stderr, and
    // panic because that is what cannot be written, in the middle of a request.
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .log_internal_errors(false);
    match config.log_format {
        LogFormat::Json => log.json().flatten_event(true).init(),
        LogFormat::Text => log.with_ansi(crate::output::colour_on_stderr()).init(),
    }
    Ok(())
}
