//! Requests that nobody thought of, as text: a conversation of a few requests, whatever it holds, is
//! answered, and never by a fault of ours. `fuzz/` leads it by coverage; here it is mutated blindly.
//!
//! Requests are separated by a line `----`: a line `METHOD PATH?QUERY`, lines of headers, an empty line,
//! a body. A line `WORK` or `FAIL` lets the waiting operation succeed or fail.

use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, Method, Uri};
use model::{OperationKind, OperationState};
use store::{Queue, Save, Store, Write};

use crate::harness::{CREDENTIALS, Harness};

/// Requests of one conversation that are sent; what follows is not.
const REQUESTS_MAX: usize = 8;
/// Added where a request does not have them, so that what follows them is reached.
const USUAL: [(&str, &str); 3] = [
    ("authorization", CREDENTIALS),
    ("x-broker-api-version", "2.17"),
    ("content-type", "application/json"),
];

/// Holds a conversation with a broker that has just been made, or that has had others before.
pub(crate) async fn converse(harness: &Harness, text: &[u8]) {
    for part in split(text).take(REQUESTS_MAX) {
        match part {
            b"WORK" => work(harness, true).await,
            b"FAIL" => work(harness, false).await,
            part => ask(harness, part).await,
        }
    }
}

fn split(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    const LINE: &[u8] = b"\n----\n";
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let at = text.windows(LINE.len()).position(|it| it == LINE);
        rest = at.map(|at| &text[at + LINE.len()..]);
        let part = at.map_or(text, |at| &text[..at]);
        Some(part.strip_suffix(b"\n").filter(|it| matches!(*it, b"WORK" | b"FAIL")).unwrap_or(part))
    })
}

/// Sends a request, if HTTP can carry it.
async fn ask(harness: &Harness, text: &[u8]) {
    let (head, body) = match text.windows(2).position(|it| it == b"\n\n") {
        Some(at) => (&text[..at], &text[at + 2..]),
        None => (text, &b""[..]),
    };
    let Ok(head) = std::str::from_utf8(head) else { return };
    let mut lines = head.lines();
    let Some((method, path)) = lines.next().and_then(|line| line.split_once(' ')) else { return };
    let is_sendable = method.parse::<Method>().is_ok() && path.parse::<Uri>().is_ok();
    if !is_sendable || !path.starts_with('/') {
        return;
    }
    let mut headers: Vec<(&str, &str)> =
        lines.filter_map(|line| line.split_once(": ")).filter(|it| is_header(*it)).collect();
    for (name, value) in USUAL {
        if !headers.iter().any(|(given, _)| given.eq_ignore_ascii_case(name)) {
            headers.push((name, value));
        }
    }
    let answer = harness.send(method, path, &headers, body.to_vec()).await;
    let told = || format!("{answer:?} to {}", String::from_utf8_lossy(text));
    assert!(answer.status < 500, "{}", told());
    if answer.status >= 400 && method != "HEAD" {
        let is_gone = answer.status == 410 && answer.body == serde_json::json!({});
        assert!(is_gone || answer.body["description"].is_string(), "no words: {}", told());
    }
    assert!(!answer.body.to_string().contains("dXNlcjpzZWNyZXQ"), "a secret: {}", told());
}

/// Whether a header can be sent. The harness sends the one that it expects an echo of.
fn is_header((name, value): (&str, &str)) -> bool {
    let is_its_own = name.eq_ignore_ascii_case("x-broker-api-request-identity");
    let is_sound = name.parse::<HeaderName>().is_ok() && value.parse::<HeaderValue>().is_ok();
    is_sound && !is_its_own
}

/// What a worker would do with the operation that waits, if one does.
async fn work(harness: &Harness, succeeds: bool) {
    const LEASE: Duration = Duration::from_secs(30);
    let now = harness.now();
    let Some(lease) = harness.store.lease(now, LEASE).await.expect("leases") else { return };
    let found = harness.store.operation(&lease.job.operation_id).await.expect("reads");
    let mut operation = found.expect("exists");
    operation.state = if succeeds { OperationState::Succeeded } else { OperationState::Failed };
    operation.error = (!succeeds).then(|| "the cloud said no".to_owned());
    operation.finished_at = Some(now);
    let writes = match (operation.kind, succeeds) {
        (OperationKind::Provision | OperationKind::Update, true) => {
            vec![Write::Publish(operation.target.clone().expect("a target"))]
        }
        (OperationKind::Provision, false) => {
            vec![Write::ReleaseAll, Write::State(model::InstanceState::Failed)]
        }
        (OperationKind::Deprovision, true) => {
            vec![Write::Unpublish, Write::ReleaseAll, Write::State(model::InstanceState::Deleted)]
        }
        (_, false) => vec![],
    };
    let save = Save { fence: lease.fence, operation, writes, now };
    harness.store.save(save).await.expect("saves");
}
