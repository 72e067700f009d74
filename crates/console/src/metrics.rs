//! What the console counts.

use std::time::Duration;

use metrics::{
    Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};

const REQUESTS: &str = "margrave_console_requests_total";
const SECONDS: &str = "margrave_console_request_seconds";
const STREAMS: &str = "margrave_console_streams";

/// Names the metrics for whoever reads them.
pub fn describe() {
    describe_counter!(REQUESTS, "Requests of browsers, by route and status");
    describe_histogram!(SECONDS, Unit::Seconds, "Time to answer a browser, by route");
    describe_gauge!(STREAMS, "Pages that are told of news as it happens");
}

pub(crate) fn answered(route: &str, status: u16, took: Duration) {
    let route = route.to_owned();
    counter!(REQUESTS, "route" => route.clone(), "status" => status.to_string()).increment(1);
    histogram!(SECONDS, "route" => route).record(took.as_secs_f64());
}

/// Counted from when it is made until it is dropped.
pub(crate) struct Stream(());

impl Stream {
    pub(crate) fn new() -> Self {
        gauge!(STREAMS).increment(1.0);
        Self(())
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        gauge!(STREAMS).decrement(1.0);
    }
}
