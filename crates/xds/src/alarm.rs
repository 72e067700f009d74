//! A timer that is set again and again, and hardly ever rings.

use std::pin::Pin;

use tokio::time::{Instant, Sleep};

/// From now on it rings at this moment at the latest.
///
/// To set a timer is to write to lists that all tasks share. So one that is set to an earlier moment stays
/// as it is, and rings too early, once.
pub(crate) fn rings_by(alarm: Pin<&mut Sleep>, at: Instant) {
    if alarm.is_elapsed() || at < alarm.deadline() {
        alarm.reset(at);
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::time::Duration;

    use tokio::time::sleep;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_rings_by_the_earliest_moment_and_then_by_the_next() {
        let begun = Instant::now();
        let after = |seconds| begun + Duration::from_secs(seconds);
        let mut alarm = pin!(sleep(Duration::from_secs(10)));
        rings_by(alarm.as_mut(), after(20));
        alarm.as_mut().await;
        assert_eq!(Instant::now(), after(10), "too early, and it is set");
        rings_by(alarm.as_mut(), after(20));
        rings_by(alarm.as_mut(), after(15));
        alarm.as_mut().await;
        assert_eq!(Instant::now(), after(15));
        rings_by(alarm.as_mut(), after(20));
        alarm.as_mut().await;
        assert_eq!(Instant::now(), after(20));
    }
}
