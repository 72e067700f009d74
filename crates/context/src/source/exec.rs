//! A document that a program prints. The operator names the program; nothing is expanded, no shell
//! has a say, and it does not outlive its time.

use std::ffi::OsString;
use std::process::Stdio;

use async_trait::async_trait;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::AsyncReadExt;
use tokio::process::{Child, ChildStderr, Command};

use super::{FetchError, Fetched, Source, Validators};

/// What is kept of what a program complains.
const COMPLAINT_BYTES_MAX: u64 = 512;

/// A program and its arguments.
pub struct ExecSource {
    command: Vec<String>,
    /// Variables that are not for it.
    withheld: Vec<OsString>,
    /// Whether what it complains may be shown.
    may_tell: bool,
}

impl ExecSource {
    /// Runs `command`, a program and its arguments, without these variables of the environment.
    /// `may_tell`: its complaints hold no secrets.
    pub fn new(command: Vec<String>, withheld: Vec<OsString>, may_tell: bool) -> Self {
        Self { command, withheld, may_tell }
    }

    fn start(&self) -> Result<Running, FetchError> {
        let (program, arguments) = self.command.split_first().ok_or("names no program")?;
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        self.withheld.iter().for_each(|name| _ = command.env_remove(name));
        // Its own group: what it starts ends with it.
        command.process_group(0).kill_on_drop(true);
        let child = command.spawn().map_err(|error| format!("cannot be started: {error}"))?;
        let id = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        Ok(Running { child, group: id })
    }
}

/// A program that is killed, with all that it has started, also what has outlived it.
struct Running {
    child: Child,
    group: Option<Pid>,
}

impl Running {
    /// Of its group: once.
    fn kill(&mut self) {
        if let Some(group) = self.group.take() {
            // It can only fail because all have gone already.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

#[async_trait]
impl Source for ExecSource {
    fn kind(&self) -> &'static str {
        "exec"
    }

    /// Without its arguments, which may be long.
    fn place(&self) -> String {
        self.command.first().cloned().unwrap_or_default()
    }

    async fn fetch(&self, _: &Validators, bytes_max: usize) -> Result<Fetched, FetchError> {
        let mut running = self.start()?;
        let most = u64::try_from(bytes_max).unwrap_or(u64::MAX).saturating_add(1);
        let (stdout, stderr) = (running.child.stdout.take(), running.child.stderr.take());
        let complaint = tokio::spawn(complaint(stderr));
        let mut text = Vec::new();
        if let Some(stdout) = stdout {
            let reading = stdout.take(most).read_to_end(&mut text).await;
            reading.map_err(|error| format!("cannot be read: {error}"))?;
        }
        if text.len() > bytes_max {
            return Err(format!("prints more than {bytes_max} bytes").into());
        }
        let status = running.child.wait().await.map_err(|error| error.to_string())?;
        // At once: its number may be another's later.
        running.kill();
        if status.success() {
            return Ok(Fetched::New(text, Validators::default()));
        }
        let said = if self.may_tell { complaint.await.unwrap_or_default() } else { String::new() };
        let said = if said.is_empty() { said } else { format!(": {said}") };
        Err(format!("ends with {status}{said}").into())
    }
}

/// The first that it complains. What is more is thrown away, so that it need not wait for us.
async fn complaint(stderr: Option<ChildStderr>) -> String {
    let (mut said, Some(stderr)) = (Vec::new(), stderr) else { return String::new() };
    let mut first = stderr.take(COMPLAINT_BYTES_MAX);
    // What was read until then is all that there is to tell.
    let _ = first.read_to_end(&mut said).await;
    let _ = tokio::io::copy(&mut first.into_inner(), &mut tokio::io::sink()).await;
    String::from_utf8_lossy(&said).trim().replace('\n', "; ")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn shell(script: &str, may_tell: bool) -> ExecSource {
        let command = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
        ExecSource::new(command, vec!["PATH".into()], may_tell)
    }

    async fn run(source: &ExecSource) -> Result<Fetched, FetchError> {
        source.fetch(&Validators::default(), 100).await
    }

    #[tokio::test]
    async fn what_a_program_prints_is_the_document() {
        let told = run(&shell("echo '{}'; echo hunter2 >&2", true)).await;
        assert_eq!(told, Ok(Fetched::New(b"{}\n".to_vec(), Validators::default())));
        let environment = run(&shell("export -p | /usr/bin/grep -c ' PATH=' || true", true)).await;
        assert!(matches!(environment, Ok(Fetched::New(text, _)) if text != b"1\n"), "withheld");
    }

    #[tokio::test]
    async fn what_fails_says_why_unless_that_could_be_a_secret() {
        for (script, may_tell, says) in [
            ("echo no more disk >&2; exit 3", true, "ends with exit status: 3: no more disk"),
            ("echo hunter2 >&2; exit 3", false, "ends with exit status: 3"),
            ("kill -9 $$", true, "ends with signal: 9 (SIGKILL)"),
            ("printf '%0200d' 1", true, "prints more than 100 bytes"),
            ("while :; do echo xxxxxxxxxxxxxxxx; done", true, "prints more than 100 bytes"),
        ] {
            assert_eq!(run(&shell(script, may_tell)).await.unwrap_err().0, says, "{script}");
        }
        let nothing = ExecSource::new(vec!["/nonexistent".to_owned()], Vec::new(), true);
        let why = run(&nothing).await.unwrap_err().0;
        assert!(why.starts_with("cannot be started: "), "{why}");
    }

    /// A script that starts something which holds the lock of a file as long as it lives, and goes on
    /// when it does.
    fn holding(alive: &std::path::Path, then: &str) -> String {
        let alive = alive.display();
        format!(
            "(exec 9<{alive}; /usr/bin/flock 9; echo held >{alive}; exec /usr/bin/sleep 600) \
             >/dev/null 2>&1 & until [ -s {alive} ]; do /usr/bin/sleep 0.01; done; {then}"
        )
    }

    /// Returns when nobody holds it.
    async fn freed(alive: &std::path::Path) {
        let file = std::fs::File::open(alive).unwrap();
        let freed = tokio::task::spawn_blocking(move || file.lock());
        tokio::time::timeout(Duration::from_secs(20), freed).await.unwrap().unwrap().unwrap();
    }

    #[tokio::test]
    async fn it_ends_with_whoever_waits_for_it_and_so_does_what_it_started() {
        let folder = tempfile::tempdir().unwrap();
        let alive = folder.path().join("alive");
        std::fs::write(&alive, "").unwrap();
        let source = shell(&holding(&alive, "wait"), true);
        {
            let running = run(&source);
            tokio::pin!(running);
            let held = async {
                while std::fs::read_to_string(&alive).unwrap() != "held\n" {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            };
            tokio::select! {
                ended = &mut running => panic!("{ended:?}"),
                () = held => {}
            }
        }
        freed(&alive).await;
    }

    #[tokio::test]
    async fn what_it_started_does_not_outlive_it() {
        let folder = tempfile::tempdir().unwrap();
        let alive = folder.path().join("alive");
        for (then, is_good) in [("echo 1", true), ("exit 3", false)] {
            std::fs::write(&alive, "").unwrap();
            let told = run(&shell(&holding(&alive, then), true)).await;
            assert_eq!(told.is_ok(), is_good, "{told:?}");
            freed(&alive).await;
        }
    }
}
