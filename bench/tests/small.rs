//! Each measurement in its smallest form: that it runs to its end and prints all its figures. What the
//! figures are is for quiet machines.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::PathBuf;
use std::process::Command;

/// The product: `MARGRAVE_BIN`, or where a test run of the workspace has put it.
fn product() -> PathBuf {
    let beside = || PathBuf::from(env!("CARGO_BIN_EXE_bench")).with_file_name("margrave");
    let product = std::env::var_os("MARGRAVE_BIN").map_or_else(beside, PathBuf::from);
    assert!(product.exists(), "{}: `cargo build --package margrave` makes it", product.display());
    product
}

/// A pinned program: where `make test` says that it is, or where it is put now.
fn fetched(variable: &str, program: &str) -> PathBuf {
    let fetch = || {
        let tool = concat!(env!("CARGO_MANIFEST_DIR"), "/../tools/fetch.py");
        let said = Command::new(tool).arg(program).output().unwrap();
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
        PathBuf::from(String::from_utf8(said.stdout).unwrap().trim())
    };
    std::env::var_os(variable).map_or_else(fetch, PathBuf::from)
}

/// What is printed.
fn measure(arguments: &str) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_bench"))
        .arg("--binary")
        .arg(product())
        .args(arguments.split(' '))
        .env("MARGRAVE_ENVOY", fetched("MARGRAVE_ENVOY", "envoy"))
        .env("MARGRAVE_SOVEREIGN", fetched("MARGRAVE_SOVEREIGN", "sovereign"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(!said.contains("NaN") && !said.contains("inf"), "{said}");
    said
}

/// The number before `unit` in the line that contains `what`.
fn figure(said: &str, what: &str, unit: &str) -> f64 {
    let line = said.lines().find(|line| line.contains(what)).unwrap_or_else(|| panic!("{said}"));
    let before = line.split_once(unit).unwrap_or_else(|| panic!("{line}")).0;
    before.split_whitespace().next_back().unwrap().parse().unwrap()
}

/// Who comes back and has all is told again that there is no layer of the runtime, and nothing else.
const NEXT_TO_NOTHING_BYTES: f64 = 200.0;

#[test]
fn one_change_to_many_proxies() {
    let said = measure("fleet --tenants 30 --streams 6 --rounds 2 --idle 1 --newcomers 3");
    assert!(
        figure(&said, "3 come with nothing at once", "bytes sent to each") > 10_000.0,
        "{said}"
    );
    // Whoever is told refuses twice, the second time the resource alone: not all are told.
    let refusals = figure(&said, "a route that proxies refuse", "refusals heard");
    assert!((1.0..12.0).contains(&refusals), "{said}");
    let again = figure(&said, "come back at once", "bytes sent to each");
    assert!(again < NEXT_TO_NOTHING_BYTES, "{said}");
    // Beside one write to each, and what takes several rounds beside as many of them, too; to raw
    // sockets, which answer as much as proxies do or, in one round, nothing, and by a bare server.
    for (who, rounds, times) in
        [("raw sockets", 1, 4), ("raw sockets", 2, 1), ("bare tonic", 1, 2), ("bare tonic", 2, 1)]
    {
        let in_rounds = format!("in {rounds}, answered with ");
        let rows =
            said.lines().filter(|line| line.trim().starts_with(who) && line.contains(&in_rounds));
        assert_eq!(rows.count(), times, "{who} in {rounds}: {said}");
    }
}

/// Proxies with certificates of the platform's own are served as those in clear are.
#[test]
fn proxies_that_show_certificates() {
    let said = measure("tls --tenants 5 --streams 6 --rounds 2");
    assert!(said.contains("6 proxies join: "), "{said}");
    for who in ["in clear", "mutual TLS"] {
        assert!(figure(&said, who, " connections a second") > 0.0, "{said}");
        assert_eq!(said.lines().filter(|line| line.contains(who)).count(), 3, "{said}");
    }
}

/// A set that changes is sent whole, and a route configuration alone.
#[test]
fn one_change_to_many_proxies_in_state_of_the_world() {
    let said = measure("fleet --sotw --tenants 30 --streams 6 --rounds 2 --idle 1 --newcomers 3");
    assert!(
        figure(&said, "3 come with nothing at once", "bytes sent to each") > 10_000.0,
        "{said}"
    );
    let bytes: Vec<f64> = said
        .lines()
        .filter(|line| line.contains("responses to each"))
        .map(|line| figure(line, "responses to each", "bytes in"))
        .collect();
    assert!(bytes.len() == 2 && bytes[1] > 5.0 * bytes[0], "{said}");
}

/// Whoever is there is given everything anew, and so is who missed it.
#[test]
fn other_templates() {
    let said = measure("rollout --tenants 20 --streams 3");
    let again = figure(&said, "had them already", "bytes sent to each");
    assert!(again < NEXT_TO_NOTHING_BYTES, "{said}");
    for what in ["all tenants change", "had missed it"] {
        assert!(figure(&said, what, "bytes sent to each") > 5_000.0, "{said}");
    }
}

/// An Envoy that polls Sovereign is served the same as one that Margrave pushes to.
#[test]
fn beside_sovereign() {
    let said = measure("sovereign --services 5 --rounds 2 --seconds 2");
    for who in ["Margrave", "Sovereign, jinja", "Sovereign, python"] {
        assert!(said.lines().any(|line| line.starts_with(who)), "{said}");
    }
}

/// The plane is known to have had each change, and a start to render them all.
#[test]
fn rendering() {
    let said = measure("render --tenants 20 --rounds 3");
    assert!(figure(&said, "one change", "ms; ") > 0.0, "{said}");
    for start in ["a start with 20 tenants", "a start that knows nothing"] {
        let rendered = said.lines().find(|line| line.starts_with(start)).unwrap();
        assert!(rendered.contains("all rendered after"), "{said}");
    }
}

/// Regions that are cut off, replicas and everything killed, while tenants change: the figures do not
/// matter, that none goes backwards and all converge does.
#[test]
fn a_fleet_in_regions_converges_whatever_happens() {
    let said =
        measure("sim --regions 2 --proxies 12 --tenants 6 --seconds 1 --rate 10 --replicas 2");
    assert!(said.contains("no proxy went backwards, none was emptied"), "{said}");
    assert!(said.contains("they are taken back") && said.contains("all replicas are killed"));
    assert!(said.contains("everything is killed"));
}

/// What whoever starts it can mend is told in one line, before anything else.
#[test]
fn who_asks_for_what_cannot_be_is_told_so_in_a_line() {
    let there = product();
    let there = there.to_str().unwrap();
    let cases = [
        ("fleet --streams 3", "/nowhere", "MARGRAVE_BIN names /nowhere, where no file is"),
        ("live", there, "MARGRAVE_ENVOY is not set"),
        ("sovereign", there, "MARGRAVE_ENVOY is not set"),
        (
            "fleet --streams 1000000000",
            there,
            "1000000000 streams need 1000000200 file descriptors",
        ),
        ("fleet --streams 0", there, "at least 1"),
        ("fleet --rounds 0", there, "at least 1"),
    ];
    for (arguments, binary, expected) in cases {
        let output = Command::new(env!("CARGO_BIN_EXE_bench"))
            .args(["--binary", binary])
            .args(arguments.split(' '))
            .env_remove("MARGRAVE_ENVOY")
            .env("RUST_BACKTRACE", "1")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{arguments}: {said}");
        assert!(said.contains(expected) && !said.contains("backtrace"), "{arguments}: {said}");
        assert!(output.stdout.is_empty(), "{arguments}");
    }
}
