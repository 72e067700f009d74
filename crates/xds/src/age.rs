//! How old a stream becomes. Streams end from time to time, so that proxies spread over the servers
//! that there are by then; each at a moment of its own, so that they do not come back together.

use std::time::Duration;

use model::Version;
use tokio::time::Instant;

use crate::event::StreamId;
use crate::limits::Limits;
use crate::metrics;

/// When a stream is to end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Age {
    /// From now on as soon as nothing is outstanding.
    due: Instant,
    /// Whatever is outstanding.
    end: Instant,
}

impl Age {
    /// The age of a stream that begins now. Its share of the jitter is a hash of its number.
    pub(crate) fn of(stream: StreamId, limits: &Limits, now: Instant) -> Self {
        let share = Version::hash_of(&stream.0.to_be_bytes()) >> 32;
        let jitter = limits.age_jitter.mul_f64(share as f64 / f64::from(u32::MAX));
        let due = now + limits.age + jitter;
        Self { due, end: due + limits.age_grace }
    }

    /// Whether the stream is to end now.
    pub(crate) fn is_over(self, now: Instant, at_rest: bool) -> bool {
        now >= self.end || (at_rest && now >= self.due)
    }

    /// Completes when the stream is to end as soon as nothing is outstanding.
    pub(crate) async fn comes(self) {
        tokio::time::sleep_until(self.due).await;
        metrics::stream_ended("age");
    }

    /// When to ask again.
    pub(crate) fn next(self, now: Instant) -> Instant {
        if now < self.due { self.due } else { self.end }
    }
}

/// The age at which connections are asked to end: none of their streams ends earlier by itself.
pub(crate) fn of_connections(limits: &Limits) -> Duration {
    limits.age
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_end_at_rest_at_moments_spread_over_the_jitter() {
        let (now, limits) = (Instant::now(), Limits::default());
        let (mut early, mut late) = (0, 0);
        for stream in 1..=1000 {
            let age = Age::of(StreamId(stream), &limits, now);
            assert!(!age.is_over(now + limits.age - Duration::from_secs(1), true));
            assert!(age.is_over(now + limits.age + limits.age_jitter, true));
            assert!(!age.is_over(age.due, false) && age.is_over(age.end, false));
            early += u32::from(age.is_over(now + limits.age + limits.age_jitter / 10, true));
            late += u32::from(!age.is_over(now + limits.age + limits.age_jitter * 9 / 10, true));
        }
        assert!((50..200).contains(&early) && (50..200).contains(&late), "{early} {late}");
    }
}
