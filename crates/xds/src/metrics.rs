//! What is measured here, and what it means.

use metrics::{
    Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};

use crate::kind::Kind;

/// Registers what each metric of this crate means.
pub fn describe() {
    describe_gauge!("margrave_xds_streams", "Discovery streams open now.");
    describe_counter!("margrave_xds_streams_refused_total", "Streams turned away, by reason.");
    describe_counter!(
        "margrave_xds_handshakes_refused_total",
        "Connections that were not let in, by reason: tls, timeout, identity."
    );
    describe_counter!(
        "margrave_xds_secrets_withheld_total",
        "Requests for secrets on streams without an identity, answered with nothing."
    );
    describe_counter!(
        "margrave_xds_streams_ended_total",
        "Streams that the server ended, by reason: age, or the limit that the client has passed."
    );
    describe_counter!(
        "margrave_xds_streams_queued_total",
        "New streams that waited for their turn."
    );
    describe_gauge!(
        "margrave_xds_turns_waiting",
        "Large messages of clients that wait for their turn to be received."
    );
    describe_counter!(
        "margrave_xds_names_forgotten_total",
        "Names of nothing that were answered and not remembered, by type."
    );
    describe_counter!("margrave_xds_responses_total", "Discovery responses sent, by type.");
    describe_counter!(
        "margrave_xds_response_bytes_total",
        Unit::Bytes,
        "Bytes of resources sent, by type."
    );
    describe_histogram!(
        "margrave_xds_message_bytes",
        Unit::Bytes,
        "Size of each message received."
    );
    describe_counter!("margrave_xds_acks_total", "Responses acknowledged, by type.");
    describe_counter!("margrave_xds_nacks_total", "Responses refused, by type.");
    describe_counter!(
        "margrave_xds_polls_total",
        "Polls (REST), by the status of their answer: 304 where nothing had changed."
    );
    describe_counter!(
        "margrave_xds_wait_timeouts_total",
        "Steps of a change that went on although the client had not acknowledged the one before."
    );
}

pub(crate) fn stream_opened() {
    gauge!("margrave_xds_streams").increment(1);
}

pub(crate) fn stream_closed() {
    gauge!("margrave_xds_streams").decrement(1);
}

pub(crate) fn stream_refused(reason: &'static str) {
    counter!("margrave_xds_streams_refused_total", "reason" => reason).increment(1);
}

pub(crate) fn handshake_refused(reason: &'static str) {
    counter!("margrave_xds_handshakes_refused_total", "reason" => reason).increment(1);
}

pub(crate) fn secrets_withheld() {
    counter!("margrave_xds_secrets_withheld_total").increment(1);
}

pub(crate) fn stream_ended(reason: &'static str) {
    counter!("margrave_xds_streams_ended_total", "reason" => reason).increment(1);
}

pub(crate) fn stream_queued() {
    counter!("margrave_xds_streams_queued_total").increment(1);
}

pub(crate) fn turns_waiting(more: f64) {
    gauge!("margrave_xds_turns_waiting").increment(more);
}

pub(crate) fn forgotten(type_url: &str, names: usize) {
    if names == 0 {
        return;
    }
    let kind = label(type_url);
    counter!("margrave_xds_names_forgotten_total", "type" => kind).increment(names as u64);
}

pub(crate) fn received(bytes: usize) {
    histogram!("margrave_xds_message_bytes").record(bytes as f64);
}

pub(crate) fn responded(type_url: &str, bytes: usize) {
    let kind = label(type_url);
    counter!("margrave_xds_responses_total", "type" => kind).increment(1);
    counter!("margrave_xds_response_bytes_total", "type" => kind).increment(bytes as u64);
}

pub(crate) fn acknowledged(type_url: &str) {
    counter!("margrave_xds_acks_total", "type" => label(type_url)).increment(1);
}

pub(crate) fn refused(type_url: &str) {
    counter!("margrave_xds_nacks_total", "type" => label(type_url)).increment(1);
}

pub(crate) fn polled(status: u16) {
    let status = match status {
        200 => "200",
        304 => "304",
        400..500 => "4xx",
        _ => "5xx",
    };
    counter!("margrave_xds_polls_total", "status" => status).increment(1);
}

pub(crate) fn wait_timed_out() {
    counter!("margrave_xds_wait_timeouts_total").increment(1);
}

/// A label of ours, never the client's own text.
fn label(type_url: &str) -> &'static str {
    match Kind::of(type_url) {
        Kind::Cluster => "cluster",
        Kind::Endpoint => "endpoint",
        Kind::Listener => "listener",
        Kind::Route => "route",
        Kind::Scope => "scope",
        Kind::Named => "named",
        Kind::Other => "other",
    }
}
