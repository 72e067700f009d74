//! How long to wait before the next attempt: exponential, with full jitter, so that what failed
//! together does not come back together.

use model::Millis;

use crate::Limits;
use crate::config::millis;

/// Doublings beyond which no delay grows: the shift below stays far from overflow.
const DOUBLINGS_MAX: u32 = 20;

/// Milliseconds before the next attempt after `attempts` of them; `jitter` is in `0.0..1.0`.
pub(super) fn delay(limits: &Limits, attempts: u32, jitter: f64) -> Millis {
    let doublings = attempts.saturating_sub(1).min(DOUBLINGS_MAX);
    let most =
        millis(limits.backoff).saturating_mul(1 << doublings).min(millis(limits.backoff_max));
    (most as f64 * jitter.clamp(0.0, 1.0)) as Millis
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_delay_doubles_to_its_limit_and_is_drawn_evenly() {
        let limits = Limits::default();
        for (attempts, jitter, expected) in [
            (1, 1.0, 200),
            (1, 0.5, 100),
            (2, 1.0, 400),
            (3, 0.25, 200),
            (9, 1.0, 51_200),
            (10, 1.0, 60_000),
            (u32::MAX, 1.0, 60_000),
            (5, 0.0, 0),
        ] {
            assert_eq!(delay(&limits, attempts, jitter), expected, "{attempts} × {jitter}");
        }
    }
}
