//! Requests that nobody thought of, made by schemathesis from two documents: our own OpenAPI
//! document, and the Open Service Broker API as its specification words it. Whatever is sent, no
//! answer is a fault of ours (5xx), and each is one that the document allows.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::{Value, json};
use tokio::process::Command;

use crate::platform::{Options, Platform};

const OSB: &str = include_str!("osb-2.17.yaml");

/// What every answer is held to. That no route answers without credentials is tried elsewhere, for every
/// role: attempts with wrong ones would soon be answered with 429. Not among them either is whether a hostile request is refused with 4xx: a
/// repeated DELETE is 410 and a taken name 422, which these checks would call an acceptance.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
    response_headers_conformance,response_schema_conformance";

/// Requests for each operation of a document.
const EXAMPLES: &str = "12";
const EXAMPLES_SOAK: &str = "400";

/// Installed by `make test`; put there by `tools/fetch.py`.
fn schemathesis() -> PathBuf {
    if let Some(path) = std::env::var_os("MARGRAVE_SCHEMATHESIS") {
        return path.into();
    }
    let home = PathBuf::from(std::env::var_os("HOME").expect("a home"));
    let cache = std::env::var_os("XDG_CACHE_HOME").map_or(home.join(".cache"), PathBuf::from);
    let versions = std::fs::read_dir(cache.join("margrave/schemathesis"));
    let found = versions.into_iter().flatten().flatten().map(|it| it.path().join("schemathesis"));
    found.into_iter().next().expect("schemathesis is there: `tools/fetch.py schemathesis`")
}

/// Descriptors that are accepted, for both ids: most of what is made from a schema is not.
fn good() -> Value {
    let upstream = "http://localhost:3000";
    json!([
        {"service": "shop", "upstream": upstream},
        {"service": "shop", "upstream": upstream, "hostnames": ["a.localhost", "b.localhost"]},
        {"service": "shop", "upstream": upstream, "hostnames": ["b.localhost"]},
        {"service": "shop", "routes": [{"match": {"prefix": "/"}, "respond": {"status": 204}}]},
        {"service": "shop", "upstream": upstream, "responseHeaders": {"set": {"x-a": "%REQ(b)%"}}},
    ])
}

/// Few ids and descriptors, so that requests meet instances that requests before them have made.
fn pinned(mut document: Value) -> Value {
    document["components"]["schemas"]["Parameters"] = json!({"enum": good()});
    let operations = document["paths"].as_object_mut().into_iter().flatten();
    let operations = operations.flat_map(|(_, path)| path.as_object_mut().into_iter().flatten());
    for (_, operation) in operations {
        let arguments = operation["parameters"].as_array_mut().into_iter().flatten();
        for argument in arguments.filter(|it| it["in"] == "path") {
            argument["schema"] = json!({"type": "string", "enum": ["one", "two"]});
        }
    }
    document
}

/// The specification with the catalog's ids and schema in place of "any".
async fn osb(platform: &Platform) -> String {
    let catalog = platform.call("GET", "/v2/catalog", None).await.body;
    let service = &catalog["services"][0];
    let plans: Vec<&Value> =
        service["plans"].as_array().expect("plans").iter().map(|it| &it["id"]).collect();
    let mut text = OSB.to_owned();
    for (place, value) in [
        (
            "ServiceId: {type: string, minLength: 1}",
            format!("ServiceId: {{type: string, enum: [{}]}}", service["id"]),
        ),
        (
            "PlanId: {type: string, minLength: 1}",
            format!("PlanId: {{type: string, enum: {}}}", json!(plans)),
        ),
        ("Parameters: {type: object}", format!("Parameters: {{enum: {}}}", good())),
        ("pattern: '^[A-Za-z0-9._~-]{1,60}$'", "enum: [one, two]".to_owned()),
    ] {
        assert!(text.contains(place), "{place}");
        text = text.replace(place, &value);
    }
    text
}

/// Runs it over a document, and tells what it found.
async fn examine(platform: &Platform, folder: &Path, name: &str, document: &str) {
    let soak = std::env::var_os("MARGRAVE_SOAK").is_some();
    let file = folder.join(name);
    std::fs::write(&file, document).expect("written");
    let mut command = Command::new(schemathesis());
    command.arg("run").arg(&file).args(["--url", &platform.endpoints.broker]);
    command.args(["--auth", &Platform::credentials(), "--checks", CHECKS, "--no-color"]);
    command.args(["--header", "X-Broker-API-Version: 2.17", "--generation-database", "none"]);
    command.args([
        "--continue-on-failure",
        "--max-examples",
        if soak { EXAMPLES_SOAK } else { EXAMPLES },
    ]);
    if !soak {
        command.args(["--seed", "1", "--phases", "coverage,fuzzing,stateful"]);
    }
    command.current_dir(folder).stdin(Stdio::null());
    let output = command.output().await.expect("schemathesis runs");
    let said = String::from_utf8_lossy(&output.stdout);
    let mut report = format!("{name}\n{said}");
    report.push_str(&String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{report}\n{}", platform.log());
    if soak {
        let _ = writeln!(std::io::stdout().lock(), "{report}");
    }
}

/// Without Envoy, and with an instance that is there and one that was.
async fn quiet() -> Platform {
    let platform = Platform::start_with(Options::default().argument("--envoy", "none")).await;
    for id in ["one", "two"] {
        let descriptor = json!({"service": "shop", "upstream": "http://localhost:3000", "hostnames": [format!("{id}.localhost")]});
        platform.provision(id, &descriptor).await;
    }
    platform.deprovision("two").await;
    platform
}

#[tokio::test(flavor = "multi_thread")]
async fn our_own_document_is_kept() {
    let (platform, folder) = (quiet().await, tempfile::tempdir().unwrap());
    let document = platform.call("GET", "/v1/openapi.json", None).await.body;
    examine(&platform, folder.path(), "openapi.json", &document.to_string()).await;
    examine(&platform, folder.path(), "pinned.json", &pinned(document).to_string()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_specification_is_kept() {
    let (platform, folder) = (quiet().await, tempfile::tempdir().unwrap());
    let document = osb(&platform).await;
    examine(&platform, folder.path(), "osb.yaml", &document).await;
}
