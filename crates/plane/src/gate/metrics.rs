//! What operators can see of the gate.

use std::time::Duration;

use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

pub(crate) fn describe() {
    describe_counter!(
        "margrave_gate_verdicts_total",
        "Instances and groups that Envoy itself was asked about, by its answer"
    );
    describe_counter!("margrave_gate_questions_total", "Times that Envoy itself was asked");
    describe_counter!(
        "margrave_gate_skipped_total",
        "Instances and groups that went on without an answer of Envoy"
    );
    describe_histogram!("margrave_gate_question_seconds", "How long Envoy took to answer");
    describe_gauge!("margrave_gate_waiting", "Instances and groups that wait for Envoy's answer");
    describe_gauge!("margrave_gate_shapes", "Pieces of shapes that Envoy is known to accept");
}

pub(crate) fn verdict(result: &'static str) {
    counter!("margrave_gate_verdicts_total", "result" => result).increment(1);
}

pub(crate) fn asked(took: Duration) {
    counter!("margrave_gate_questions_total").increment(1);
    histogram!("margrave_gate_question_seconds").record(took.as_secs_f64());
}

pub(crate) fn skipped() {
    counter!("margrave_gate_skipped_total").increment(1);
}

pub(crate) fn waiting(count: usize) {
    gauge!("margrave_gate_waiting").set(count as f64);
}

pub(crate) fn shapes(count: usize) {
    gauge!("margrave_gate_shapes").set(count as f64);
}
