//! Upstreams. Their names are those that routes have chosen.

use super::rng::Rng;
use super::text;
use crate::descriptor::{Address, HealthCheck, Upstream};

/// An upstream as a URL can say it: one address, no health check.
pub(super) fn single(rng: &mut Rng) -> Upstream {
    Upstream { addresses: vec![address(rng, 0)], tls: rng.chance(25), health_check: None }
}

/// Any upstream.
pub(super) fn any(rng: &mut Rng) -> Upstream {
    let count = rng.pick(&[1, 1, 2, 3, 16]);
    Upstream {
        addresses: (0..count).map(|index| address(rng, index)).collect(),
        tls: rng.chance(25),
        health_check: rng.maybe(40, health_check),
    }
}

/// No two of one upstream are the same: their ports differ.
fn address(rng: &mut Rng, index: u16) -> Address {
    let host =
        rng.pick(&["localhost", "127.0.0.1", "::1", "web.internal", "my_service", "10.1.2.3"]);
    let port = if index == 0 { rng.pick(&[80, 443, 3000, 65535, 1]) } else { 10_000 + index };
    Address { host: host.to_owned(), port }
}

fn health_check(rng: &mut Rng) -> HealthCheck {
    HealthCheck {
        path: text::path(rng, "healthz"),
        interval: text::duration(rng, 1_000, 600_000),
        timeout: text::duration(rng, 100, 60_000),
    }
}
