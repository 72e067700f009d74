//! Failed attempts of an address: so many at once, then one in a while.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};

use model::Millis;

/// Failures at once: a script that has the wrong secret is told so, and not punished at once.
const AT_ONCE_MAX: Millis = 20;
/// One more is forgiven each so often.
const FORGIVEN_MILLIS: Millis = 3_000;
/// No address waits longer than for all of them: also not one whose attempts came all at once, nor one
/// that failed before the clock went back.
const AHEAD_MAX: Millis = AT_ONCE_MAX * FORGIVEN_MILLIS;
/// Addresses that are remembered: some 200 KiB. Beyond them the one that is nearest to be forgiven
/// is forgotten.
const ADDRESSES_MAX: usize = 4_096;

/// When all failures of an address will have been forgiven.
#[derive(Default)]
pub(crate) struct Attempts(Mutex<HashMap<IpAddr, Millis>>);

impl Attempts {
    /// Seconds that an address must wait before it may try again; `None`: it may now.
    pub(crate) fn must_wait_s(&self, from: IpAddr, now: Millis) -> Option<u64> {
        let forgiven = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let all = standing(*forgiven.get(&network(from))?, now);
        let wait = all - now - (AT_ONCE_MAX - 1) * FORGIVEN_MILLIS;
        (wait > 0).then(|| wait.unsigned_abs().div_ceil(1_000))
    }

    /// An attempt has failed.
    pub(crate) fn failed(&self, from: IpAddr, now: Millis) {
        let mut forgiven = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let from = network(from);
        if forgiven.len() >= ADDRESSES_MAX && !forgiven.contains_key(&from) {
            make_room(&mut forgiven, now);
        }
        let all = forgiven.entry(from).or_insert(now);
        *all = (standing(*all, now) + FORGIVEN_MILLIS).min(now + AHEAD_MAX);
    }
}

/// When all will have been forgiven, as it stands now. Further ahead than that may be was noted by a clock
/// that has gone back since.
fn standing(all: Millis, now: Millis) -> Millis {
    if all > now + AHEAD_MAX { now } else { all.max(now) }
}

fn make_room(forgiven: &mut HashMap<IpAddr, Millis>, now: Millis) {
    forgiven.retain(|_, all| *all > now);
    if forgiven.len() < ADDRESSES_MAX {
        return;
    }
    if let Some(least) = forgiven.iter().min_by_key(|(_, all)| **all).map(|(from, _)| *from) {
        forgiven.remove(&least);
    }
}

/// Whoever has an IPv6 address has 2^64 of them.
fn network(from: IpAddr) -> IpAddr {
    match from.to_canonical() {
        IpAddr::V6(address) => {
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)))
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v4(number: u32) -> IpAddr {
        IpAddr::V4(std::net::Ipv4Addr::from_bits(number))
    }

    #[test]
    fn a_clock_that_goes_back_locks_nobody_out() {
        let (attempts, day) = (Attempts::default(), 86_400_000);
        attempts.failed(v4(1), day);
        assert_eq!(attempts.must_wait_s(v4(1), 0), None, "one that failed once");
        for _ in 0..2 * AT_ONCE_MAX {
            attempts.failed(v4(1), day);
        }
        assert_eq!(attempts.must_wait_s(v4(1), day), Some(3), "not for each that came at once");
        assert_eq!(attempts.must_wait_s(v4(1), 0), None);
        attempts.failed(v4(1), 0);
        assert_eq!(attempts.must_wait_s(v4(1), 0), None, "it has all its attempts again");
    }

    #[test]
    fn so_many_fail_at_once_and_then_one_in_a_while() {
        let attempts = Attempts::default();
        for _ in 0..AT_ONCE_MAX {
            assert_eq!(attempts.must_wait_s(v4(1), 0), None);
            attempts.failed(v4(1), 0);
        }
        assert_eq!(attempts.must_wait_s(v4(1), 0), Some(3));
        assert_eq!(attempts.must_wait_s(v4(1), 2_999), Some(1));
        assert_eq!(attempts.must_wait_s(v4(2), 0), None, "another");
        assert_eq!(attempts.must_wait_s(v4(1), 3_000), None);
        attempts.failed(v4(1), 3_000);
        assert_eq!(attempts.must_wait_s(v4(1), 3_000), Some(3));
        assert_eq!(attempts.must_wait_s(v4(1), 1_000_000), None);
    }

    #[test]
    fn an_ipv6_network_is_one_address() {
        let attempts = Attempts::default();
        let at = |text: &str| text.parse::<IpAddr>().unwrap();
        for host in 0..AT_ONCE_MAX {
            attempts.failed(at(&format!("2001:db8::{host:x}")), 0);
        }
        assert_eq!(attempts.must_wait_s(at("2001:db8::ffff"), 0), Some(3));
        assert_eq!(attempts.must_wait_s(at("2001:db8:0:1::1"), 0), None);
        for _ in 0..AT_ONCE_MAX {
            attempts.failed(at("::ffff:10.0.0.1"), 0);
        }
        assert_eq!(attempts.must_wait_s(at("10.0.0.1"), 0), Some(3), "the same, mapped");
        assert_eq!(attempts.must_wait_s(at("10.0.0.2"), 0), None);
    }

    #[test]
    fn memory_is_bounded_and_keeps_the_worst() {
        let attempts = Attempts::default();
        for _ in 0..=AT_ONCE_MAX {
            attempts.failed(v4(0), 0);
        }
        for number in 1..u32::try_from(ADDRESSES_MAX).unwrap() * 2 {
            attempts.failed(v4(number), 0);
        }
        assert_eq!(attempts.0.lock().unwrap().len(), ADDRESSES_MAX);
        assert!(attempts.must_wait_s(v4(0), 0).is_some());
    }
}
