//! Moments that processes of one machine can tell each other.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// Microseconds since 1970. Spans between two of them are a few seconds at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Moment(u64);

impl Moment {
    #[expect(clippy::disallowed_methods, reason = "`Instant` means nothing to another process")]
    pub(crate) fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Self(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
    }

    pub(crate) fn since(self, began: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(began.0))
    }
}
