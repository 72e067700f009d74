//! The life of `margrave dev` as a process, with a real Envoy: how it starts, what it survives, how
//! it ends, and that nothing is left behind.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Dev, PATIENCE, command, dev_command};

/// Whether a process still does anything; a zombie does not.
fn lives(pid: Pid) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
    stat.is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or_default().starts_with(" Z"))
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("never: {what}"));
}

async fn get(url: &str) -> Option<(u16, String)> {
    let answer = reqwest::get(url).await.ok()?;
    Some((answer.status().as_u16(), answer.text().await.ok()?))
}

#[tokio::test]
async fn it_is_ready_says_where_and_ends_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let dev = Dev::start(folder.path(), &[]);
    let (broker, metrics) = (dev.endpoint("broker"), dev.endpoint("metrics"));
    assert!(dev.banner.contains(&broker), "{}", dev.banner);
    assert_eq!(get(&format!("{metrics}/readyz")).await.unwrap().0, 200);
    assert_eq!(get(&format!("{metrics}/healthz")).await.unwrap().0, 200);
    let measured = get(&format!("{metrics}/metrics")).await.unwrap().1;
    // One for its configuration and, a moment later, one for what it answers.
    let streams = ["margrave_xds_streams 1\n", "margrave_xds_streams 2\n"];
    assert!(streams.iter().any(|it| measured.contains(it)), "{measured}");
    assert_eq!(get(&format!("{broker}/v2/catalog")).await.unwrap().0, 401);
    for file in ["credentials.json", "endpoints.json"] {
        let mode = std::fs::metadata(folder.path().join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    let envoy = dev.envoy();
    assert!(lives(envoy));
    assert_eq!(dev.end(Signal::TERM).code(), Some(0));
    assert!(!lives(envoy));
    assert!(!folder.path().join("endpoints.json").exists());
}

#[tokio::test]
async fn envoy_dies_with_it_even_by_kill_9() {
    let folder = tempfile::tempdir().unwrap();
    let dev = Dev::start(folder.path(), &[]);
    let envoy = dev.envoy();
    dev.end(Signal::KILL);
    until("Envoy is gone", async || !lives(envoy)).await;
    // And the folder is free again.
    assert_eq!(Dev::start(folder.path(), &[]).end(Signal::INT).code(), Some(0));
}

#[test]
fn envoy_is_told_no_secret_of_the_environment() {
    let folder = tempfile::tempdir().unwrap();
    let secrets = [("MARGRAVE_TOKEN", "mgt_canary"), ("MARGRAVE_BROKER_PASSWORD", "a-canary-too")];
    let dev = Dev::start_as(folder.path(), dev_command(folder.path(), &[]), |command| {
        command.envs(secrets).env("MARGRAVE_BROKER_USERNAME", "ann").env("OTHER", "is seen");
    });
    let path = format!("/proc/{}/environ", dev.envoy().as_raw_nonzero());
    let seen = std::fs::read_to_string(path).expect("its environment");
    assert!(seen.contains("OTHER=is seen"), "{seen}");
    assert!(!seen.contains("MARGRAVE_") && !seen.contains("canary"), "{seen}");
}

#[tokio::test]
async fn an_envoy_that_dies_is_started_again_on_the_same_ports() {
    let folder = tempfile::tempdir().unwrap();
    let dev = Dev::start(folder.path(), &[]);
    let (first, public) = (dev.envoy(), dev.endpoint("public"));
    let ready = format!("{}/readyz", dev.endpoint("metrics"));
    kill_process(first, Signal::KILL).unwrap();
    until("not ready without Envoy", async || get(&ready).await.unwrap().0 == 503).await;
    until("ready again", async || get(&ready).await.unwrap().0 == 200).await;
    assert_ne!(dev.envoy(), first);
    let answer = get(&format!("http://{public}/")).await.expect("Envoy answers");
    assert_eq!(answer.0, 404, "{}", answer.1);
    assert_eq!(dev.end(Signal::TERM).code(), Some(0));
}

#[tokio::test]
async fn a_second_platform_is_refused_the_folder_and_the_ports_of_the_first() {
    let folder = tempfile::tempdir().unwrap();
    let dev = Dev::start(folder.path(), &["--envoy", "none"]);
    let same_folder = dev_command(folder.path(), &[]).output().unwrap();
    let said = String::from_utf8_lossy(&same_folder.stderr).into_owned();
    assert_eq!(same_folder.status.code(), Some(1), "{said}");
    assert!(said.contains("in use by another `margrave dev` or"), "{said}");
    let elsewhere = tempfile::tempdir().unwrap();
    let xds = dev.endpoint("xds");
    let mut same_port = command(elsewhere.path(), &["dev", "--envoy", "none"]);
    for listen in ["broker", "console", "metrics", "public", "internal", "envoy-admin"] {
        same_port.arg(format!("--listen-{listen}=0"));
    }
    let output = same_port.args(["--listen-xds", &xds]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    let who = format!("is taken by `margrave` (process {})", dev.child.id());
    assert!(said.contains(&who) && said.contains("MARGRAVE_LISTEN_XDS"), "{said}");
}

/// A program that says that it is Envoy 1.40 and then does as told.
fn fake_envoy(folder: &Path, then: &str) -> PathBuf {
    let path = folder.join("fake-envoy");
    let version = "echo 'envoy  version: 0/1.40.0/Clean/RELEASE/B'";
    let script = format!("#!/bin/sh\n[ \"$1\" = --version ] && {version} && exit\n{then}\n");
    std::fs::write(&path, script).expect("writes");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("may run");
    path
}

#[test]
fn an_envoy_that_never_starts_ends_it_with_envoys_own_words() {
    let folder = tempfile::tempdir().unwrap();
    let fake = fake_envoy(folder.path(), "echo 'C main no room for clusters' >&2; exit 3");
    let state = folder.path().join("state");
    let output = dev_command(&state, &["--envoy", fake.to_str().unwrap()]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("error: envoy failed: Envoy does not start (exit status: 3)"), "{said}");
    assert!(said.contains("no room for clusters"), "{said}");
    assert!(output.stdout.is_empty(), "it must not say that it is ready");
}

#[test]
fn the_second_signal_does_not_wait() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    // An Envoy that is never live and does not end when asked.
    let fake = fake_envoy(folder.path(), "trap '' TERM; exec sleep 600");
    let mut command = dev_command(&state, &["--envoy", fake.to_str().unwrap(), "--log", "info"]);
    let mut child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let pid = Pid::from_raw(child.id().cast_signed()).unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap());
    let mut await_line = |piece: &str| {
        let mut line = String::new();
        while !line.contains(piece) {
            line.clear();
            assert_ne!(log.read_line(&mut line).unwrap(), 0, "never said `{piece}`");
        }
    };
    await_line("Envoy started");
    kill_process(pid, Signal::INT).unwrap();
    await_line("once more ends at once");
    kill_process(pid, Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let mut rest = String::new();
    log.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("ended at once"), "{rest}");
}
