//! The descriptor set against the Envoy that it is for.

mod common;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Longer than Envoy takes to start on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

fn beside_the_descriptors(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../descriptors").join(file);
    std::fs::read_to_string(path).expect("it is there")
}

/// The types that the binary can be configured with, by its own account.
fn advertised() -> BTreeSet<String> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (file, port_file) = (folder.path().join("bootstrap.json"), folder.path().join("admin"));
    let bootstrap =
        r#"{"admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}}}"#;
    std::fs::write(&file, bootstrap).expect("writable");
    let mut envoy = Command::new(common::envoy::binary())
        .args(["--use-dynamic-base-id", "--log-level", "off", "--concurrency", "1", "-c"])
        .arg(&file)
        .arg("--admin-address-path")
        .arg(&port_file)
        .stderr(Stdio::null())
        .spawn()
        .expect("Envoy runs (MARGRAVE_ENVOY, or `make envoy`)");
    let deadline = Instant::now() + PATIENCE;
    let admin = loop {
        match std::fs::read_to_string(&port_file).ok().and_then(|text| text.parse().ok()) {
            Some(admin) => break admin,
            None => assert!(Instant::now() < deadline, "Envoy does not start"),
        }
        std::thread::yield_now();
    };
    let answer = common::live::send(admin, "GET /server_info HTTP/1.1\r\nhost: admin\r\n\r\n");
    envoy.kill().expect("it ends");
    envoy.wait().expect("it has ended");
    let info = answer.json();
    let extensions = info["node"]["extensions"].as_array().expect("extensions").iter();
    let urls = extensions.flat_map(|one| one["type_urls"].as_array().cloned().unwrap_or_default());
    urls.filter_map(|url| url.as_str().map(str::to_owned)).collect()
}

#[test]
fn the_set_has_what_envoy_advertises_but_for_a_list() {
    let text = beside_the_descriptors("missing.txt");
    let rows = text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    let listed: BTreeSet<String> = rows
        .map(|row| {
            let (name, reason) = row.split_once(": ").expect("`type: reason`");
            assert!(reason.len() > 10, "{name} needs a reason");
            name.to_owned()
        })
        .collect();
    let advertised = advertised();
    assert!(advertised.len() > 350, "{} types", advertised.len());
    let missing: BTreeSet<String> =
        advertised.into_iter().filter(|name| !render::knows_message(name)).collect();
    assert_eq!(missing, listed, "missing in the set (left), listed in missing.txt (right)");
}
