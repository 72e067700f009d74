//! How a proxy stands, asked as anybody would who has only what is published of xDS: by gRPC, in Python.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde_json::Value;
use tokio::process::Command;

/// A Python with the published types of xDS, put there by `tools/fetch.py`.
fn python() -> PathBuf {
    if let Some(path) = std::env::var_os("MARGRAVE_XDS_CLIENTS") {
        return path.into();
    }
    let home = PathBuf::from(std::env::var_os("HOME").expect("a home"));
    let cache = std::env::var_os("XDG_CACHE_HOME").map_or(home.join(".cache"), PathBuf::from);
    let versions = std::fs::read_dir(cache.join("margrave/xds-clients"));
    let found = versions.into_iter().flatten().flatten().map(|it| it.path().join("xds-clients"));
    found.into_iter().next().expect("the clients' Python is there: `tools/fetch.py xds-clients`")
}

/// Of each resource, by `Type name`, its condition and the proxy's words.
pub(crate) async fn standing(xds: SocketAddr, node: &str) -> Value {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/standing.py");
    let address = xds.to_string();
    let asked = Command::new(python()).args(["-B", script, &address, node]).output().await;
    let asked = asked.expect("Python runs");
    let (said, wrong) = (String::from_utf8_lossy(&asked.stdout), &asked.stderr);
    assert!(asked.status.success(), "{said} {}", String::from_utf8_lossy(wrong));
    serde_json::from_str(&said).expect("JSON")
}
