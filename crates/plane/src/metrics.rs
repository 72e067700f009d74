//! What operators can see of the control plane.

use std::time::Duration;

use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use model::Rollout;

use crate::view::FleetView;

/// Registers names and help texts.
pub fn describe() {
    crate::gate::metrics::describe();
    describe_counter!("margrave_plane_renders_total", "Instances rendered, by result");
    describe_counter!(
        "margrave_plane_applied_total",
        "Rendered instances, by whether they changed"
    );
    describe_counter!("margrave_plane_refused_total", "Resources that a proxy refused");
    describe_histogram!(
        "margrave_plane_apply_seconds",
        "From news of the change feed to the resources being on their way"
    );
    describe_gauge!("margrave_plane_quarantined", "Instances not served at their latest revision");
    describe_gauge!("margrave_plane_instances", "Published instances");
    describe_gauge!("margrave_plane_resources", "Resources of all groups");
    describe_gauge!("margrave_plane_in_flight", "Changes that not every ready proxy has");
    describe_gauge!("margrave_plane_proxies", "Connected proxies, by state");
    describe_gauge!("margrave_plane_position", "Revision up to which the change feed is taken in");
    describe_counter!("margrave_plane_trials_total", "Changes tried by canaries, by outcome");
    describe_histogram!(
        "margrave_plane_trial_seconds",
        "From a change being given to canaries to its going on or back"
    );
    describe_gauge!("margrave_plane_on_trial", "Changes that canaries have and others have not");
    describe_gauge!("margrave_plane_canaries", "Connected proxies that are canaries");
    describe_counter!("margrave_plane_feed_errors_total", "Failed readings of the change feed");
    describe_gauge!(
        "margrave_plane_feed_lag_seconds",
        "How long the last reading of the feed took"
    );
    describe_gauge!(
        "margrave_plane_removals_held",
        "Instances that the store knows no more, and that are served all the same"
    );
    describe_gauge!(
        "margrave_rollout_stage",
        "Stage of the roll-out that is under way, from 1; 0: none is"
    );
    describe_gauge!("margrave_rollout_paused", "Whether the roll-out that is under way is paused");
    describe_counter!("margrave_rollout_halts_total", "Roll-outs that a gate halted and reverted");
    describe_gauge!(
        "margrave_templates_refused",
        "Whether the templates of the configuration cannot be used, and others are"
    );
    describe_counter!(
        "margrave_plane_last_good_ignored_total",
        "Parts of the last good configuration that were damaged or not ours, and left out"
    );
    describe_counter!(
        "margrave_plane_last_good_failures_total",
        "Attempts to keep the last good configuration that failed"
    );
    describe_gauge!("margrave_plane_last_good_bytes", "Size of the last good configuration");
    describe_gauge!(
        "margrave_plane_store_behind",
        "Whether the store is behind what was served before, which is served until it has come as far"
    );
    describe_gauge!(
        "margrave_plane_listeners_refused",
        "Groups whose listeners are not made or are refused: they keep those that they have, and are not opened without any"
    );
    describe_gauge!(
        "margrave_plane_ahead",
        "Instances and hostnames that proxies have in a version that is ahead of the store"
    );
}

/// So many groups have not the listeners that they should.
pub(crate) fn unmade(groups: usize) {
    gauge!("margrave_plane_listeners_refused").set(groups as f64);
}

pub(crate) fn rendered(well: bool) {
    let result = if well { "rendered" } else { "refused" };
    counter!("margrave_plane_renders_total", "result" => result).increment(1);
}

pub(crate) fn applied(changed: bool) {
    let changed = if changed { "changed" } else { "unchanged" };
    counter!("margrave_plane_applied_total", "result" => changed).increment(1);
}

/// The roll-out that is under way, if any.
pub(crate) fn rolling(rollout: Option<&Rollout>) {
    let stage = rollout.map_or(0, |rollout| rollout.stage + 1);
    gauge!("margrave_rollout_stage").set(stage as f64);
    let is_paused = rollout.is_some_and(|rollout| rollout.is_paused);
    gauge!("margrave_rollout_paused").set(f64::from(u8::from(is_paused)));
}

pub(crate) fn halted() {
    counter!("margrave_rollout_halts_total").increment(1);
}

pub(crate) fn templates_refused(is_refused: bool) {
    gauge!("margrave_templates_refused").set(f64::from(u8::from(is_refused)));
}

pub(crate) fn refused() {
    counter!("margrave_plane_refused_total").increment(1);
}

pub(crate) fn latency(since: Duration) {
    histogram!("margrave_plane_apply_seconds").record(since.as_secs_f64());
}

pub(crate) fn trial(outcome: &'static str, time: Duration) {
    counter!("margrave_plane_trials_total", "outcome" => outcome).increment(1);
    histogram!("margrave_plane_trial_seconds").record(time.as_secs_f64());
}

pub(crate) fn feed_error() {
    counter!("margrave_plane_feed_errors_total").increment(1);
}

pub(crate) fn feed_lag(lag: Duration) {
    gauge!("margrave_plane_feed_lag_seconds").set(lag.as_secs_f64());
}

pub(crate) fn removals_held(count: usize) {
    gauge!("margrave_plane_removals_held").set(count as f64);
}

pub(crate) fn fleet(view: &FleetView) {
    gauge!("margrave_plane_position").set(view.revision as f64);
    gauge!("margrave_plane_instances").set(view.instances as f64);
    gauge!("margrave_plane_quarantined").set(view.quarantined as f64);
    gauge!("margrave_plane_resources").set(view.resources as f64);
    gauge!("margrave_plane_in_flight").set(view.in_flight as f64);
    gauge!("margrave_plane_on_trial").set(view.on_trial as f64);
    let canaries = view.proxies.iter().filter(|proxy| proxy.canary).count();
    gauge!("margrave_plane_canaries").set(canaries as f64);
    gauge!("margrave_plane_ahead").set(view.ahead.len() as f64);
    for (state, count) in view.counts() {
        gauge!("margrave_plane_proxies", "state" => state).set(count as f64);
    }
}

/// So much of what was good last could not be used.
pub fn good_ignored(rows: usize) {
    counter!("margrave_plane_last_good_ignored_total").increment(rows as u64);
}

/// What is good could not be kept.
pub(crate) fn good_failed() {
    counter!("margrave_plane_last_good_failures_total").increment(1);
}

/// How large the file of what is good is.
pub(crate) fn good_bytes(bytes: u64) {
    gauge!("margrave_plane_last_good_bytes").set(bytes as f64);
}

/// Whether the store is behind what was served before.
pub(crate) fn store_behind(is_behind: bool) {
    gauge!("margrave_plane_store_behind").set(f64::from(u8::from(is_behind)));
}
