//! What the store counts. No label comes from a tenant.

use std::time::Duration;

use metrics::{
    Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};
use model::{Millis, OperationKind, Share};

use crate::{Refusal, StoreError};

const COMMITS: &str = "margrave_store_commits_total";
const COMMIT_SECONDS: &str = "margrave_store_commit_seconds";
const BATCH: &str = "margrave_store_batch_requests";
const WAITING: &str = "margrave_store_waiting_requests";
const REFUSED: &str = "margrave_store_refused_total";
const CHECKPOINTS: &str = "margrave_store_checkpoints_total";
const GAVE_WAY: &str = "margrave_store_gave_way_total";
const JOBS: &str = "margrave_store_jobs";
const RESERVED: &str = "margrave_store_reserved_names";
const BINDINGS: &str = "margrave_store_bindings";
const BINDING_CHANGES: &str = "margrave_store_binding_changes_total";
const OLDEST: &str = "margrave_store_oldest_job_seconds";

/// Tells the recorder what each metric means. Call it once, after the recorder is installed.
pub fn describe() {
    describe_counter!(
        COMMITS,
        "Commits of the writer, by outcome: synced, unsynced (leases only) or failed."
    );
    describe_histogram!(COMMIT_SECONDS, Unit::Seconds, "From taking a batch to its commit.");
    describe_histogram!(BATCH, "Requests that shared a commit (256 at most).");
    describe_gauge!(WAITING, "Requests waiting for the writer (1,024 at most).");
    describe_counter!(REFUSED, "Writes that were not done, by reason.");
    describe_counter!(CHECKPOINTS, "Checkpoints of the write-ahead log, by outcome.");
    describe_counter!(GAVE_WAY, "Operations in whose place another came, by kind and how.");
    describe_gauge!(
        RESERVED,
        "Hostnames that were given up and are not free yet; read each minute."
    );
    describe_gauge!(BINDINGS, "Bindings that have not expired; read each minute.");
    describe_counter!(BINDING_CHANGES, "Bindings that were created, deleted or expired, by which.");
    describe_gauge!(JOBS, "Jobs, leased or not, when the depth was last asked for.");
    describe_gauge!(
        OLDEST,
        Unit::Seconds,
        "How long the longest-ready job has been so, at the same time."
    );
}

pub(crate) fn committed(done: bool, synced: bool, requests: usize, took: Duration) {
    let outcome = match (done, synced) {
        (true, true) => "synced",
        (true, false) => "unsynced",
        (false, _) => "failed",
    };
    counter!(COMMITS, "outcome" => outcome).increment(1);
    histogram!(BATCH).record(count(requests));
    histogram!(COMMIT_SECONDS).record(took.as_secs_f64());
}

pub(crate) fn waiting(requests: usize) {
    gauge!(WAITING).set(count(requests));
}

pub(crate) fn refused(error: &StoreError) {
    let reason = match error {
        StoreError::Unavailable(_) => "unavailable",
        StoreError::Fenced => "fenced",
        StoreError::TooLarge(_) => "too-large",
        StoreError::Corrupt(_) => "corrupt",
    };
    counter!(REFUSED, "reason" => reason).increment(1);
}

pub(crate) fn not_accepted(refusal: &Refusal) {
    let reason = match refusal {
        Refusal::Changed => "changed",
        Refusal::Busy(_) => "busy",
        Refusal::Taken(_) => "taken",
        Refusal::Reserved(_) => "reserved",
        Refusal::NotGranted(_) => "not-granted",
        Refusal::NoConsent(_) => "no-consent",
        Refusal::TooMany(excess) => match excess.of {
            Share::Instances => "instances",
            Share::Hostnames => "hostnames",
            Share::Routes => "routes",
            Share::Changes => "pace",
            Share::Unproven => "unproven",
        },
    };
    counter!(REFUSED, "reason" => reason).increment(1);
}

/// An operation was ended because another came in its place.
pub(crate) fn gave_way(older: OperationKind, newer: OperationKind) {
    let how = if newer == OperationKind::Deprovision { "cancelled" } else { "superseded" };
    let kind = match older {
        OperationKind::Provision => "provision",
        OperationKind::Update => "update",
        OperationKind::Deprovision => "deprovision",
    };
    counter!(GAVE_WAY, "kind" => kind, "how" => how).increment(1);
}

pub(crate) fn checkpointed(whole: bool) {
    let outcome = if whole { "done" } else { "failed" };
    counter!(CHECKPOINTS, "outcome" => outcome).increment(1);
}

pub(crate) fn depth(jobs: usize, oldest: Millis) {
    gauge!(JOBS).set(count(jobs));
    gauge!(OLDEST).set(Duration::from_millis(oldest.unsigned_abs()).as_secs_f64());
}

pub(crate) fn reserved(names: usize) {
    gauge!(RESERVED).set(count(names));
}

pub(crate) fn bindings(number: usize) {
    gauge!(BINDINGS).set(count(number));
}

/// `change`: `created`, `deleted` or `expired`.
pub(crate) fn binding_changed(change: &'static str) {
    counter!(BINDING_CHANGES, "change" => change).increment(1);
}

/// Counts here are far below the 2^52 that a float holds exactly.
fn count(number: usize) -> f64 {
    u32::try_from(number).map_or(f64::INFINITY, f64::from)
}
