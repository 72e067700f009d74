//! What one server, and one stream of it, may cost.

use std::time::Duration;

use crate::rate::Rate;

/// Limits of a discovery server. The defaults suit a group of 20,000 instances.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Streams at once; more are told to come back (`UNAVAILABLE`).
    pub streams: usize,
    /// New streams; more wait for their turn.
    pub admission: Rate,
    /// How long a new stream waits for its turn; if it would be longer, it is told to come back
    /// (`UNAVAILABLE`).
    pub admission_wait: Duration,
    /// How long a client may take to say its first word (`DEADLINE_EXCEEDED`).
    pub greeting: Duration,
    /// Requests of one stream; more end it (`RESOURCE_EXHAUSTED`). Envoy sends one for each
    /// response, and one for each batch of names.
    pub requests: Rate,
    /// Names that a stream may be subscribed to; more end it (`RESOURCE_EXHAUSTED`).
    pub names: usize,
    /// Names of nothing that a stream may be subscribed to: those of more are answered, and then
    /// forgotten, the oldest first. (Whoever can make a proxy ask for names must not be able to
    /// end its stream.)
    pub unknown_names: usize,
    /// The largest message a client may send. A client that comes back lists every name it has
    /// and its version, about 120 bytes each: 40,000 route configurations are 5 MB.
    pub message_bytes: usize,
    /// Large messages (of more than 64 KiB) are read in turn: so many bytes of them at once. Twice as
    /// much, at most, is in memory, and what HTTP/2's windows let through.
    pub turns_bytes: usize,
    /// A client whose turn it is may be silent for so long in the middle of its message; then its
    /// stream is given up (`DEADLINE_EXCEEDED`). Nor may it send fewer than 64 KiB a second.
    pub turn_silence: Duration,
    /// Responses without an answer that a stream may have; then it is told nothing more until it
    /// answers.
    pub in_flight: usize,
    /// Owners whose changes are on their way to a stream at once, 200 bytes each; those of more wait
    /// in the cache. When all change at once a distant client, 250 ms away, is told of a thousand each
    /// second or two.
    pub owners: usize,
    /// How long a client may not read what is sent to it; then its stream is given up
    /// (`DEADLINE_EXCEEDED`).
    pub unread: Duration,
    /// How long a step of a change waits for its acknowledgement before the next goes anyway, and
    /// how long a stream may be quiet before it is believed that it wants no more types.
    pub patience: Duration,
    /// How long what changed while a client was away waits for the client to name all the types
    /// it has, so that it can be sent in order.
    pub gather: Duration,
    /// A stream ends at this age, so that its client finds the servers that there are by then; its
    /// connection is asked to end as well. The client comes back and is sent nothing it has.
    pub age: Duration,
    /// At most so much later, each stream at a moment of its own.
    pub age_jitter: Duration,
    /// How long it then waits for what is outstanding.
    pub age_grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            streams: 20_000,
            admission: Rate { per_second: 2_000, burst: 4_000 },
            admission_wait: Duration::from_secs(10),
            greeting: Duration::from_secs(30),
            requests: Rate { per_second: 500, burst: 5_000 },
            names: 250_000,
            unknown_names: 1_000,
            message_bytes: 16 << 20,
            turns_bytes: 128 << 20,
            turn_silence: Duration::from_secs(10),
            in_flight: 256,
            owners: 1024,
            unread: Duration::from_secs(300),
            patience: Duration::from_secs(5),
            gather: Duration::from_secs(1),
            age: Duration::from_secs(10 * 3600),
            age_jitter: Duration::from_secs(2 * 3600),
            age_grace: Duration::from_secs(60),
        }
    }
}
