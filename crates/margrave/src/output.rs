//! Data on stdout, messages on stderr; colour never carries meaning.

use std::io::{ErrorKind, IsTerminal, Write};

/// How data is printed.
#[derive(Debug, clap::Args)]
pub struct Format {
    /// Form of what is printed on stdout
    #[arg(short, long, value_enum, value_name = "FORM", default_value_t = Form::Text)]
    output: Form,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    /// For people; may change between releases.
    Text,
    /// For programs.
    Json,
}

impl Format {
    /// Whether it is for programs.
    pub fn is_json(&self) -> bool {
        self.output == Form::Json
    }

    /// Prints the same thing, for people or for programs. What programs get has a schema, which
    /// `margrave schema COMMAND` prints: see `command/outputs.rs`.
    pub fn print(
        &self,
        value: &(impl serde::Serialize + utoipa::ToSchema),
        text: impl FnOnce() -> String,
    ) -> anyhow::Result<()> {
        match self.output {
            Form::Json => json(value),
            // Nothing to say is no line.
            Form::Text => match text() {
                text if text.is_empty() => Ok(()),
                text => line(&text),
            },
        }
    }
}

/// Writes a line of data. A reader that has gone away (`margrave list | head -1`) has what it
/// wanted, so that is no error.
pub fn line(text: &str) -> anyhow::Result<()> {
    match writeln!(std::io::stdout().lock(), "{text}") {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// Writes JSON as data.
pub fn json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    line(&serde_json::to_string_pretty(value)?)
}

/// Writes a message. There is nobody left to tell when stderr is closed.
pub fn message(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Whether stderr is a terminal that wants colour (<https://no-color.org>).
pub fn colour_on_stderr() -> bool {
    std::io::stderr().is_terminal() && wants_colour()
}

/// Whether stdout is a terminal that wants colour.
pub fn colour_on_stdout() -> bool {
    std::io::stdout().is_terminal() && wants_colour()
}

fn wants_colour() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|no| no.is_empty())
}

/// Columns, each as wide as its widest cell; the last is not padded.
pub fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let cell_width =
        |row: &Vec<String>, column: usize| row.get(column).map_or(0, |cell| cell.chars().count());
    let widths: Vec<usize> = (0..columns)
        .map(|column| rows.iter().map(|row| cell_width(row, column)).max().unwrap_or(0))
        .collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let row = |cells: [&str; 3]| cells.map(str::to_owned).to_vec();
        let text = table(&[row(["service", "plan", "state"]), row(["shop", "internal", "ready"])]);
        assert_eq!(text, "service  plan      state\nshop     internal  ready");
    }
}
