//! How often something may happen.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// So many a second in the long run, and so many at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// In the long run. At least one.
    pub per_second: u32,
    /// At once. At least one.
    pub burst: u32,
}

impl Rate {
    fn each(self) -> Duration {
        Duration::from_secs(1) / self.per_second.max(1)
    }

    fn ahead(self) -> Duration {
        self.each() * self.burst.max(1)
    }
}

/// What was used of a rate: one moment, up to which it is used up.
#[derive(Debug)]
pub(crate) struct Meter {
    rate: Rate,
    used: Instant,
}

impl Meter {
    pub(crate) fn new(rate: Rate, now: Instant) -> Self {
        Self { rate, used: now }
    }

    /// Whether it may happen now; then it counts.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        self.wait(now, Duration::ZERO).is_some()
    }

    /// How long to wait until it may happen, if that is not longer than `patience`; then it counts.
    fn wait(&mut self, now: Instant, patience: Duration) -> Option<Duration> {
        let used = self.used.max(now) + self.rate.each();
        let wait = used.saturating_duration_since(now + self.rate.ahead());
        (wait <= patience).then(|| {
            self.used = used;
            wait
        })
    }
}

/// A queue at a door that lets in so many a second.
#[derive(Debug)]
pub(crate) struct Door(Mutex<Meter>);

impl Door {
    pub(crate) fn new(rate: Rate, now: Instant) -> Self {
        Self(Mutex::new(Meter::new(rate, now)))
    }

    /// How long to wait before going in; `None` if that is longer than `patience`.
    pub(crate) fn queue(&self, now: Instant, patience: Duration) -> Option<Duration> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).wait(now, patience)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { per_second: 10, burst: 3 };

    #[test]
    fn a_burst_passes_and_then_so_many_a_second() {
        let begin = Instant::now();
        let mut meter = Meter::new(RATE, begin);
        let at = |ms| begin + Duration::from_millis(ms);
        let mut taken = |ms, n: usize| (0..n).filter(|_| meter.take(at(ms))).count();
        assert_eq!(taken(0, 10), 3);
        assert_eq!(taken(99, 10), 0);
        assert_eq!(taken(100, 10), 1);
        assert_eq!(taken(350, 10), 2);
        assert_eq!(taken(60_000, 10), 3, "what was not used is not saved up beyond a burst");
    }

    #[test]
    fn who_comes_later_waits_longer_and_not_for_ever() {
        let now = Instant::now();
        let door = Door::new(RATE, now);
        let wait = || door.queue(now, Duration::from_millis(250)).map(|wait| wait.as_millis());
        let waits: Vec<_> = (0..7).map(|_| wait()).collect();
        let expected = [Some(0), Some(0), Some(0), Some(100), Some(200), None, None];
        assert_eq!(waits, expected, "who is turned away takes no turn");
    }
}
