//! What is counted of proofs.

use store::Look;

const AWAITED: &str = "margrave_proofs_awaited";
const LOOKS: &str = "margrave_proof_looks_total";
const LOOKUPS_FAILED: &str = "margrave_proof_lookups_failed_total";

/// Describes every metric of this module.
pub fn describe() {
    use ::metrics::{describe_counter, describe_gauge};
    describe_gauge!(AWAITED, "Public hostnames whose proof is awaited");
    describe_counter!(LOOKS, "Looks for the proof of a hostname, by end: proven or missing");
    describe_counter!(LOOKUPS_FAILED, "Look-ups of TXT records that no name server has answered");
}

pub(super) fn awaited(count: u64) {
    #[expect(clippy::cast_precision_loss, reason = "a gauge; there are fewer than 2^52")]
    ::metrics::gauge!(AWAITED).set(count as f64);
}

pub(super) fn looked(look: &Look) {
    let end = match look {
        Look::Proven(_) => "proven",
        Look::Missing { .. } => "missing",
    };
    ::metrics::counter!(LOOKS, "end" => end).increment(1);
}

pub(super) fn lookup_failed() {
    ::metrics::counter!(LOOKUPS_FAILED).increment(1);
}
