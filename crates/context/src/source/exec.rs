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
        Ok(Running(child))
    }
}

/// A program that is killed, with all that it has started, unless it has ended.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let pid = self.0.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
        if let Some(pid) = pid {
            // It can only fail because all have gone already.
            let _ = kill_process_group(pid, Signal::KILL);
        }
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
        let (stdout, stderr) = (running.0.stdout.take(), running.0.stderr.take());
        let complaint = tokio::spawn(complaint(stderr));
        let mut text = Vec::new();
        if let Some(stdout) = stdout {
            let reading = stdout.take(most).read_to_end(&mut text).await;
            reading.map_err(|error| format!("cannot be read: {error}"))?;
        }
        if text.len() > bytes_max {
            return Err(format!("prints more than {bytes_max} bytes").into());
        }
        let status = running.0.wait().await.map_err(|error| error.to_string())?;
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

    #[tokio::test]
    async fn it_ends_with_whoever_waits_for_it_and_so_does_what_it_started() {
        let folder = tempfile::tempdir().unwrap();
        let alive = folder.path().join("alive");
        std::fs::write(&alive, "").unwrap();
        // Its child keeps the lock of the file as long as it lives.
        let script = format!(
            "(exec 9<{0}; /usr/bin/flock 9; echo held >{0}; exec /usr/bin/sleep 600) & wait",
            alive.display()
        );
        let source = shell(&script, true);
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
        let file = std::fs::File::open(&alive).unwrap();
        let freed = tokio::task::spawn_blocking(move || file.lock());
        tokio::time::timeout(Duration::from_secs(20), freed).await.unwrap().unwrap().unwrap();
    }
}
