//! How a command ends when it does not succeed, and the exit code that says so.

use std::process::ExitCode;

/// Why a command did not succeed.
#[derive(Debug)]
pub enum Failure {
    /// 1: something went wrong.
    Error(anyhow::Error),
    /// 3: what was asked for was refused; asking again without a change will not help.
    Refused(String),
    /// 4: it did not end in time; it may still succeed.
    TimedOut(String),
    /// 64: the command, its flags or its configuration make no sense.
    Usage(String),
}

impl Failure {
    /// The exit code: part of the product's face, see docs/reference/cli.md.
    pub fn code(&self) -> ExitCode {
        match self {
            Self::Error(_) => ExitCode::from(1),
            Self::Refused(_) => ExitCode::from(3),
            Self::TimedOut(_) => ExitCode::from(4),
            Self::Usage(_) => ExitCode::from(64),
        }
    }

    /// What the user reads on stderr.
    pub fn text(&self) -> String {
        match self {
            Self::Error(error) => format!("error: {error:#}"),
            Self::Refused(text) if text.starts_with("error") => text.clone(),
            Self::Refused(text) | Self::TimedOut(text) | Self::Usage(text) => {
                format!("error: {text}")
            }
        }
    }
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Error(error.into())
    }
}
