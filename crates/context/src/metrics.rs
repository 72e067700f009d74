//! What operators can see of this crate.

use std::collections::BTreeMap;
use std::time::Duration;

use metrics::{counter, describe_counter, describe_gauge, gauge};
use model::Millis;

use crate::status::SourceStatus;

/// Registers names and help texts.
pub fn describe() {
    describe_gauge!("margrave_context_names", "Upstream names in use");
    describe_gauge!("margrave_context_names_failing", "Upstream names whose last lookup failed");
    describe_counter!("margrave_context_lookups_total", "Lookups of upstream names, by result");
    describe_counter!(
        "margrave_context_addresses_refused_total",
        "Upstream addresses that the address policy refused"
    );
    describe_gauge!("margrave_context_sources", "Sources of documents");
    describe_gauge!("margrave_context_sources_failing", "Sources whose last reading failed");
    describe_gauge!(
        "margrave_context_source_staleness_seconds",
        "Since a source was last known to have what is served, by source"
    );
    describe_counter!(
        "margrave_context_source_polls_total",
        "Readings of sources, by source and result: `changed`, `same`, `failed`"
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

/// Names of sources are the operator's own, and few.
pub(crate) fn sources(statuses: &BTreeMap<String, SourceStatus>, now: Millis) {
    let failing = statuses.values().filter(|status| status.failing_since.is_some()).count();
    gauge!("margrave_context_sources").set(statuses.len() as f64);
    gauge!("margrave_context_sources_failing").set(failing as f64);
    for (name, status) in statuses {
        // Of what was never read there is nothing to be stale; it is failing.
        let Some(staleness) = status.staleness_ms(now) else { continue };
        let gauge = gauge!("margrave_context_source_staleness_seconds", "source" => name.clone());
        gauge.set(Duration::from_millis(staleness).as_secs_f64());
    }
}

pub(crate) fn polled(source: &str, result: &'static str) {
    let source = source.to_owned();
    counter!("margrave_context_source_polls_total", "source" => source, "result" => result)
        .increment(1);
}
