//! The real Envoy as a validator: `envoy --mode validate`, a process for each question.

use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use async_trait::async_trait;
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, Command};
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::port::{Validator, Word};

/// A hundred times as long as Envoy takes for one instance, and ten times what it takes for
/// thousands.
const ANSWER_MAX: Duration = Duration::from_secs(20);
/// More than Envoy takes for the largest question by far. (Its text and libraries do not count.)
const DATA_BYTES_MAX: u64 = 2 << 30;
/// Envoy may repeat the resource that it refuses; the reason is at the end.
const WORDS_BYTES_MAX: u64 = 16 << 20;
/// Envoy's words before its reason.
const REFUSES: &str = "error initializing configuration '";

/// An Envoy on this machine.
#[derive(Debug)]
pub struct EnvoyValidator {
    program: PathBuf,
    version: String,
    file: PathBuf,
    /// One question at a time.
    turn: Mutex<()>,
}

impl EnvoyValidator {
    /// The program, of this version; questions are written to a file in `folder`, which is the
    /// validators' alone.
    pub fn new(program: PathBuf, version: String, folder: &Path) -> Self {
        let file = folder.join(format!("{version}.pb"));
        // Left behind by a process that was killed while it asked.
        let _ = std::fs::remove_file(&file);
        Self { program, version, file, turn: Mutex::default() }
    }

    async fn ask(&self, bootstrap: &[u8]) -> io::Result<Word> {
        let _turn = self.turn.lock().await;
        tokio::fs::write(&self.file, bootstrap).await?;
        let answer = async {
            let mut child = command(&self.program, &self.file).spawn()?;
            let words = read(&mut child).await?;
            Ok((child.wait().await?, words))
        };
        let answer = timeout(ANSWER_MAX, answer).await;
        // What is left behind would be overwritten by the next question.
        let _ = tokio::fs::remove_file(&self.file).await;
        match answer {
            Ok(Ok((status, words))) => Ok(word(status, &words)),
            Ok(Err(error)) => Err(error),
            Err(_) => Ok(Word::Nothing(format!("no answer in {} s", ANSWER_MAX.as_secs()))),
        }
    }
}

#[async_trait]
impl Validator for EnvoyValidator {
    fn version(&self) -> &str {
        &self.version
    }

    async fn validate(&self, bootstrap: Vec<u8>) -> Word {
        let program = self.program.display();
        let answer = self.ask(&bootstrap).await;
        answer.unwrap_or_else(|error| Word::Nothing(format!("{program} cannot be asked: {error}")))
    }
}

/// Envoy with little of the machine and nothing of our environment, which may hold secrets.
fn command(program: &Path, file: &Path) -> Command {
    let mut words: Vec<String> = Vec::new();
    let mut through = |tool: &str, arguments: &[&str]| {
        let path = ["/usr/bin", "/bin"].map(|folder| format!("{folder}/{tool}"));
        if let Some(path) = path.into_iter().find(|path| Path::new(path).exists()) {
            words.push(path);
            words.extend(arguments.iter().map(|&word| word.to_owned()));
        }
    };
    through("nice", &["-n", "10"]);
    through("prlimit", &[&format!("--data={DATA_BYTES_MAX}"), "--core=0", "--"]);
    let mut command = match words.split_first() {
        Some((first, rest)) => {
            let mut command = Command::new(first);
            command.args(rest).arg(program);
            command
        }
        None => Command::new(program),
    };
    command.args(["--mode", "validate", "--log-level", "error", "--log-format", "%v"]);
    command.args(["--concurrency", "1", "--use-dynamic-base-id", "--config-path"]).arg(file);
    command.env_clear().stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command.kill_on_drop(true);
    command
}

async fn read(child: &mut Child) -> io::Result<String> {
    let mut words = Vec::new();
    if let Some(stderr) = &mut child.stderr {
        stderr.take(WORDS_BYTES_MAX).read_to_end(&mut words).await?;
    }
    Ok(String::from_utf8_lossy(&words).into_owned())
}

fn word(status: ExitStatus, words: &str) -> Word {
    if status.success() {
        return Word::Good;
    }
    if let Some(signal) = status.signal() {
        return Word::Died(format!("it ended with signal {signal}"));
    }
    match words.rsplit_once(REFUSES).and_then(|(_, rest)| rest.split_once("': ")) {
        // A file that is the proxy's, and not here, is no fault of the resource.
        Some((_, reason)) if is_about_files(reason) => Word::Nothing(reason.to_owned()),
        Some((_, reason)) => Word::Bad(reason.to_owned()),
        None => Word::Nothing(format!("it ended with {status}: {words}")),
    }
}

fn is_about_files(reason: &str) -> bool {
    ["unable to read file", "Invalid path", "does not exist"].iter().any(|it| reason.contains(it))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_told_apart_from_no_answer() {
        let exit = |code: i32| ExitStatus::from_raw(code << 8);
        let refused = "error initializing configuration '/tmp/x.pb': Duplicate domain";
        let no_file = "error initializing configuration '/tmp/x.pb': Invalid path: /etc/cert.pem";
        for (status, words, word_wanted) in [
            (exit(0), "", Word::Good),
            (exit(1), refused, Word::Bad("Duplicate domain".to_owned())),
            (exit(1), no_file, Word::Nothing("Invalid path: /etc/cert.pem".to_owned())),
            (
                exit(127),
                "prlimit: failed to execute x",
                Word::Nothing(
                    "it ended with exit status: 127: prlimit: failed to execute x".to_owned(),
                ),
            ),
            (ExitStatus::from_raw(11), "", Word::Died("it ended with signal 11".to_owned())),
        ] {
            assert_eq!(word(status, words), word_wanted, "{words}");
        }
    }
}
