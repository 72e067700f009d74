//! What operators can see of this crate.

use metrics::{counter, describe_counter, describe_gauge, gauge};
use model::Millis;

/// Registers names and help texts.
pub fn describe() {
    describe_counter!(
        "margrave_login_judged_total",
        "What issuers have signed and was judged, by result: accepted, unavailable, or why it was refused"
    );
    describe_counter!(
        "margrave_login_key_fetches_total",
        "How often the issuer was asked for its keys, by result"
    );
    describe_gauge!(
        "margrave_login_keys_fetched_timestamp_seconds",
        "When the keys in use were fetched, in seconds since the Unix epoch; 0: never"
    );
}

pub(crate) fn judged(result: &'static str) {
    counter!("margrave_login_judged_total", "result" => result).increment(1);
}

pub(crate) fn fetched(well: bool) {
    let result = if well { "answered" } else { "failed" };
    counter!("margrave_login_key_fetches_total", "result" => result).increment(1);
}

pub(crate) fn keys_at(at: Millis) {
    gauge!("margrave_login_keys_fetched_timestamp_seconds").set(at as f64 / 1000.0);
}
