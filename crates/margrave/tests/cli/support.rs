//! Starts the binary, and waits until it says that it is ready.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// Nothing here takes a tenth of this; it only keeps a broken build from hanging.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A command line of ours with a state folder, free of what the environment says about Margrave.
pub fn command(state: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_margrave"));
    let ours = |name: &str| name.starts_with("MARGRAVE_") && name != "MARGRAVE_ENVOY";
    for (name, _) in std::env::vars_os().filter(|(name, _)| ours(&name.to_string_lossy())) {
        command.env_remove(name);
    }
    command.env("XDG_CONFIG_HOME", state.join("settings"));
    command.args(arguments).arg("--state").arg(state).stdin(Stdio::null());
    command
}

/// `margrave dev` on free ports.
pub fn dev_command(state: &Path, arguments: &[&str]) -> Command {
    let mut command = command(state, &["dev", "--log", "warn"]);
    for listen in ["broker", "console", "metrics", "xds", "public", "internal", "envoy-admin"] {
        command.arg(format!("--listen-{listen}=0"));
    }
    command.args(arguments);
    command
}

/// A platform that is ready. Killed when dropped, and its Envoy dies with it.
pub struct Dev {
    /// The process.
    pub child: Child,
    /// Its state folder.
    pub state: PathBuf,
    /// What it said on stdout.
    pub banner: String,
}

impl Dev {
    /// Starts it, and returns when it is ready.
    pub fn start(state: &Path, arguments: &[&str]) -> Self {
        Self::start_as(state, dev_command(state, arguments), |_| {})
    }

    /// Starts that command, set up further.
    pub fn start_as(state: &Path, mut command: Command, set_up: impl FnOnce(&mut Command)) -> Self {
        set_up(&mut command);
        let mut child = command.stdout(Stdio::piped()).spawn().expect("the binary starts");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let mut banner = String::new();
        while !banner.contains("curl ") {
            let line = lines.next().expect("it says when it is ready").expect("UTF-8");
            banner.push_str(&line);
            banner.push('\n');
        }
        Self { child, state: state.to_owned(), banner }
    }

    /// An address of `endpoints.json`.
    pub fn endpoint(&self, name: &str) -> String {
        let text = std::fs::read(self.state.join("endpoints.json")).expect("endpoints.json");
        let endpoints: Value = serde_json::from_slice(&text).expect("JSON");
        endpoints[name].as_str().unwrap_or_else(|| panic!("no {name}: {endpoints}")).to_owned()
    }

    /// Its Envoy.
    pub fn envoy(&self) -> Pid {
        let text = std::fs::read_to_string(self.state.join("envoy/pid")).expect("a pid file");
        Pid::from_raw(text.trim().parse().expect("a pid")).expect("not 0")
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().cast_signed()).expect("not 0");
        kill_process(pid, signal).expect("it is alive");
    }

    /// Sends it a signal, and waits for its end.
    pub fn end(mut self, signal: Signal) -> ExitStatus {
        self.signal(signal);
        self.child.wait().expect("it ends")
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
