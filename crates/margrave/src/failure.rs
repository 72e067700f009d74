//! How a command ends when it does not succeed, and the exit code that says so.

use std::process::ExitCode;

/// Why a command did not succeed.
#[derive(Debug)]
pub enum Failure {
    /// 1: something went wrong.
    Error(anyhow::Error),
    /// 2: nothing went wrong, and what was asked about is not so yet.
    WouldChange,
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
            Self::WouldChange => ExitCode::from(2),
            Self::Refused(_) => ExitCode::from(3),
            Self::TimedOut(_) => ExitCode::from(4),
            Self::Usage(_) => ExitCode::from(64),
        }
    }

    /// What the user reads on stderr; empty: nothing.
    pub fn text(&self) -> String {
        match self {
            Self::WouldChange => String::new(),
            Self::Error(error) => format!("error: {error:#}"),
            Self::Refused(text) if text.starts_with("error") => text.clone(),
            Self::Refused(text) => refused(text),
            Self::TimedOut(text) | Self::Usage(text) => {
                format!("error: {text}")
            }
        }
    }
}

/// The broker's words as local refusals look: a line `MG2101: …` becomes `error[MG2101]: …`.
fn refused(text: &str) -> String {
    let line = |line: &str| {
        let (code, said) = line.split_at_checked(CODE_BYTES)?;
        let is_code = code.starts_with("MG") && code[2..].bytes().all(|b| b.is_ascii_digit());
        is_code.then(|| format!("error[{code}]: {}", said.trim_start_matches([':', ' '])))
    };
    let coded = text.lines().map(|text| line(text).unwrap_or_else(|| text.to_owned()));
    let lines = coded.collect::<Vec<_>>().join("\n");
    if lines.starts_with("error[") { lines } else { format!("error: {lines}") }
}

/// As in `MG2101`.
const CODE_BYTES: usize = 6;

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Error(error.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_the_broker_look_like_local_ones() {
        for (said, shown) in [
            ("MG2101: `a` is taken", "error[MG2101]: `a` is taken"),
            (
                "MG1004 routes[0].x: no\nMG1005: no",
                "error[MG1004]: routes[0].x: no\nerror[MG1005]: no",
            ),
            ("error[MG1001]: shown already", "error[MG1001]: shown already"),
            ("MGxxxx: no code\nat all", "error: MGxxxx: no code\nat all"),
            ("", "error: "),
        ] {
            assert_eq!(Failure::Refused(said.to_owned()).text(), shown);
        }
    }
}
