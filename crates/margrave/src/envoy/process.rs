//! One life of Envoy as a process: that it dies with us, and that one which outlived us is found.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

use super::{find, log};
use crate::command::our_variables;

/// How long a stale Envoy may take to go away after SIGKILL.
const STALE_EXIT_MAX: Duration = Duration::from_secs(5);

/// Where Envoy logs requests unless told otherwise.
pub fn access_log(state: &Path) -> PathBuf {
    state.join("envoy/access.log")
}

/// The files of our Envoy in the state folder.
#[derive(Debug, Clone)]
pub struct Files {
    folder: PathBuf,
}

impl Files {
    /// In `<state>/envoy`, which is made; absolute, because it identifies our Envoy's command line.
    pub fn new(state: &Path) -> anyhow::Result<Self> {
        let folder = state.join("envoy");
        std::fs::create_dir_all(&folder)
            .with_context(|| format!("cannot make {}", folder.display()))?;
        let folder = folder.canonicalize()?;
        // Envoy appends for ever, so that a new run begins a new file.
        std::fs::File::create(access_log(state)).context("cannot make the access log")?;
        Ok(Self { folder })
    }

    /// The bootstrap.
    pub fn bootstrap(&self) -> PathBuf {
        self.folder.join("bootstrap.json")
    }

    /// Where Envoy writes the address of its admin interface.
    pub fn admin_address(&self) -> PathBuf {
        self.folder.join("admin-address")
    }

    fn pid(&self) -> PathBuf {
        self.folder.join("pid")
    }

    /// Kills an Envoy of an earlier run that is still there (where the kernel could not do it for
    /// us), after making sure that it is ours: its command line names our bootstrap.
    pub async fn end_stale(&self) -> anyhow::Result<()> {
        let Ok(text) = std::fs::read_to_string(self.pid()) else { return Ok(()) };
        let number = text.trim().parse().ok().filter(|pid: &i32| *pid > 0);
        let Some(pid) = number.and_then(Pid::from_raw) else { return Ok(()) };
        if !self.is_ours(pid) {
            return Ok(());
        }
        tracing::warn!(
            pid = pid.as_raw_nonzero(),
            "an Envoy of an earlier run is still there: ending it"
        );
        kill_process(pid, Signal::KILL).context("cannot end the Envoy of an earlier run")?;
        let gone = async {
            while self.is_ours(pid) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(STALE_EXIT_MAX, gone)
            .await
            .with_context(|| format!("process {text} (Envoy of an earlier run) does not go away"))
    }

    fn is_ours(&self, pid: Pid) -> bool {
        let path = format!("/proc/{}/cmdline", pid.as_raw_nonzero());
        let bootstrap = self.bootstrap();
        let arguments = std::fs::read(path).unwrap_or_default();
        arguments
            .split(|byte| *byte == 0)
            .any(|arg| arg == bootstrap.as_os_str().as_encoded_bytes())
    }

    /// Starts Envoy. Call it on a thread that lives as long as Envoy shall: the kernel ends Envoy
    /// when the thread that started it is gone.
    pub fn start(&self, envoy: &find::Found) -> anyhow::Result<Child> {
        let _ = std::fs::remove_file(self.admin_address());
        let mut command = dies_with_us(&envoy.path);
        command.arg("--config-path").arg(self.bootstrap());
        command.arg("--admin-address-path").arg(self.admin_address());
        command.args(["--disable-hot-restart", "--log-level", log::level()]);
        command.args(["--log-format", log::FORMAT]);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        // A configuration can name variables of the environment, and so show them.
        for variable in our_variables() {
            command.env_remove(variable);
        }
        // Its own group, so that Ctrl-C in a terminal reaches us alone and we end it in order.
        command.process_group(0);
        let child =
            command.spawn().with_context(|| format!("cannot start {}", envoy.path.display()))?;
        if let Some(pid) = child.id() {
            std::fs::write(self.pid(), pid.to_string()).context("cannot write Envoy's pid file")?;
        }
        Ok(child)
    }
}

/// A command that the kernel kills when we die, also by `kill -9`, where `setpriv` can ask for it.
fn dies_with_us(program: &Path) -> Command {
    let setpriv = ["/usr/bin/setpriv", "/bin/setpriv"].into_iter().find(|p| Path::new(p).exists());
    match setpriv {
        Some(setpriv) => {
            let mut command = Command::new(setpriv);
            command.args(["--pdeathsig", "KILL", "--"]).arg(program);
            command
        }
        None => Command::new(program),
    }
}

/// Asks a child to end; it may take its time.
pub fn terminate(child: &Child) {
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
    if let Some(pid) = pid {
        // It can only fail because the child has gone already.
        let _ = kill_process(pid, Signal::TERM);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A process that lives until it is killed, with `path` on its command line.
    fn live(path: &Path) -> Child {
        let mut command = Command::new("tail");
        command.arg("-f").arg(path).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        command.spawn().unwrap()
    }

    #[tokio::test]
    async fn only_an_envoy_of_ours_is_ended() {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::new(folder.path()).unwrap();
        std::fs::write(files.bootstrap(), "{}").unwrap();
        let mut stranger = live(Path::new("/dev/null"));
        let mut ours = live(&files.bootstrap());
        // What is ours is known by its command line, which it has once it runs.
        while std::fs::read(format!("/proc/{}/cmdline", ours.id().unwrap())).unwrap().is_empty()
            || !files.is_ours(Pid::from_raw(ours.id().unwrap().cast_signed()).unwrap())
        {
            tokio::task::yield_now().await;
        }
        for pid in ["", "0", "-1", "x", &stranger.id().unwrap().to_string()] {
            std::fs::write(files.pid(), pid).unwrap();
            files.end_stale().await.unwrap();
        }
        assert!(stranger.try_wait().unwrap().is_none(), "a stranger was ended");
        std::fs::write(files.pid(), ours.id().unwrap().to_string()).unwrap();
        let (ended, _) = tokio::join!(files.end_stale(), ours.wait());
        ended.unwrap();
        assert!(ours.try_wait().unwrap().is_some());
    }
}
