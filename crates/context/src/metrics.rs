//! What operators can see of this crate.

use std::time::Duration;

use metrics::{counter, describe_counter, describe_gauge, gauge};

/// Registers names and help texts.
pub fn describe() {
    describe_gauge!("margrave_context_names", "Upstream names in use");
    describe_gauge!("margrave_context_names_failing", "Upstream names whose last lookup failed");
    describe_counter!("margrave_context_lookups_total", "Lookups of upstream names, by result");
    describe_counter!(
        "margrave_context_addresses_refused_total",
        "Upstream addresses that the address policy refused"
    );
    describe_gauge!("margrave_context_sources_failing", "Sources whose last reading failed");
    describe_gauge!(
        "margrave_context_source_staleness_seconds",
        "Since the longest-failing source was last read well"
    );
}

pub(crate) fn names(all: usize, failing: usize) {
    gauge!("margrave_context_names").set(all as f64);
    gauge!("margrave_context_names_failing").set(failing as f64);
}

pub(crate) fn lookup(well: bool) {
    let result = if well { "answered" } else { "failed" };
    counter!("margrave_context_lookups_total", "result" => result).increment(1);
}

pub(crate) fn refused() {
    counter!("margrave_context_addresses_refused_total").increment(1);
}

pub(crate) fn sources(failing: usize, staleness: Duration) {
    gauge!("margrave_context_sources_failing").set(failing as f64);
    gauge!("margrave_context_source_staleness_seconds").set(staleness.as_secs_f64());
}
