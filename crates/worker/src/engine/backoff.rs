//! How long to wait before the next attempt: exponential, with full jitter, so that what failed
//! together does not come back together.

use model::{Millis, WaitsFor};

use crate::config::millis;
use crate::{Budget, Limits};

/// Doublings beyond which no delay grows: the shift below stays far from overflow.
const DOUBLINGS_MAX: u32 = 20;

/// Milliseconds before the next attempt after `attempts` of them; `jitter` is in `0.0..1.0`.
pub(super) fn delay(budget: &Budget, attempts: u32, jitter: f64) -> Millis {
    let doublings = attempts.saturating_sub(1).min(DOUBLINGS_MAX);
    let most =
        millis(budget.backoff).saturating_mul(1 << doublings).min(millis(budget.backoff_max));
    (most as f64 * jitter.clamp(0.0, 1.0)) as Millis
}

/// Milliseconds until a step that has waited so long is looked at again: half of that, so that the
/// looks become rare as the wait grows long.
pub(super) fn look(limits: &Limits, on: WaitsFor, waited: Millis) -> Millis {
    let most = match on {
        WaitsFor::Fleet => limits.look_fleet_max,
        WaitsFor::User | WaitsFor::External => limits.look_max,
    };
    (waited / 2).min(millis(most)).max(millis(limits.look))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_delay_doubles_to_its_limit_and_is_drawn_evenly() {
        let budget = Budget::default();
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
            assert_eq!(delay(&budget, attempts, jitter), expected, "{attempts} × {jitter}");
        }
    }

    #[test]
    fn looks_become_rare_and_never_too_rare() {
        for (on, waited, expected) in [
            (WaitsFor::Fleet, 0, 1_000),
            (WaitsFor::Fleet, 4_000, 2_000),
            (WaitsFor::Fleet, 50_000, 5_000),
            (WaitsFor::User, 50_000, 25_000),
            (WaitsFor::External, 86_400_000, 300_000),
        ] {
            assert_eq!(look(&Limits::default(), on, waited), expected, "{on:?} {waited}");
        }
    }
}
