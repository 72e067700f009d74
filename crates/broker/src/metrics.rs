//! What the broker counts.

use std::time::Duration;

use axum::http::Method;
use metrics::{Unit, counter, describe_counter, describe_histogram, histogram};

const REQUESTS: &str = "margrave_broker_requests_total";
const SECONDS: &str = "margrave_broker_request_seconds";
const DENIED: &str = "margrave_broker_denied_total";
const BINDS_REFUSED: &str = "margrave_broker_binds_refused_total";
const REFUSALS: &str = "margrave_broker_refusals_total";

/// Names the metrics for whoever reads them.
pub fn describe() {
    describe_counter!(REQUESTS, "Requests by route, method and status");
    describe_histogram!(SECONDS, Unit::Seconds, "Time to answer, by route and method");
    describe_counter!(DENIED, "Requests whose credentials opened nothing, by reason");
    describe_counter!(BINDS_REFUSED, "Binds that were refused as things stood, by reason");
    describe_counter!(REFUSALS, "Refused changes, by the code of the refusal");
}

pub(crate) fn answered(route: &str, method: &'static str, status: u16, took: Duration) {
    let route = route.to_owned();
    counter!(REQUESTS, "route" => route.clone(), "method" => method, "status" => status.to_string())
        .increment(1);
    histogram!(SECONDS, "route" => route, "method" => method).record(took.as_secs_f64());
}

pub(crate) fn denied(reason: &'static str) {
    counter!(DENIED, "reason" => reason).increment(1);
}

pub(crate) fn bind_refused(reason: &'static str) {
    counter!(BINDS_REFUSED, "reason" => reason).increment(1);
}

pub(crate) fn refused(code: &str) {
    counter!(REFUSALS, "code" => code.to_owned()).increment(1);
}

/// A method as a label: a client may invent others without end.
pub(crate) fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::PUT => "PUT",
        Method::POST => "POST",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}
