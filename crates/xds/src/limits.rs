//! What one server, and one stream of it, may cost.

use std::time::Duration;

/// Limits of a discovery server. The defaults suit a group of 20,000 instances.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Streams at once; more are told to come back (`UNAVAILABLE`).
    pub streams: usize,
    /// Names that a stream may be subscribed to; more end it (`RESOURCE_EXHAUSTED`).
    pub names: usize,
    /// The largest message a client may send. A client that comes back lists every name it has
    /// and its version, about 120 bytes each: 40,000 route configurations are 5 MB.
    pub message_bytes: usize,
    /// Responses without an answer that a stream may have; then it is told nothing more until it
    /// answers.
    pub in_flight: usize,
    /// How long a step of a change waits for its acknowledgement before the next goes anyway, and
    /// how long a stream may be quiet before it is believed that it wants no more types.
    pub patience: Duration,
    /// How long what changed while a client was away waits for the client to name all the types
    /// it has, so that it can be sent in order.
    pub gather: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            streams: 20_000,
            names: 250_000,
            message_bytes: 16 << 20,
            in_flight: 256,
            patience: Duration::from_secs(5),
            gather: Duration::from_secs(1),
        }
    }
}
