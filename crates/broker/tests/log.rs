//! What the log says. Alone in its process: a callsite that was first met by a thread without a log
//! stays silent for the others.

#[expect(dead_code, reason = "made for the other tests, too")]
#[path = "http/harness.rs"]
mod harness;
#[expect(dead_code, reason = "made for the other tests, too")]
#[path = "http/meddler.rs"]
mod meddler;

#[path = "http/vault.rs"]
mod vault;

use std::io::Write;
use std::sync::{Arc, Mutex};

use serde_json::json;
use tracing_subscriber::fmt::MakeWriter;

use crate::harness::{CREDENTIALS, Harness, envelope, path};

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().expect("not poisoned").clone()).expect("UTF-8")
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("not poisoned").write(bytes)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Lines {
    type Writer = Self;
    fn make_writer(&self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn the_log_tells_who_did_what_and_no_secret() {
    let lines = Lines::default();
    let log = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(lines.clone());
    let _guard = tracing::subscriber::set_default(log.finish());
    let harness = Harness::new();
    let mut wish = envelope("internal", "a", "a.example.com");
    wish["context"] = json!({"token": "in-the-context"});
    wish["parameters"]["requestHeaders"] = json!({"set": {"x-key": "in-a-header"}});
    let user = "cloudfoundry eyJ1c2VyX2lkIjoiNjgzZWE3NDgifQ==";
    let headers = [
        ("authorization", CREDENTIALS),
        ("x-broker-api-version", "2.17"),
        ("content-type", "application/json"),
        ("x-broker-api-originating-identity", user),
    ];
    let accepted = harness.send("PUT", &path("a"), &headers, wish.to_string()).await;
    let guess = [("authorization", "Basic dXNlcjpndWVzc2Vk")];
    let refused = harness.send("GET", "/v2/catalog", &guess, "").await;
    let text = lines.text();
    for secret in [
        "dXNlcjpzZWNyZXQ=",
        "secret",
        "dXNlcjpndWVzc2Vk",
        "guessed",
        "in-the-context",
        "in-a-header",
        "eyJ1c2VyX2lkIjoi",
    ] {
        assert!(!text.contains(secret), "`{secret}` is in the log:\n{text}");
    }
    for (answer, status) in [(&accepted, "status=202"), (&refused, "status=401")] {
        let id = answer.headers["x-request-id"].to_str().expect("text");
        let line = text.lines().find(|line| line.contains(id) && line.contains("answered"));
        let line = line.unwrap_or_else(|| panic!("no line of {id} in\n{text}"));
        assert!(line.contains(status) && line.contains("r-1"), "{line}");
    }
    let operation = accepted.body["operation"].as_str().expect("an id");
    let id = accepted.headers["x-request-id"].to_str().expect("text");
    let accepted = text.lines().find(|line| line.contains("accepted") && line.contains(operation));
    assert!(accepted.is_some_and(|line| line.contains(id)), "{text}");
}
