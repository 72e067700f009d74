//! A further process of the bench: what it costs is not counted as anybody else's, and its sockets are
//! beside those that one process may have. One line of JSON is a word, either way.

use std::io::Write;
use std::process::Stdio;

use anyhow::{Context, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines, Stdin};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// A running helper. It ends when this is dropped.
pub(crate) struct Helper {
    child: Child,
    say: ChildStdin,
    hear: Lines<BufReader<ChildStdout>>,
}

impl Helper {
    /// Starts this program again with these arguments.
    pub(crate) fn start(arguments: &[&str]) -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("a helper starts")?;
        let say = child.stdin.take().context("piped")?;
        let hear = BufReader::new(child.stdout.take().context("piped")?).lines();
        Ok(Self { child, say, hear })
    }

    /// Its process.
    pub(crate) fn process(&self) -> Result<u32> {
        self.child.id().context("running")
    }

    pub(crate) async fn tell(&mut self, word: &impl Serialize) -> Result<()> {
        let line = serde_json::to_string(word)? + "\n";
        Ok(self.say.write_all(line.as_bytes()).await?)
    }

    pub(crate) async fn hear<T: DeserializeOwned>(&mut self) -> Result<T> {
        let line = self.hear.next_line().await?.context("a helper has ended: see what it wrote")?;
        serde_json::from_str(&line).with_context(|| format!("a helper said `{line}`"))
    }
}

/// The other end.
pub(crate) struct Boss(Lines<BufReader<Stdin>>);

impl Boss {
    pub(crate) fn new() -> Self {
        Self(BufReader::new(tokio::io::stdin()).lines())
    }

    /// What is wanted next; `None` when nothing more is.
    pub(crate) async fn hear<T: DeserializeOwned>(&mut self) -> Result<Option<T>> {
        let line = self.0.next_line().await?;
        Ok(line.map(|line| serde_json::from_str(&line)).transpose()?)
    }

    pub(crate) fn tell(word: &impl Serialize) -> Result<()> {
        Ok(writeln!(std::io::stdout(), "{}", serde_json::to_string(word)?)?)
    }
}
