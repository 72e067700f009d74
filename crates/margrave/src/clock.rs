//! The one place that reads the clock; everything else is handed the time.

use std::time::{SystemTime, UNIX_EPOCH};

use model::Millis;

/// Milliseconds since the Unix epoch.
#[expect(clippy::disallowed_methods, reason = "the binary hands time in, and has it from here")]
pub fn now() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Millis::try_from(since.as_millis()).unwrap_or(Millis::MAX)
}
