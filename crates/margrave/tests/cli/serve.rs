//! `margrave serve`: what it refuses, and replicas beside the process that writes.

use std::io::{BufRead, BufReader, Lines};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use crate::support::{Dev, command};

fn serve(state: &Path, arguments: &[&str]) -> Command {
    let mut command = command(state, &["serve", "--log", "warn"]);
    for listen in ["broker", "console", "metrics", "xds", "public", "internal", "envoy-admin"] {
        command.arg(format!("--listen-{listen}=0"));
    }
    command.args(arguments);
    command.env("MARGRAVE_BROKER_USERNAME", "platform");
    command.env("MARGRAVE_BROKER_PASSWORD", "a-long-password");
    command
}

fn refused(command: &mut Command) -> String {
    let output = command.output().expect("the binary starts");
    assert!(!output.status.success());
    String::from_utf8(output.stderr).expect("UTF-8")
}

/// A process of `serve`, killed at the end of the test.
struct Served {
    child: Child,
    _said: Lines<BufReader<ChildStdout>>,
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts it, and returns when it says that it is ready.
fn start(mut command: Command) -> Served {
    let mut child = command.stdout(Stdio::piped()).spawn().expect("the binary starts");
    let mut said = BufReader::new(child.stdout.take().expect("piped")).lines();
    let first = said.next().expect("it says when it is ready").expect("UTF-8");
    assert!(first.contains("is ready"), "{first}");
    Served { child, _said: said }
}

#[test]
fn it_refuses_what_dev_allows() {
    let folder = tempfile::tempdir().expect("a folder");
    let state = folder.path().join("state");
    let mut bare = serve(&state, &[]);
    bare.env_remove("MARGRAVE_BROKER_USERNAME").env_remove("MARGRAVE_BROKER_PASSWORD");
    let said = refused(&mut bare);
    assert!(said.contains("`margrave serve` makes no credentials"), "{said}");
    for port in ["broker", "console", "xds"] {
        let said = refused(&mut serve(&state, &[&format!("--listen-{port}=0.0.0.0:0")]));
        assert!(said.contains(&format!("`listen.{port}` must be on loopback")), "{said}");
    }
    let said = refused(&mut serve(&state, &["--role", "broker,plane"]));
    assert!(said.contains("the roles that write share one process"), "{said}");
    let dev = Dev::start(&state, &["--envoy", "none"]);
    assert!(dev.banner.contains("Relaxed here"), "{}", dev.banner);
    drop(dev);
    let said = refused(&mut serve(&state, &[]));
    assert!(said.contains("this state was made by `margrave dev`"), "{said}");
}

#[test]
fn one_process_writes_and_replicas_share_its_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    let state = folder.path().join("state");
    let _all = start(serve(&state, &[]));
    let said = refused(&mut serve(&state, &["--replica", "other"]));
    assert!(said.contains("in use by another `margrave dev` or `margrave serve`"), "{said}");
    let replica = |name: &str| serve(&state, &["--role", "plane", "--replica", name]);
    let _a = start(replica("a"));
    let _b = start(replica("b"));
    assert!(state.join("replicas/b/endpoints.json").exists());
    let said = refused(&mut replica("a"));
    assert!(said.contains("another process is the replica `a`"), "{said}");
    assert!(refused(&mut replica("../a")).contains("`replica` must be"));
    let elsewhere = serve(&folder.path().join("other"), &["--role", "plane"])
        .arg("--store")
        .arg(state.join("margrave.db"))
        .output();
    let said = String::from_utf8_lossy(&elsewhere.expect("it runs").stderr).into_owned();
    assert!(said.contains("no operation would wait for them"), "{said}");
    assert!(!folder.path().join("other/replicas").exists(), "it left nothing");
}
