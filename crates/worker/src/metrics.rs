//! What the worker counts. No label holds what a tenant wrote.

use model::{Millis, OperationKind, OperationState, WaitsFor};

const OPERATIONS: &str = "margrave_worker_operations_total";
const OPERATION_SECONDS: &str = "margrave_worker_operation_seconds";
const STEP_SECONDS: &str = "margrave_worker_step_seconds";
const RETRIES: &str = "margrave_worker_retries_total";
const WAITS: &str = "margrave_worker_waits_total";
const WATCHED: &str = "margrave_worker_watched";
const COMMITS: &str = "margrave_worker_commits_total";
const PANICS: &str = "margrave_worker_panics_total";
const LEASES_LOST: &str = "margrave_worker_leases_lost_total";
const SWEPT: &str = "margrave_worker_swept_total";
const STORE_FAILURES: &str = "margrave_worker_store_failures_total";
const RUNNING: &str = "margrave_worker_running";
const QUEUE_DEPTH: &str = "margrave_worker_queue_depth";
const QUEUE_AGE: &str = "margrave_worker_queue_age_seconds";

/// Describes every metric of this crate to the installed recorder.
pub fn describe() {
    use ::metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
    describe_counter!(OPERATIONS, "Operations that ended, by kind and end");
    describe_histogram!(OPERATION_SECONDS, Unit::Seconds, "From acceptance to end, by kind");
    describe_histogram!(STEP_SECONDS, Unit::Seconds, "One attempt of a step, by step");
    describe_counter!(RETRIES, "Steps that failed and will be tried again, by step");
    describe_counter!(WAITS, "Looks at a step that waits and must go on waiting, by what for");
    describe_gauge!(WATCHED, "Operations that are told when the proxies have followed");
    describe_counter!(COMMITS, "Operations written to the store");
    describe_counter!(PANICS, "Steps that panicked: a defect, its cause is in the log");
    describe_counter!(LEASES_LOST, "Operations dropped because their lease ended, by reason");
    describe_counter!(SWEPT, "Operations found in progress without a job");
    describe_counter!(STORE_FAILURES, "Calls that the store refused or could not answer");
    describe_gauge!(RUNNING, "Operations being carried out now");
    describe_gauge!(QUEUE_DEPTH, "Jobs in the queue, leased or not");
    describe_gauge!(QUEUE_AGE, Unit::Seconds, "How long the longest-ready job has been ready");
}

pub(crate) fn ended(kind: OperationKind, state: OperationState, took: Millis) {
    let end = if state == OperationState::Succeeded { "succeeded" } else { "failed" };
    ::metrics::counter!(OPERATIONS, "kind" => name(kind), "end" => end).increment(1);
    ::metrics::histogram!(OPERATION_SECONDS, "kind" => name(kind)).record(seconds(took));
}

pub(crate) fn step(step: &'static str, took: Millis) {
    ::metrics::histogram!(STEP_SECONDS, "step" => step).record(seconds(took));
}

pub(crate) fn retry(step: &'static str) {
    ::metrics::counter!(RETRIES, "step" => step).increment(1);
}

pub(crate) fn waits(on: WaitsFor) {
    let on = match on {
        WaitsFor::User => "user",
        WaitsFor::External => "external",
        WaitsFor::Fleet => "fleet",
    };
    ::metrics::counter!(WAITS, "on" => on).increment(1);
}

pub(crate) fn watched(count: usize) {
    ::metrics::gauge!(WATCHED).set(count as f64);
}

pub(crate) fn commit() {
    ::metrics::counter!(COMMITS).increment(1);
}

pub(crate) fn panic() {
    ::metrics::counter!(PANICS).increment(1);
}

pub(crate) fn lease_lost(reason: &'static str) {
    ::metrics::counter!(LEASES_LOST, "reason" => reason).increment(1);
}

pub(crate) fn swept(count: usize) {
    ::metrics::counter!(SWEPT).increment(count as u64);
}

pub(crate) fn store_failed() {
    ::metrics::counter!(STORE_FAILURES).increment(1);
}

pub(crate) fn running(count: usize) {
    ::metrics::gauge!(RUNNING).set(count as f64);
}

pub(crate) fn queue(depth: usize, age: Millis) {
    ::metrics::gauge!(QUEUE_DEPTH).set(depth as f64);
    ::metrics::gauge!(QUEUE_AGE).set(seconds(age));
}

/// The kind as it is written everywhere else.
pub(crate) fn name(kind: OperationKind) -> &'static str {
    match kind {
        OperationKind::Provision => "provision",
        OperationKind::Update => "update",
        OperationKind::Deprovision => "deprovision",
    }
}

fn seconds(millis: Millis) -> f64 {
    millis as f64 / 1000.0
}
